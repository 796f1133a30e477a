//! Conditions and the status as a whole.

use api_types::k8s::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerStatus, MetricStatus,
};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use jiff::Timestamp;

/// A condition as it is to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub kind: &'static str,
    pub holds: bool,
    pub reason: String,
    pub message: String,
}

impl Condition {
    pub(super) fn able(holds: bool, reason: &str, message: impl Into<String>) -> Self {
        Self { kind: "AbleToScale", holds, reason: reason.to_owned(), message: message.into() }
    }

    pub(super) fn active(holds: bool, reason: &str, message: impl Into<String>) -> Self {
        Self { kind: "ScalingActive", holds, reason: reason.to_owned(), message: message.into() }
    }

    pub(super) fn limited(holds: bool, reason: &str, message: impl Into<String>) -> Self {
        Self { kind: "ScalingLimited", holds, reason: reason.to_owned(), message: message.into() }
    }
}

/// The status being put together during one look at an autoscaler.
pub(super) struct Draft {
    pub status: HorizontalPodAutoscalerStatus,
    now: Timestamp,
}

impl Draft {
    pub(super) fn new(autoscaler: &HorizontalPodAutoscaler, now: Timestamp) -> Self {
        Self { status: autoscaler.status.clone().unwrap_or_default(), now }
    }

    /// Shows a condition; its time changes only with its status.
    pub(super) fn set(&mut self, condition: Condition) {
        let Condition { kind, holds, reason, message } = condition;
        let conditions = self.status.conditions.get_or_insert_default();
        let at = match conditions.iter().position(|known| known.type_ == kind) {
            Some(at) => at,
            None => {
                conditions.push(HorizontalPodAutoscalerCondition {
                    type_: kind.to_owned(),
                    ..HorizontalPodAutoscalerCondition::default()
                });
                conditions.len() - 1
            }
        };
        let known = &mut conditions[at];
        let status = if holds { "True" } else { "False" };
        if known.status != status {
            known.last_transition_time = Some(Time(self.now));
        }
        known.status = status.to_owned();
        known.reason = Some(reason);
        known.message = Some(message);
    }

    /// Shows what was measured.
    pub(super) fn measured(&mut self, current: i32, metrics: Vec<MetricStatus>) {
        self.status.current_replicas = Some(current);
        // An empty list comes back from the server as none, and would look like a change for ever.
        self.status.current_metrics = (!metrics.is_empty()).then_some(metrics);
    }

    /// Shows what was decided.
    pub(super) fn decided(&mut self, desired: i32, rescaled: bool) {
        self.status.desired_replicas = desired;
        if rescaled {
            self.status.last_scale_time = Some(Time(self.now));
        }
    }
}
