//! The condition `Dangling` of flow schemas: whether their priority level exists.

use std::sync::Arc;
use std::time::Duration;

use component::CancellationToken;
use serde_json::{Value, json};

use super::FlowControl;
use super::config::FlowSchema;
use crate::error::Result;
use crate::loopback::Target;
use crate::registry::Registry;

/// When a condition that could not be written is written again.
const RETRY: Duration = Duration::from_secs(5);
/// The owner of the condition.
const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";
const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const API_VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";

/// Keeps the condition true, until the server stops.
pub async fn run(control: Arc<FlowControl>, registry: Arc<Registry>, stop: CancellationToken) {
    loop {
        let mut failed = false;
        for (name, condition) in control.wrong_conditions() {
            if let Err(error) = apply(&registry, &name, condition).await
                && !error.is_not_found()
            {
                failed = true;
                tracing::warn!(%error, flow_schema = name, "cannot write the status");
            }
        }
        tokio::select! {
            () = control.changed.notified() => {}
            () = tokio::time::sleep(RETRY), if failed => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn apply(registry: &Registry, name: &str, condition: Value) -> Result<()> {
    let target = Target { group: GROUP, resource: "flowschemas", namespace: "", name, subresource: "status" };
    let config = json!({
        "apiVersion": API_VERSION, "kind": "FlowSchema", "metadata": { "name": name },
        "status": { "conditions": [condition] },
    });
    registry.apply_internal(target, &config, MANAGER).await
}

impl FlowControl {
    /// The schemas whose condition says something else than what is.
    fn wrong_conditions(&self) -> Vec<(String, Value)> {
        let objects = self.objects.lock();
        let wrong = objects.schemas.iter().filter_map(|(name, schema)| {
            let exists = objects.levels.contains_key(&schema.level);
            Some((name.clone(), condition(schema, exists)?))
        });
        wrong.collect()
    }
}

/// The condition that a schema should have; `None` when it has it.
fn condition(schema: &FlowSchema, exists: bool) -> Option<Value> {
    let level = &schema.level;
    let references =
        format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    let (status, reason, message) = match exists {
        true => ("False", "Found", format!("{references} and it exists")),
        false => ("True", "NotFound", format!("{references} but there is no such object")),
    };
    let old = schema.dangling.as_ref();
    if old.is_some_and(|old| old.status == status && old.message == message) {
        return None;
    }
    let since = old.filter(|old| old.status == status).and_then(|old| old.last_transition_time.clone());
    let since = since.unwrap_or_else(|| api_types::time::format_seconds(jiff::Timestamp::now()));
    Some(json!({
        "type": "Dangling", "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flowcontrol::config::Condition;

    #[test]
    fn the_condition_follows_the_level() {
        let mut schema = FlowSchema { level: "l".into(), ..FlowSchema::default() };
        let missing = condition(&schema, false).unwrap();
        assert_eq!((&missing["status"], &missing["reason"]), (&json!("True"), &json!("NotFound")));
        schema.dangling = Some(Condition {
            status: "True".into(),
            message: missing["message"].as_str().unwrap().into(),
            last_transition_time: Some("2024-01-01T00:00:00Z".into()),
            ..Condition::default()
        });
        assert_eq!(condition(&schema, false), None);
        let found = condition(&schema, true).unwrap();
        assert_eq!(found["reason"], "Found");
        assert_ne!(found["lastTransitionTime"], "2024-01-01T00:00:00Z");
    }
}
