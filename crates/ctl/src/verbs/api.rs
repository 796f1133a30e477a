//! `ctl api-resources`, `ctl api-versions`, `ctl version`, `ctl cluster-info` and `ctl auth can-i`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::output::table::Table;
use crate::session::Session;

/// Flags of `api-resources`.
#[derive(clap::Args, Debug)]
pub struct ResourcesFlags {
    /// Only of this group; "" is the core.
    #[arg(long)]
    api_group: Option<String>,
    /// Only those with (true) or without (false) namespaces.
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    namespaced: Option<bool>,
    /// Only those with all of these verbs.
    #[arg(long, value_delimiter = ',')]
    verbs: Vec<String>,
    /// wide or name
    #[arg(long, short = 'o', default_value = "")]
    output: String,
    /// Leave out the heading.
    #[arg(long)]
    no_headers: bool,
}

/// Runs `api-resources`.
pub async fn resources(session: &Session, flags: &ResourcesFlags) -> Result<()> {
    let mut table = Table::default();
    let mut seen = BTreeSet::new();
    let mut resources: Vec<_> = session.fresh_resources().await?.iter().collect();
    // Stable: of one resource, the preferred version stays first.
    resources.sort_by(|left, right| (&left.group, &left.plural).cmp(&(&right.group, &right.plural)));
    for resource in resources {
        let wanted = flags.api_group.as_ref().is_none_or(|group| *group == resource.group)
            && flags.namespaced.is_none_or(|namespaced| namespaced == resource.namespaced)
            && flags.verbs.iter().all(|verb| resource.can(verb))
            && !resource.verbs.is_empty();
        // Discovery lists the preferred version of a group first.
        if !wanted || !seen.insert((resource.group.clone(), resource.plural.clone())) {
            continue;
        }
        if flags.output == "name" {
            println!(
                "{}{}{}",
                resource.plural,
                if resource.group.is_empty() { "" } else { "." },
                resource.group
            );
            continue;
        }
        let mut row = vec![
            resource.plural.clone(),
            resource.short_names.join(","),
            resource.api_version(),
            resource.namespaced.to_string(),
            resource.kind.clone(),
        ];
        if flags.output == "wide" {
            row.extend([resource.verbs.join(","), resource.categories.join(",")]);
        }
        table.rows.push(row);
    }
    if !flags.no_headers {
        let wide = flags.output == "wide";
        let heading = ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND", "VERBS", "CATEGORIES"];
        table.heading =
            heading.iter().take(if wide { 7 } else { 5 }).map(|word| (*word).to_owned()).collect();
    }
    if flags.output != "name" {
        print!("{}", table.render());
    }
    Ok(())
}

/// Runs `api-versions`.
pub async fn versions(session: &Session) -> Result<()> {
    let versions: BTreeSet<String> =
        session.fresh_resources().await?.iter().map(|resource| resource.api_version()).collect();
    for version in versions {
        println!("{version}");
    }
    Ok(())
}

/// Runs `version`.
pub async fn version(session: &Session) -> Result<()> {
    println!("Client Version: v{}", env!("CARGO_PKG_VERSION"));
    let server = session.get("/version").await?;
    println!("Server Version: {}", server["gitVersion"].as_str().unwrap_or("unknown"));
    Ok(())
}

/// Runs `cluster-info`.
pub async fn cluster_info(session: &Session) -> Result<()> {
    session.text("/readyz").await?;
    println!("Kubernetes control plane is running at {}", session.server());
    Ok(())
}

/// Runs `auth whoami`.
pub async fn whoami(session: &Session) -> Result<()> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = session.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await?;
    let user = &answer["status"]["userInfo"];
    let mut table = Table { heading: vec!["ATTRIBUTE".into(), "VALUE".into()], rows: Vec::new() };
    let texts = |value: &Value| {
        let items = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        format!("[{}]", items.collect::<Vec<_>>().join(" "))
    };
    let mut row = |name: &str, value: String| table.rows.push(vec![name.to_owned(), value]);
    for (name, field) in [("Username", "username"), ("UID", "uid")] {
        if let Some(value) = user[field].as_str().filter(|value| !value.is_empty()) {
            row(name, value.to_owned());
        }
    }
    row("Groups", texts(&user["groups"]));
    for (key, values) in user["extra"].as_object().into_iter().flatten() {
        row(&format!("Extra: {key}"), texts(values));
    }
    print!("{}", table.render());
    Ok(())
}

/// Flags of `auth can-i`.
#[derive(clap::Args, Debug)]
pub struct CanIFlags {
    /// VERB TYPE, VERB TYPE/NAME or VERB /PATH
    #[arg(num_args = 2, required = true)]
    arguments: Vec<String>,
    /// The subresource.
    #[arg(long, default_value = "")]
    subresource: String,
    /// In all namespaces.
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// Print nothing; the exit status is the answer.
    #[arg(long, short = 'q')]
    quiet: bool,
}

/// Runs `auth can-i`. The exit status is 1 for no.
pub async fn can_i(session: &Session, flags: &CanIFlags) -> Result<()> {
    let (verb, what) = (&flags.arguments[0], &flags.arguments[1]);
    let spec = if what.starts_with('/') {
        json!({"nonResourceAttributes": {"verb": verb, "path": what}})
    } else {
        let (kind, name) = what.split_once('/').unwrap_or((what, ""));
        let (group, plural) = match session.look_up(|resources| resources.find(kind)).await {
            Ok(resource) => (resource.group.clone(), resource.plural.clone()),
            Err(_) if kind == "*" => ("*".into(), "*".into()),
            Err(_) => {
                eprintln!("Warning: the server doesn't have a resource type '{kind}'");
                (String::new(), kind.to_owned())
            }
        };
        let namespace = if flags.all_namespaces { "" } else { session.namespace() };
        json!({"resourceAttributes": {
            "verb": verb, "group": group, "resource": plural, "name": name,
            "subresource": flags.subresource, "namespace": namespace,
        }})
    };
    let review =
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec});
    let answer = session.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await?;
    let allowed = answer["status"]["allowed"] == true;
    if !flags.quiet {
        println!("{}", if allowed { "yes" } else { "no" });
    }
    if allowed { Ok(()) } else { Err(Error::Told(1)) }
}
