//! DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or cannot be reached,
//! unless it says otherwise.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::Dependencies;
use super::support::{list, list_at, text};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const SECONDS: i64 = 300;

pub(super) fn make(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(DefaultTolerationSeconds)
}

struct DefaultTolerationSeconds;

#[async_trait]
impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn mutate(&self, request: &mut Request<'_>, _: &dyn Reader) -> Result<(), Error> {
        if request.is("", "pods")
            && let Some(pod) = &mut request.object
        {
            tolerate(&mut pod["spec"]);
        }
        Ok(())
    }
}

fn tolerate(spec: &mut Value) {
    let covers = |toleration: &Value, taint: &str| {
        matches!(text(toleration, "/key"), key if key == taint || key.is_empty())
            && matches!(text(toleration, "/effect"), "NoExecute" | "")
    };
    let present = list(spec, "/tolerations");
    let missing: Vec<&str> =
        TAINTS.into_iter().filter(|taint| !present.iter().any(|t| covers(t, taint))).collect();
    let Some(tolerations) = (!missing.is_empty()).then(|| list_at(spec, "tolerations")).flatten() else {
        return;
    };
    tolerations.extend(missing.into_iter().map(
        |taint| json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_added() {
        let cases = [
            (json!([]), 2),
            (json!([{"key": TAINTS[0], "operator": "Exists"}]), 2),
            (json!([{"key": TAINTS[0], "effect": "NoSchedule"}]), 3),
            (json!([{"operator": "Exists"}]), 1),
        ];
        for (given, expected) in cases {
            let mut spec = json!({"tolerations": given});
            tolerate(&mut spec);
            assert_eq!(list(&spec, "/tolerations").len(), expected, "{given}");
        }
        let mut spec = json!({});
        tolerate(&mut spec);
        assert_eq!(
            spec["tolerations"][0],
            json!({"key": TAINTS[0], "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
        );
    }
}
