//! `ctl describe`: all that is known about an object, and what happened to it.

use serde_json::Value;

use crate::error::Result;
use crate::output::table::Table;
use crate::session::{Session, with_query};
use crate::target::{self, Files, Selection, Target};

/// Appends a line to a String, which cannot fail.
macro_rules! put {
    ($out:expr, $($text:tt)*) => {{
        $out.push_str(&format!($($text)*));
        $out.push('\n');
    }};
}

/// Flags of `describe`.
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// TYPE [NAME...] or TYPE/NAME...
    arguments: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    selection: Selection,
    /// Show events too.
    #[arg(long, num_args = 0..=1, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    show_events: bool,
}

/// Runs the command.
pub async fn run(session: &Session, flags: &Flags) -> Result<()> {
    let found = target::objects(session, &flags.arguments, &flags.files, &flags.selection, true).await?;
    for (index, (target, object)) in found.iter().enumerate() {
        if index > 0 {
            print!("\n\n");
        }
        print!("{}", describe(object));
        if target.resource.kind == "Node" {
            print!("{}", pods_on(session, target).await?);
        }
        if flags.show_events {
            print!("{}", events(session, target, object).await?);
        }
    }
    Ok(())
}

/// Everything but the events. Fields stand in the order of the API, under headings as people read them.
pub fn describe(object: &Value) -> String {
    let mut out = String::new();
    let metadata = &object["metadata"];
    line(&mut out, "Name", text(&metadata["name"]));
    if let Some(namespace) = metadata["namespace"].as_str() {
        line(&mut out, "Namespace", namespace.to_owned());
    }
    pairs(&mut out, "Labels", &metadata["labels"], "=");
    pairs(&mut out, "Annotations", &metadata["annotations"], ": ");
    line(&mut out, "Created", text(&metadata["creationTimestamp"]));
    for owner in metadata["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|owner| owner["controller"] == true)
    {
        line(&mut out, "Controlled By", format!("{}/{}", text(&owner["kind"]), text(&owner["name"])));
    }
    if let Some(deleted) = metadata["deletionTimestamp"].as_str() {
        line(
            &mut out,
            "Terminating",
            format!("since {deleted}, grace period {} s", metadata["deletionGracePeriodSeconds"]),
        );
    }
    if let Some(finalizers) = metadata["finalizers"].as_array() {
        line(&mut out, "Finalizers", finalizers.iter().map(text).collect::<Vec<_>>().join(", "));
    }
    for (key, value) in object.as_object().into_iter().flatten() {
        if matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        let secret = object["kind"] == "Secret" && matches!(key.as_str(), "data" | "stringData");
        if secret {
            put!(out, "Data:");
            for (name, data) in value.as_object().into_iter().flatten() {
                // Four characters of base64 are three bytes.
                put!(
                    out,
                    "  {name}:  {} bytes",
                    data.as_str().map_or(0, |data| data.trim_end_matches('=').len() * 3 / 4)
                );
            }
            continue;
        }
        section(&mut out, key, value, 0);
    }
    out
}

/// Writes a value as an indented tree.
fn section(out: &mut String, key: &str, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    let heading = heading(key);
    match value {
        Value::Object(fields) if !fields.is_empty() && OF_THE_USER.contains(&key) => {
            put!(out, "{indent}{heading}:");
            for (name, value) in fields {
                put!(out, "{indent}  {name}:  {}", text(value));
            }
        }
        Value::Object(fields) if fields.is_empty() => {
            put!(out, "{indent}{heading}:  <none>");
        }
        Value::Object(fields) => {
            put!(out, "{indent}{heading}:");
            for (key, value) in fields {
                section(out, key, value, depth + 1);
            }
        }
        Value::Array(items) if key == "conditions" => {
            let columns = ["type", "status", "reason", "message"];
            let mut table = Table {
                heading: columns.iter().map(|column| format!("{indent}  {column}")).collect(),
                rows: Vec::new(),
            };
            table.rows.extend(items.iter().map(|item| {
                columns
                    .iter()
                    .map(|column| format!("{indent}  {}", item[column].as_str().unwrap_or("")))
                    .collect()
            }));
            put!(out, "{indent}{heading}:\n{}", table.render().trim_end());
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            put!(out, "{indent}{heading}:");
            for item in items {
                let name = item["name"].as_str().or(item["type"].as_str()).or(item["key"].as_str());
                put!(out, "{indent}  {}:", name.unwrap_or("-"));
                match without_name(item, name) {
                    Value::Object(fields) => {
                        fields.iter().for_each(|(key, value)| section(out, key, value, depth + 2))
                    }
                    other => put!(out, "{indent}    {}", text(&other)),
                }
            }
        }
        Value::Array(items) => {
            put!(out, "{indent}{heading}:  {}", items.iter().map(text).collect::<Vec<_>>().join(", "));
        }
        scalar => {
            let shown = text(scalar);
            if shown.contains('\n') {
                put!(out, "{indent}{heading}:");
                for part in shown.lines() {
                    put!(out, "{indent}  {part}");
                }
            } else {
                put!(out, "{indent}{heading}:  {shown}");
            }
        }
    }
}

/// Maps whose keys are the user's own words, not fields of the API.
const OF_THE_USER: [&str; 11] = [
    "labels",
    "annotations",
    "matchLabels",
    "selector",
    "nodeSelector",
    "data",
    "limits",
    "requests",
    "capacity",
    "allocatable",
    "parameters",
];

/// An item whose name already is the heading.
fn without_name(item: &Value, name: Option<&str>) -> Value {
    let mut item = item.clone();
    if let (Some(fields), Some(name)) = (item.as_object_mut(), name) {
        let shown: Vec<String> = ["name", "type", "key"]
            .iter()
            .filter(|key| fields.get(**key).is_some_and(|value| value == name))
            .map(|key| (*key).to_owned())
            .collect();
        if let Some(first) = shown.first() {
            fields.remove(first);
        }
    }
    item
}

/// `restartPolicy` → `Restart Policy`; names of the user's own stay as they are.
fn heading(key: &str) -> String {
    if !key.chars().all(|character| character.is_ascii_alphanumeric())
        || !key.starts_with(|character: char| character.is_ascii_lowercase())
    {
        return key.to_owned();
    }
    let mut words = String::new();
    let mut before = ' ';
    for character in key.chars() {
        if words.is_empty() {
            words.push(character.to_ascii_uppercase());
        } else {
            if character.is_ascii_uppercase() && !before.is_ascii_uppercase() {
                words.push(' ');
            }
            words.push(character);
        }
        before = character;
    }
    words
}

fn line(out: &mut String, key: &str, value: String) {
    put!(out, "{:<16} {value}", format!("{key}:"));
}

fn pairs(out: &mut String, key: &str, value: &Value, sign: &str) {
    let empty = serde_json::Map::new();
    let map = value.as_object().unwrap_or(&empty);
    if map.is_empty() {
        return line(out, key, "<none>".into());
    }
    for (index, (name, value)) in map.iter().enumerate() {
        let label = if index == 0 { format!("{key}:") } else { String::new() };
        let shown: String = text(value).chars().take(140).collect();
        put!(out, "{label:<16} {name}{sign}{shown}");
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<unset>".into(),
        other => other.to_string(),
    }
}

async fn pods_on(session: &Session, node: &Target) -> Result<String> {
    let name = node.name.as_deref().unwrap_or_default();
    let path = with_query("/api/v1/pods".into(), &[("fieldSelector", &format!("spec.nodeName={name}"))]);
    let table = session.table(&path).await?;
    let mut shown = Table::from_server(&table, false, true, None);
    shown.heading[0].insert_str(0, "  ");
    for row in &mut shown.rows {
        row[0].insert_str(0, "  ");
    }
    Ok(format!("Pods:  ({} in total)\n{}", shown.rows.len(), shown.render()))
}

/// What happened to an object, oldest first.
async fn events(session: &Session, target: &Target, object: &Value) -> Result<String> {
    let uid = text(&object["metadata"]["uid"]);
    // The kubelet writes events of a node under the node's name instead of its uid.
    let by_name = target.resource.kind == "Node";
    let subject = if by_name {
        format!("involvedObject.kind=Node,involvedObject.name={}", text(&object["metadata"]["name"]))
    } else {
        format!("involvedObject.uid={uid}")
    };
    let path = match &target.namespace {
        Some(namespace) => format!("/api/v1/namespaces/{namespace}/events"),
        None => "/api/v1/events".into(),
    };
    let list = session.get(&with_query(path, &[("fieldSelector", &subject)])).await?;
    let mut events: Vec<&Value> = list["items"].as_array().into_iter().flatten().collect();
    if events.is_empty() {
        return Ok("Events:  <none>\n".into());
    }
    let when = |event: &Value| {
        let fields = ["lastTimestamp", "eventTime", "firstTimestamp"];
        fields
            .iter()
            .find_map(|field| event[field].as_str())
            .or(event["metadata"]["creationTimestamp"].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    events.sort_by_key(|event| when(event));
    let mut table = Table {
        heading: ["  Type", "Reason", "Age", "From", "Message"].map(str::to_owned).to_vec(),
        rows: Vec::new(),
    };
    for event in events {
        let count = event["count"].as_i64().unwrap_or(1);
        let age = age(&when(event));
        let source = event["source"]["component"]
            .as_str()
            .or(event["reportingComponent"].as_str())
            .unwrap_or_default();
        table.rows.push(vec![
            format!("  {}", text(&event["type"])),
            text(&event["reason"]),
            if count > 1 { format!("{age} (x{count})") } else { age },
            source.to_owned(),
            event["message"]
                .as_str()
                .or(event["note"].as_str())
                .unwrap_or_default()
                .trim()
                .replace('\n', " "),
        ]);
    }
    Ok(format!("Events:\n{}", table.render()))
}

/// Time since a moment, in its largest unit or two.
fn age(moment: &str) -> String {
    let Ok(then) = moment.parse::<jiff::Timestamp>() else { return "<unknown>".into() };
    let seconds = (jiff::Timestamp::now().as_second() - then.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_reads_as_a_tree_and_secrets_stay_secret() {
        let shown = describe(&json!({
            "kind": "Secret", "metadata": {"name": "s", "namespace": "n", "labels": {"a": "b"}},
            "type": "Opaque", "data": {"password": "aHVudGVyMg=="},
        }));
        assert!(shown.contains("password:  7 bytes"), "{shown}");
        assert!(!shown.contains("aHVudGVyMg"), "{shown}");
        assert_eq!(heading("restartPolicy"), "Restart Policy");
        assert_eq!(heading("podIPs"), "Pod IPs");
        assert_eq!(heading("app.example/name"), "app.example/name");
    }
}
