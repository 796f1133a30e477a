//! What happened to an object, oldest first.

use serde_json::Value;

use super::page::{Page, text};
use crate::error::Result;
use crate::output::time::age;
use crate::session::{Session, with_query};
use crate::target::Target;

/// The events about an object.
pub async fn events(session: &Session, target: &Target, object: &Value) -> Result<Page> {
    let metadata = &object["metadata"];
    let mut fields = vec![
        format!("involvedObject.kind={}", target.resource.kind),
        format!("involvedObject.name={}", text(&metadata["name"])),
    ];
    // The kubelet writes events of a node under the node's name instead of its uid.
    if target.resource.kind != "Node" {
        fields.push(format!("involvedObject.uid={}", text(&metadata["uid"])));
    }
    let path = match &target.namespace {
        Some(namespace) => format!("/api/v1/namespaces/{namespace}/events"),
        None => "/api/v1/events".into(),
    };
    let mut list = session.get(&with_query(path, &[("fieldSelector", &fields.join(","))])).await?;
    let mut events = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    events.sort_by_key(|event| text(last(event)));
    let mut page = Page::default();
    if events.is_empty() {
        page.field("Events", "<none>");
        return Ok(page);
    }
    page.line("Events:\n  Type\tReason\tAge\tFrom\tMessage\n  ----\t------\t----\t----\t-------");
    for event in &events {
        page.line(line(event));
    }
    Ok(page)
}

fn line(event: &Value) -> String {
    let count = event["series"]["count"].as_i64().or(event["count"].as_i64()).unwrap_or(1);
    let mut when = age(last(event));
    if count > 1 {
        when = format!("{when} (x{count} over {})", age(first(event)));
    }
    let source = event["source"]["component"].as_str().filter(|component| !component.is_empty());
    let source = source.or(event["reportingComponent"].as_str()).unwrap_or_default();
    let place =
        event["involvedObject"]["fieldPath"].as_str().map(|path| format!("{path}: ")).unwrap_or_default();
    let message = text(&event["message"]).trim().replace(['\n', '\t'], " ");
    format!("  {}\t{}\t{when}\t{source}\t{place}{message}", text(&event["type"]), text(&event["reason"]))
}

fn first(event: &Value) -> &Value {
    known(event, &["/firstTimestamp", "/eventTime", "/metadata/creationTimestamp"])
}

fn last(event: &Value) -> &Value {
    known(event, &["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"])
}

fn known<'a>(event: &'a Value, places: &[&str]) -> &'a Value {
    places
        .iter()
        .find_map(|place| event.pointer(place).filter(|time| time.is_string()))
        .unwrap_or(&Value::Null)
}
