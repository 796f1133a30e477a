//! The two kinds of replica sets seen as one.

use api_types::k8s::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use api_types::k8s::api::core::v1::{
    PodTemplateSpec, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use api_types::selector::Selector;
use client::Object;
use serde::Serialize;

use crate::common::selector;

/// What the controller reads of a set.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub replicas: i32,
    pub min_ready: i32,
    pub selector: Selector,
    pub template: PodTemplateSpec,
}

/// What the controller writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Status {
    pub replicas: i32,
    pub fully_labeled: i32,
    pub ready: i32,
    pub available: i32,
    pub terminating: i32,
    pub observed_generation: i64,
    pub conditions: Vec<Condition>,
}

/// A condition of either kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    pub type_: String,
    pub status: String,
    pub reason: Option<String>,
    pub message: Option<String>,
    pub last_transition_time: Option<Time>,
}

/// A kind of replica set.
pub(super) trait Kind: Object<DynamicType = ()> + Serialize {
    /// Name in events, logs and metrics.
    const CONTROLLER: &'static str;

    fn spec(&self) -> Spec;
    /// The status as it is; fields that the kind lacks read as in `like`.
    fn status(&self, like: &Status) -> Status;
    fn set_status(&mut self, status: &Status);
}

/// The condition types of both kinds have the same fields.
macro_rules! conditions {
    ($to:ident, $conditions:expr) => {
        $conditions
            .into_iter()
            .map(|condition| $to {
                type_: condition.type_,
                status: condition.status,
                reason: condition.reason,
                message: condition.message,
                last_transition_time: condition.last_transition_time,
            })
            .collect::<Vec<$to>>()
    };
}

/// So have their specifications and statuses, but for what is said in the blocks.
macro_rules! kind {
    ($set:ident, $status:ident, $condition:ident, $controller:literal,
     selector: |$spec:ident| $selector:expr,
     terminating: |$known:ident, $like:ident| $terminating:expr,
     more: |$new:ident| { $($field:ident: $value:expr)? }) => {
        impl Kind for $set {
            const CONTROLLER: &'static str = $controller;

            fn spec(&self) -> Spec {
                let $spec = self.spec.clone().unwrap_or_default();
                Spec {
                    replicas: $spec.replicas.unwrap_or(1),
                    min_ready: $spec.min_ready_seconds.unwrap_or(0),
                    selector: $selector,
                    template: $spec.template.unwrap_or_default(),
                }
            }

            fn status(&self, $like: &Status) -> Status {
                let $known = self.status.clone().unwrap_or_default();
                Status {
                    replicas: $known.replicas,
                    fully_labeled: $known.fully_labeled_replicas.unwrap_or(0),
                    ready: $known.ready_replicas.unwrap_or(0),
                    available: $known.available_replicas.unwrap_or(0),
                    terminating: $terminating,
                    observed_generation: $known.observed_generation.unwrap_or(0),
                    conditions: conditions!(Condition, $known.conditions.unwrap_or_default()),
                }
            }

            fn set_status(&mut self, $new: &Status) {
                let conditions = conditions!($condition, $new.conditions.clone());
                self.status = Some($status {
                    replicas: $new.replicas,
                    fully_labeled_replicas: nonzero($new.fully_labeled),
                    ready_replicas: nonzero($new.ready),
                    available_replicas: nonzero($new.available),
                    observed_generation: Some($new.observed_generation),
                    conditions: (!conditions.is_empty()).then_some(conditions),
                    $($field: $value,)?
                });
            }
        }
    };
}

kind!(
    ReplicaSet, ReplicaSetStatus, ReplicaSetCondition, "replicaset-controller",
    selector: |spec| selector::of(&spec.selector),
    // Never written reads as "differs", so that the first status says zero.
    terminating: |known, _like| known.terminating_replicas.unwrap_or(-1),
    more: |new| { terminating_replicas: Some(new.terminating) }
);

kind!(
    ReplicationController, ReplicationControllerStatus, ReplicationControllerCondition, "replication-controller",
    selector: |spec| selector::of_map(spec.selector.as_ref()),
    terminating: |known, like| like.terminating,
    more: |new| {}
);

fn nonzero(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}
