//! TaintNodesByCondition: a new node takes no pods before it has reported that it is ready.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::Dependencies;
use super::support::{list, list_at};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub(super) fn make(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(TaintNodesByCondition)
}

struct TaintNodesByCondition;

#[async_trait]
impl Plugin for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, request: &mut Request<'_>, _: &dyn Reader) -> Result<(), Error> {
        let Some(node) = request.is("", "nodes").then_some(request.object.as_mut()).flatten() else {
            return Ok(());
        };
        let tainted =
            list(node, "/spec/taints").iter().any(|t| t["key"] == NOT_READY && t["effect"] == "NoSchedule");
        if node.get("spec").is_none_or(serde_json::Value::is_null) {
            node["spec"] = json!({});
        }
        if !tainted && let Some(taints) = list_at(&mut node["spec"], "taints") {
            taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
        }
        Ok(())
    }
}
