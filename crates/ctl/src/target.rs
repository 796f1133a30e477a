//! Which objects a command is about: `TYPE NAME...`, `TYPE/NAME...`, `TYPE -l SELECTOR`, or the objects of files.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::manifest;
use crate::resources::{ApiResource, Resources};
use crate::session::{Session, with_query};

/// Flags that choose objects by something else than their name.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Selection {
    /// Only objects with these labels: a=b,c!=d,e in (f,g).
    #[arg(long, short = 'l', value_name = "SELECTOR", default_value = "")]
    pub selector: String,
    /// Only objects with these fields: status.phase=Running.
    #[arg(long, value_name = "SELECTOR", default_value = "")]
    pub field_selector: String,
    /// Objects of all namespaces.
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
}

impl Selection {
    /// Whether it chooses everything.
    pub fn is_empty(&self) -> bool {
        self.selector.is_empty() && self.field_selector.is_empty()
    }

    /// The query parameters of a list or watch.
    pub fn query(&self) -> [(&'static str, &str); 2] {
        [("labelSelector", &self.selector), ("fieldSelector", &self.field_selector)]
    }
}

/// Files with objects.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Files {
    /// File or folder with objects in YAML or JSON; `-` for standard input. May be repeated.
    #[arg(long = "filename", short = 'f', value_name = "FILE")]
    pub files: Vec<String>,
    /// Read folders with everything below them.
    #[arg(long, short = 'R')]
    pub recursive: bool,
}

/// One object, or a whole collection.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its kind.
    pub resource: ApiResource,
    /// Its name; `None` for the collection.
    pub name: Option<String>,
    /// Its namespace; `None` for cluster-scoped kinds, or all namespaces of a collection.
    pub namespace: Option<String>,
}

impl Target {
    /// Its URL path.
    pub fn path(&self) -> String {
        self.resource.path(self.namespace.as_deref(), self.name.as_deref())
    }

    /// `deployment.apps/NAME`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.resource.label(), self.name.as_deref().unwrap_or_default())
    }
}

/// The targets that arguments name. Several names may follow one type; or each argument is `TYPE/NAME`.
///
/// # Errors
/// When the server lacks a type, or the two ways are mixed.
pub async fn parse(session: &Session, arguments: &[String], all_namespaces: bool) -> Result<Vec<Target>> {
    session.look_up(|resources| resolve(session, resources, arguments, all_namespaces)).await
}

fn resolve(
    session: &Session,
    resources: &Resources,
    arguments: &[String],
    all_namespaces: bool,
) -> Result<Vec<Target>> {
    let namespace = |resource: &ApiResource| {
        (resource.namespaced && !all_namespaces).then(|| session.namespace().to_owned())
    };
    let target = |resource: &ApiResource, name: Option<&str>| Target {
        resource: resource.clone(),
        name: name.map(str::to_owned),
        namespace: namespace(resource),
    };
    let slashes = arguments.iter().filter(|argument| argument.contains('/')).count();
    if slashes > 0 {
        if slashes < arguments.len() {
            return Err(Error::Usage(
                "there is no need to specify a resource type as a separate argument when passing arguments in \
                 resource/name form (e.g. 'ctl get resource/<resource_name>' instead of 'ctl get resource resource/<resource_name>'"
                    .into(),
            ));
        }
        let pairs = arguments.iter().map(|argument| {
            let (kind, name) = argument.split_once('/').unwrap_or((argument, ""));
            if name.is_empty() || name.contains('/') {
                return Err(Error::Usage(
                    "arguments in resource/name form must have a single resource and name".into(),
                ));
            }
            Ok(target(resources.find(kind)?, Some(name)))
        });
        return pairs.collect();
    }
    let Some((kinds, names)) = arguments.split_first() else { return Ok(Vec::new()) };
    let mut targets = Vec::new();
    for resource in resources.find_all(kinds)? {
        if names.is_empty() {
            targets.push(target(resource, None));
        }
        targets.extend(names.iter().map(|name| target(resource, Some(name))));
    }
    Ok(targets)
}

/// The targets of arguments or files, each an object with a name: collections are listed. `all` allows a collection
/// without a selector.
///
/// # Errors
/// When nothing is named, or something does not exist.
pub async fn objects(
    session: &Session,
    arguments: &[String],
    files: &Files,
    selection: &Selection,
    all: bool,
) -> Result<Vec<(Target, Value)>> {
    let mut found = Vec::new();
    for document in manifest::read_all(files)? {
        let target = of_object(session, &document.object).await?;
        let live = session.get(&target.path()).await?;
        found.push((target, live));
    }
    for target in parse(session, arguments, selection.all_namespaces).await? {
        if target.name.is_some() {
            let live = session.get(&target.path()).await?;
            found.push((target, live));
            continue;
        }
        if selection.is_empty() && !all {
            return Err(Error::Usage(
                "resource(s) were provided, but no name, label selector, or --all flag specified".into(),
            ));
        }
        found.extend(list(session, &target, selection).await?);
    }
    if found.is_empty() && arguments.is_empty() && files.files.is_empty() {
        return Err(Error::Usage("You must provide one or more resources by argument or filename".into()));
    }
    Ok(found)
}

/// The objects of a collection.
///
/// # Errors
/// When the server refuses or is not reached.
pub async fn list(session: &Session, target: &Target, selection: &Selection) -> Result<Vec<(Target, Value)>> {
    let path = with_query(
        target.path(),
        &[("labelSelector", &selection.selector), ("fieldSelector", &selection.field_selector)],
    );
    let mut list =
        session.get(&path).await.map_err(|error| of_selection(error, &target.resource, selection))?;
    let kind = target.resource.kind.clone();
    let api_version = target.resource.api_version();
    let items = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    Ok(items
        .into_iter()
        .map(|mut item| {
            // Items of a list do not repeat what they are.
            item["kind"] = Value::String(kind.clone());
            item["apiVersion"] = Value::String(api_version.clone());
            let text = |field: &str| item["metadata"][field].as_str().map(str::to_owned);
            let one = Target {
                resource: target.resource.clone(),
                name: text("name"),
                namespace: text("namespace"),
            };
            (one, item)
        })
        .collect())
}

/// Refuses targets without a name.
///
/// # Errors
/// When there is none at all, or one is a collection.
pub fn named(targets: Vec<Target>) -> Result<Vec<Target>> {
    if targets.is_empty() || targets.iter().any(|target| target.name.is_none()) {
        return Err(Error::Usage("resource name may not be empty".into()));
    }
    Ok(targets)
}

/// A refusal of selectors, saying which they were.
pub fn of_selection(error: Error, resource: &ApiResource, selection: &Selection) -> Error {
    match error {
        Error::Server(mut status) if status.code == 400 => {
            status.message = format!(
                "Unable to find {:?} that match label selector {:?}, field selector {:?}: {}",
                format!("{}/{}, Resource={}", resource.group, resource.version, resource.plural),
                selection.selector,
                selection.field_selector,
                status.message
            );
            Error::Server(status)
        }
        other => other,
    }
}

/// Where an object of a manifest lives.
///
/// # Errors
/// When the server lacks its kind, or `-n` contradicts it.
pub async fn of_object(session: &Session, object: &Value) -> Result<Target> {
    let resource = session.look_up(|resources| resources.of(object)).await?.clone();
    let namespace = if resource.namespaced { Some(session.namespace_of(object)?.to_owned()) } else { None };
    Ok(Target { resource, name: object["metadata"]["name"].as_str().map(str::to_owned), namespace })
}
