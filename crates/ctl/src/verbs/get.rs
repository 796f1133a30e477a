//! `ctl get`: show objects.

use futures::TryStreamExt;
use futures::io::AsyncBufReadExt;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::output::Format;
use crate::output::jsonpath::Template;
use crate::output::table::Table;
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
    selection: Selection,
    /// wide, yaml, json, name, jsonpath=TEMPLATE, custom-columns=HEADING:PATH,...
    #[arg(long, short = 'o', value_name = "FORMAT")]
    output: Option<String>,
    /// After showing the objects, show their changes.
    #[arg(long, short = 'w')]
    watch: bool,
    /// Show changes only.
    #[arg(long)]
    watch_only: bool,
    /// Leave out the heading.
    #[arg(long)]
    no_headers: bool,
    /// Show all labels as a last column.
    #[arg(long)]
    show_labels: bool,
    /// Show these labels as columns.
    #[arg(long, short = 'L', value_name = "KEY", value_delimiter = ',')]
    label_columns: Vec<String>,
    /// Sort by the value at this path: .metadata.creationTimestamp
    #[arg(long, value_name = "PATH")]
    sort_by: Option<String>,
    /// Say nothing of objects that do not exist, and succeed.
    #[arg(long)]
    ignore_not_found: bool,
}

/// Runs the command.
pub async fn run(session: &Session, flags: &Flags) -> Result<()> {
    let format = Format::parse(flags.output.as_deref())?;
    let mut targets = target::parse(session, &flags.arguments, flags.selection.all_namespaces).await?;
    for object in crate::manifest::read_all(&flags.files)? {
        targets.push(target::of_object(session, &object).await?);
    }
    if targets.is_empty() {
        return Err(Error::Usage(
            "You must specify the type of resource to get. Use \"ctl api-resources\" for a complete list of supported resources."
                .into(),
        ));
    }
    if flags.watch || flags.watch_only {
        let [target] = targets.as_slice() else {
            return Err(Error::Usage(
                "you may only specify a single resource type or object to watch".into(),
            ));
        };
        return watch(session, flags, &format, target).await;
    }
    if format.is_table() {
        tables(session, flags, &format, &targets).await
    } else {
        whole(session, flags, &format, &targets).await
    }
}

async fn tables(session: &Session, flags: &Flags, format: &Format, targets: &[Target]) -> Result<()> {
    let wide = matches!(format, Format::Table { wide: true });
    let mixed = targets.iter().any(|target| target.resource.plural != targets[0].resource.plural);
    let mut printed = 0;
    let mut failures = Vec::new();
    for (index, target) in targets.iter().enumerate() {
        let mut answer = match session.table(&path(target, flags)).await {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() && flags.ignore_not_found => continue,
            Err(error) => {
                failures.push(error);
                continue;
            }
        };
        if let Some(path) = &flags.sort_by {
            sort_rows(session, &mut answer, path, target, flags).await?;
        }
        let rows = answer["rows"].as_array().map_or(0, Vec::len);
        if rows == 0 {
            continue;
        }
        let same_as_before =
            index > 0 && targets[index - 1].resource.plural == target.resource.plural && printed > 0;
        if mixed && printed > 0 && !same_as_before {
            println!();
        }
        let label = mixed.then(|| target.resource.label());
        print!("{}", render(&answer, wide, flags, label.as_deref(), same_as_before || flags.no_headers));
        printed += rows;
    }
    if printed == 0 && failures.is_empty() && targets.iter().all(|target| target.name.is_none()) {
        if flags.selection.all_namespaces || !targets[0].resource.namespaced {
            eprintln!("No resources found");
        } else {
            eprintln!("No resources found in {} namespace.", session.namespace());
        }
    }
    report(failures)
}

/// Tells every failure but the last, which becomes the command's own.
fn report(mut failures: Vec<Error>) -> Result<()> {
    let Some(last) = failures.pop() else { return Ok(()) };
    for failure in failures {
        eprintln!("{failure}");
    }
    Err(last)
}

fn render(answer: &Value, wide: bool, flags: &Flags, label: Option<&str>, headless: bool) -> String {
    let mut table = Table::from_server(answer, wide, flags.selection.all_namespaces, label);
    let rows = answer["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    for key in &flags.label_columns {
        let heading = key.rsplit('/').next().unwrap_or(key).to_uppercase();
        table.heading.push(heading);
        for (cells, row) in table.rows.iter_mut().zip(rows) {
            cells.push(row["object"]["metadata"]["labels"][key].as_str().unwrap_or_default().to_owned());
        }
    }
    if flags.show_labels {
        table.heading.push("LABELS".into());
        for (cells, row) in table.rows.iter_mut().zip(rows) {
            cells.push(labels(&row["object"]["metadata"]["labels"]));
        }
    }
    if headless {
        table.heading.clear();
    }
    table.render()
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
        match session.get(&target.path()).await {
            Ok(object) => objects.push((object, target.resource.clone())),
            Err(error) if error.is_not_found() && flags.ignore_not_found => {}
            Err(error) => failures.push(error),
        }
    }
    let nothing = objects.is_empty() && !as_list;
    if !nothing {
        for (object, _) in &mut objects {
            hide_managed_fields(object);
        }
        print!("{}", format.render(&objects, as_list)?);
    }
    report(failures)
}

/// Field ownership is the server's bookkeeping; nobody reads it in a listing.
pub fn hide_managed_fields(object: &mut Value) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
}

fn path(target: &Target, flags: &Flags) -> String {
    let selectors = [
        ("labelSelector", flags.selection.selector.as_str()),
        ("fieldSelector", flags.selection.field_selector.as_str()),
    ];
    if target.name.is_some() { target.path() } else { with_query(target.path(), &selectors) }
}

/// Shows a collection or an object, then every change of it, until interrupted or the server ends the watch.
async fn watch(session: &Session, flags: &Flags, format: &Format, target: &Target) -> Result<()> {
    let mut collection = target.clone();
    let mut selectors = vec![("labelSelector", flags.selection.selector.clone())];
    let mut fields = flags.selection.field_selector.clone();
    if let Some(name) = collection.name.take() {
        fields = format!("metadata.name={name}");
    }
    selectors.push(("fieldSelector", fields));
    let query: Vec<(&str, &str)> = selectors.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let path = with_query(collection.path(), &query);
    let table = format.is_table();
    let first = if table { session.table(&path).await? } else { session.get(&path).await? };
    if !flags.watch_only {
        if table {
            let wide = matches!(format, Format::Table { wide: true });
            print!("{}", render(&first, wide, flags, None, flags.no_headers));
        } else {
            for (target, object) in target::list(session, &collection, &flags.selection).await? {
                print!("{}", format.render(&[(object, target.resource)], false)?);
            }
        }
    }
    let version = first["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    let path = with_query(path, &[("watch", "true"), ("resourceVersion", version)]);
    let accept = if table { "application/json;as=Table;v=v1;g=meta.k8s.io" } else { "application/json" };
    let request = http::Request::get(&path).header("accept", accept).body(Vec::new());
    let request = request.map_err(|error| Error::request("watch", client::kube::Error::HttpError(error)))?;
    let stream =
        session.client().request_stream(request).await.map_err(|error| Error::request("watch", error))?;
    let mut lines = stream.lines();
    while let Some(line) =
        lines.try_next().await.map_err(|source| Error::Io { attempted: "read the watch", source })?
    {
        let event: Value = serde_json::from_str(&line).map_err(Error::Json)?;
        let object = &event["object"];
        match (event["type"].as_str(), table) {
            (Some("ERROR"), _) => {
                return Err(Error::Usage(
                    object["message"].as_str().unwrap_or("the watch failed").to_owned(),
                ));
            }
            (Some("BOOKMARK"), _) => {}
            (_, true) => {
                let wide = matches!(format, Format::Table { wide: true });
                print!("{}", render(object, wide, flags, None, true));
            }
            (_, false) => print!("{}", format.render(&[(object.clone(), target.resource.clone())], false)?),
        }
    }
    Ok(())
}
