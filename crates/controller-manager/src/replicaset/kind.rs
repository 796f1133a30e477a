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

impl Kind for ReplicaSet {
    const CONTROLLER: &'static str = "replicaset-controller";

    fn spec(&self) -> Spec {
        let spec = self.spec.clone().unwrap_or_default();
        Spec {
            replicas: spec.replicas.unwrap_or(1),
            min_ready: spec.min_ready_seconds.unwrap_or(0),
            selector: selector::of(&spec.selector),
            template: spec.template.unwrap_or_default(),
        }
    }

    fn status(&self, _: &Status) -> Status {
        let status = self.status.clone().unwrap_or_default();
        Status {
            replicas: status.replicas,
            fully_labeled: status.fully_labeled_replicas.unwrap_or(0),
            ready: status.ready_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
            // Never written reads as "differs", so that the first status says zero.
            terminating: status.terminating_replicas.unwrap_or(-1),
            observed_generation: status.observed_generation.unwrap_or(0),
            conditions: status
                .conditions
                .unwrap_or_default()
                .into_iter()
                .map(|c| Condition {
                    type_: c.type_,
                    status: c.status,
                    reason: c.reason,
                    message: c.message,
                    last_transition_time: c.last_transition_time,
                })
                .collect(),
        }
    }

    fn set_status(&mut self, status: &Status) {
        let conditions: Vec<_> = status
            .conditions
            .iter()
            .cloned()
            .map(|c| ReplicaSetCondition {
                type_: c.type_,
                status: c.status,
                reason: c.reason,
                message: c.message,
                last_transition_time: c.last_transition_time,
            })
            .collect();
        self.status = Some(ReplicaSetStatus {
            replicas: status.replicas,
            fully_labeled_replicas: nonzero(status.fully_labeled),
            ready_replicas: nonzero(status.ready),
            available_replicas: nonzero(status.available),
            terminating_replicas: Some(status.terminating),
            observed_generation: Some(status.observed_generation),
            conditions: (!conditions.is_empty()).then_some(conditions),
        });
    }
}

impl Kind for ReplicationController {
    const CONTROLLER: &'static str = "replication-controller";

    fn spec(&self) -> Spec {
        let spec = self.spec.clone().unwrap_or_default();
        Spec {
            replicas: spec.replicas.unwrap_or(1),
            min_ready: spec.min_ready_seconds.unwrap_or(0),
            selector: selector::of_map(spec.selector.as_ref()),
            template: spec.template.unwrap_or_default(),
        }
    }

    fn status(&self, like: &Status) -> Status {
        let status = self.status.clone().unwrap_or_default();
        Status {
            replicas: status.replicas,
            fully_labeled: status.fully_labeled_replicas.unwrap_or(0),
            ready: status.ready_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
            terminating: like.terminating,
            observed_generation: status.observed_generation.unwrap_or(0),
            conditions: status
                .conditions
                .unwrap_or_default()
                .into_iter()
                .map(|c| Condition {
                    type_: c.type_,
                    status: c.status,
                    reason: c.reason,
                    message: c.message,
                    last_transition_time: c.last_transition_time,
                })
                .collect(),
        }
    }

    fn set_status(&mut self, status: &Status) {
        let conditions: Vec<_> = status
            .conditions
            .iter()
            .cloned()
            .map(|c| ReplicationControllerCondition {
                type_: c.type_,
                status: c.status,
                reason: c.reason,
                message: c.message,
                last_transition_time: c.last_transition_time,
            })
            .collect();
        self.status = Some(ReplicationControllerStatus {
            replicas: status.replicas,
            fully_labeled_replicas: nonzero(status.fully_labeled),
            ready_replicas: nonzero(status.ready),
            available_replicas: nonzero(status.available),
            observed_generation: Some(status.observed_generation),
            conditions: (!conditions.is_empty()).then_some(conditions),
        });
    }
}

fn nonzero(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}
