//! `ctl get`: show objects. `get --watch` is in [`super::watch`].

use futures::future::join_all;
use serde_json::Value;

use crate::error::{Error, Result, report_all};
use crate::output::Format;
use crate::output::jsonpath::Template;
use crate::output::table::Table;
use crate::resources::ApiResource;
use crate::session::{Session, with_query};
use crate::target::{self, Files, Selection, Target};

/// Flags of `get`.
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// TYPE[,TYPE...] [NAME...] or TYPE/NAME...
    arguments: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    pub(super) selection: Selection,
    /// wide, yaml, json, name, jsonpath=TEMPLATE, custom-columns=HEADING:PATH,...
    #[arg(long, short = 'o', value_name = "FORMAT")]
    output: Option<String>,
    /// After showing the objects, show their changes.
    #[arg(long, short = 'w')]
    watch: bool,
    /// Show changes only.
    #[arg(long)]
    pub(super) watch_only: bool,
    /// With --watch: show in a first column what happened to each object.
    #[arg(long)]
    pub(super) output_watch_events: bool,
    /// Leave out the heading.
    #[arg(long)]
    pub(super) no_headers: bool,
    /// Show names with their type in front.
    #[arg(long)]
    pub(super) show_kind: bool,
    /// Show all labels as a last column.
    #[arg(long)]
    show_labels: bool,
    /// Show which manager owns which fields, in yaml and json.
    #[arg(long)]
    pub(super) show_managed_fields: bool,
    /// Show these labels as columns.
    #[arg(long, short = 'L', value_name = "KEY", value_delimiter = ',')]
    label_columns: Vec<String>,
    /// Sort by the value at this path: .metadata.creationTimestamp
    #[arg(long, value_name = "PATH")]
    sort_by: Option<String>,
    /// Show this subresource instead: status, scale.
    #[arg(long, value_name = "NAME")]
    subresource: Option<String>,
    /// Say nothing of objects that do not exist, and succeed.
    #[arg(long)]
    ignore_not_found: bool,
    /// Show what the server answers at this path, as it is.
    #[arg(long, value_name = "PATH")]
    raw: Option<String>,
}

/// Runs the command.
pub async fn run(session: &Session, flags: &Flags) -> Result<()> {
    if let Some(path) = &flags.raw {
        print!("{}", session.text(path).await?);
        return Ok(());
    }
    let format = Format::parse(flags.output.as_deref())?;
    let mut targets = target::parse(session, &flags.arguments, flags.selection.all_namespaces).await?;
    for document in crate::manifest::read_all(&flags.files)? {
        targets.push(target::of_object(session, &document.object).await?);
    }
    if targets.is_empty() {
        eprintln!(
            "You must specify the type of resource to get. Use \"ctl api-resources\" for a complete list of \
             supported resources.\n"
        );
        return Err(Error::Usage(
            "Required resource not specified.\nUse \"ctl explain <resource>\" for a detailed description of that \
             resource (e.g. ctl explain pods).\nSee 'ctl get -h' for help and examples"
                .into(),
        ));
    }
    if flags.watch || flags.watch_only {
        let [target] = targets.as_slice() else {
            return Err(Error::Usage(
                "you may only specify a single resource type or object to watch".into(),
            ));
        };
        return super::watch::run(session, flags, &format, target).await;
    }
    if format.is_table() {
        tables(session, flags, &format, &targets).await
    } else {
        whole(session, flags, &format, &targets).await
    }
}

/// One kind's table.
struct Group<'a> {
    target: &'a Target,
    answer: Value,
}

async fn tables(session: &Session, flags: &Flags, format: &Format, targets: &[Target]) -> Result<()> {
    let (groups, failures) = groups(session, flags, targets).await;
    let mixed = groups.len() > 1;
    let mut printed = 0;
    for group in &groups {
        let rows = group.answer["rows"].as_array().map_or(0, Vec::len);
        if rows == 0 {
            continue;
        }
        if printed > 0 {
            println!();
        }
        let table = flags.table(&group.answer, format, &group.target.resource, mixed);
        print!("{}", table.render());
        printed += rows;
    }
    if printed == 0 && failures.is_empty() && !flags.ignore_not_found {
        if flags.selection.all_namespaces || !targets[0].resource.namespaced {
            eprintln!("No resources found");
        } else {
            eprintln!("No resources found in {} namespace.", session.namespace());
        }
    }
    report_all(failures)
}

/// The tables of all targets, asked for at once; neighbours of one kind become one table.
async fn groups<'a>(session: &Session, flags: &Flags, targets: &'a [Target]) -> (Vec<Group<'a>>, Vec<Error>) {
    let answers = join_all(targets.iter().map(|target| table_of(session, flags, target))).await;
    let mut groups: Vec<Group> = Vec::new();
    let mut failures = Vec::new();
    for (target, answer) in targets.iter().zip(answers) {
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() && flags.ignore_not_found => continue,
            Err(error) => {
                failures.push(error);
                continue;
            }
        };
        match groups.last_mut().filter(|last| last.target.resource == target.resource) {
            Some(last) => {
                let more = answer["rows"].as_array_mut().map(std::mem::take).unwrap_or_default();
                if let Some(rows) = last.answer["rows"].as_array_mut() {
                    rows.extend(more);
                }
            }
            None => groups.push(Group { target, answer }),
        }
    }
    (groups, failures)
}

async fn table_of(session: &Session, flags: &Flags, target: &Target) -> Result<Value> {
    let answer = session.table(&flags.path(target)).await;
    let mut answer = answer.map_err(|error| match &target.name {
        None => target::of_selection(error, &target.resource, &flags.selection),
        Some(_) => error,
    })?;
    if let Some(path) = &flags.sort_by {
        sort_rows(session, &mut answer, path, target, flags).await?;
    }
    Ok(answer)
}

impl Flags {
    /// What of a server's table is to be shown.
    pub(super) fn table(
        &self,
        answer: &Value,
        format: &Format,
        resource: &ApiResource,
        mixed: bool,
    ) -> Table {
        let label = (mixed || self.show_kind).then(|| resource.label());
        let namespaces = self.selection.all_namespaces && (mixed || resource.namespaced);
        let mut table = Table::from_server(answer, format.is_wide(), namespaces, label.as_deref());
        let rows = answer["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        for key in &self.label_columns {
            let heading = key.rsplit('/').next().unwrap_or(key).to_uppercase();
            table.heading.push(heading);
            for (cells, row) in table.rows.iter_mut().zip(rows) {
                cells.push(row["object"]["metadata"]["labels"][key].as_str().unwrap_or_default().to_owned());
            }
        }
        if self.show_labels {
            table.heading.push("LABELS".into());
            for (cells, row) in table.rows.iter_mut().zip(rows) {
                cells.push(labels(&row["object"]["metadata"]["labels"]));
            }
        }
        if self.no_headers {
            table.heading.clear();
        }
        table
    }

    fn path(&self, target: &Target) -> String {
        let mut path = target.path();
        if let Some(subresource) = &self.subresource {
            path = format!("{path}/{subresource}");
        }
        if target.name.is_some() { path } else { with_query(path, &self.selection.query()) }
    }
}

/// `a=b,c=d`, or `<none>`.
pub fn labels(value: &Value) -> String {
    match value.as_object() {
        Some(labels) if !labels.is_empty() => {
            let pairs =
                labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
            pairs.collect::<Vec<_>>().join(",")
        }
        _ => "<none>".to_owned(),
    }
}

/// Orders a table's rows by a field of the whole objects, which are fetched beside it.
async fn sort_rows(
    session: &Session,
    answer: &mut Value,
    by: &str,
    target: &Target,
    flags: &Flags,
) -> Result<()> {
    if target.name.is_some() {
        return Ok(());
    }
    let template = Template::parse(by).map_err(|error| Error::Usage(error.to_string()))?;
    let objects = target::list(session, target, &flags.selection).await?;
    let order: Vec<(String, String)> = sorted(objects, &template)
        .into_iter()
        .map(|(target, _)| (target.namespace.unwrap_or_default(), target.name.unwrap_or_default()))
        .collect();
    let place = |row: &Value| {
        let metadata = &row["object"]["metadata"];
        let key = (
            metadata["namespace"].as_str().unwrap_or_default(),
            metadata["name"].as_str().unwrap_or_default(),
        );
        order
            .iter()
            .position(|(namespace, name)| (namespace.as_str(), name.as_str()) == key)
            .unwrap_or(usize::MAX)
    };
    if let Some(rows) = answer["rows"].as_array_mut() {
        rows.sort_by_key(|row| place(row));
    }
    Ok(())
}

fn sorted(mut objects: Vec<(Target, Value)>, template: &Template) -> Vec<(Target, Value)> {
    let key = |object: &Value| template.values(object).first().map(|value| (*value).clone());
    objects.sort_by(|(_, left), (_, right)| match (key(left), key(right)) {
        (Some(Value::Number(left)), Some(Value::Number(right))) => {
            left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(std::cmp::Ordering::Equal)
        }
        (left, right) => {
            let text = |value: Option<Value>| {
                value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            };
            text(left).cmp(&text(right))
        }
    });
    objects
}

async fn whole(session: &Session, flags: &Flags, format: &Format, targets: &[Target]) -> Result<()> {
    let mut objects = Vec::new();
    let mut failures = Vec::new();
    let mut as_list = targets.len() > 1;
    for target in targets {
        if target.name.is_none() {
            as_list = true;
            let mut found = target::list(session, target, &flags.selection).await?;
            if let Some(by) = &flags.sort_by {
                let template = Template::parse(by).map_err(|error| Error::Usage(error.to_string()))?;
                found = sorted(found, &template);
            }
            objects.extend(found.into_iter().map(|(target, object)| (object, target.resource)));
            continue;
        }
        match session.get(&flags.path(target)).await {
            Ok(object) => objects.push((object, target.resource.clone())),
            Err(error) if error.is_not_found() && flags.ignore_not_found => {}
            Err(error) => failures.push(error),
        }
    }
    let nothing = objects.is_empty() && (!as_list || !failures.is_empty());
    if !nothing {
        if !flags.show_managed_fields {
            objects.iter_mut().for_each(|(object, _)| hide_managed_fields(object));
        }
        print!("{}", format.render(&objects, as_list)?);
    }
    report_all(failures)
}

/// Field ownership is the server's bookkeeping; nobody reads it in a listing.
pub fn hide_managed_fields(object: &mut Value) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
}
