//! Tells of hooks that fail, where administrators look: an Event of the hook's configuration, and one line in the log.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Hook;
use crate::admission::Step;
use crate::loopback::{Objects, Target};

/// A hook that goes on failing is told of again after this time.
const AGAIN_AFTER: Duration = Duration::from_secs(300);

/// Remembers which hooks fail.
pub struct Reports {
    objects: Arc<dyn Objects>,
    failing: Mutex<HashMap<String, Instant>>,
}

impl Reports {
    /// No hook fails yet.
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects, failing: Mutex::default() }
    }

    /// A hook could not be asked; `spared` says why the request passed all the same.
    pub fn failed(&self, step: Step, hook: &Hook, why: &str, spared: Option<&'static str>) {
        {
            let mut failing = self.failing.lock();
            let now = Instant::now();
            match failing.get(&hook.id) {
                Some(told) if now.duration_since(*told) < AGAIN_AFTER => return,
                _ => drop(failing.insert(hook.id.clone(), now)),
            }
        }
        let Hook { configuration, name, .. } = hook;
        tracing::warn!(configuration, hook = name, why, spared, "an admission webhook fails");
        let consequence = match spared {
            Some(reason) => format!("the request passed, because {reason}"),
            None => "requests are refused, because failurePolicy is Fail".to_owned(),
        };
        self.tell(step, configuration, "WebhookFailing", format!("{why}; {consequence}"));
    }

    /// A hook has answered.
    pub fn answered(&self, hook: &Hook) {
        let mut failing = self.failing.lock();
        if !failing.is_empty() && failing.remove(&hook.id).is_some() {
            tracing::info!(
                configuration = hook.configuration,
                hook = hook.name,
                "an admission webhook answers again"
            );
        }
    }

    /// Writes the Event beside the request, which does not wait for it.
    fn tell(&self, step: Step, configuration: &str, reason: &str, message: String) {
        let event = event(step, configuration, reason, message);
        let objects = Arc::clone(&self.objects);
        tokio::spawn(async move {
            let target =
                Target { group: "", resource: "events", namespace: "default", name: "", subresource: "" };
            if let Err(error) = objects.create(target, event).await {
                tracing::warn!(%error, "the Event of a failing webhook is lost");
            }
        });
    }
}

fn event(step: Step, configuration: &str, reason: &str, message: String) -> Value {
    let kind = match step {
        Step::Admit => "MutatingWebhookConfiguration",
        Step::Validate => "ValidatingWebhookConfiguration",
    };
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({
        "metadata": {"generateName": format!("{configuration}-"), "namespace": "default"},
        "involvedObject": {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "name": configuration,
        },
        "reason": reason,
        "message": message,
        "type": "Warning",
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": "kube-apiserver"},
    })
}
