//! The extension points of scheduling, with upstream's names and contracts (KEP-624), and what passes between them.
//!
//! ```text
//!  PreEnqueue → QueueSort → PreFilter → Filter → PostFilter (nothing fits)
//!                                          └───→ PreScore → Score → Reserve → Permit → PreBind → Bind → PostBind
//! ```
//!
//! Everything up to Permit is synchronous and pure over a [`Snapshot`]; PreBind and Bind talk to the server.

mod event;
mod objects;
mod profile;
mod state;
mod status;

use std::sync::Arc;

use async_trait::async_trait;
use client::Client;

use crate::cache::{Cache, NodeInfo, PodInfo};
use crate::queue::Nominated;

pub use event::Event;
pub use objects::{Objects, trim};
pub use profile::{Entry, Profile, ProfileError};
pub use state::{CycleState, StateData};
pub use status::{Code, Diagnosis, Reason, Rejection, Verdict};

/// Best score of a node.
pub const MAX_SCORE: i64 = 100;

/// Everything a decision may look at.
#[derive(Clone, Copy)]
pub struct Snapshot<'a> {
    /// Nodes and pods.
    pub cache: &'a Cache,
    /// Everything else.
    pub objects: &'a Objects,
    /// Pods that wait for room made for them.
    pub nominated: &'a Nominated,
}

/// A plugin: its name, what it takes part in, and what may change its mind.
pub trait Plugin: Send + Sync + 'static {
    /// Upstream's name.
    fn name(&self) -> &'static str;

    /// Whether `event` may make `pod`, which this plugin rejected, schedulable. Saying yes too often costs tries, saying
    /// no wrongly leaves the pod waiting for minutes.
    fn hint(&self, snapshot: &Snapshot<'_>, event: &Event<'_>, pod: &PodInfo) -> bool {
        let _ = (snapshot, event, pod);
        false
    }

    /// Takes part in PreEnqueue.
    fn pre_enqueue(self: Arc<Self>) -> Option<Arc<dyn PreEnqueue>> {
        None
    }
    /// Takes part in QueueSort.
    fn queue_sort(self: Arc<Self>) -> Option<Arc<dyn QueueSort>> {
        None
    }
    /// Takes part in PreFilter.
    fn pre_filter(self: Arc<Self>) -> Option<Arc<dyn PreFilter>> {
        None
    }
    /// Takes part in Filter.
    fn filter(self: Arc<Self>) -> Option<Arc<dyn Filter>> {
        None
    }
    /// Takes part in PostFilter.
    fn post_filter(self: Arc<Self>) -> Option<Arc<dyn PostFilter>> {
        None
    }
    /// Takes part in PreScore.
    fn pre_score(self: Arc<Self>) -> Option<Arc<dyn PreScore>> {
        None
    }
    /// Takes part in Score.
    fn score(self: Arc<Self>) -> Option<Arc<dyn Score>> {
        None
    }
    /// Takes part in Reserve.
    fn reserve(self: Arc<Self>) -> Option<Arc<dyn Reserve>> {
        None
    }
    /// Takes part in Permit.
    fn permit(self: Arc<Self>) -> Option<Arc<dyn Permit>> {
        None
    }
    /// Takes part in PreBind.
    fn pre_bind(self: Arc<Self>) -> Option<Arc<dyn PreBind>> {
        None
    }
    /// Takes part in Bind.
    fn bind(self: Arc<Self>) -> Option<Arc<dyn Bind>> {
        None
    }
    /// Takes part in PostBind.
    fn post_bind(self: Arc<Self>) -> Option<Arc<dyn PostBind>> {
        None
    }
}

/// Decides whether a pod may enter the queue of pods to schedule.
pub trait PreEnqueue: Send + Sync {
    /// # Errors
    /// Why it has to stay outside.
    fn pre_enqueue(&self, objects: &Objects, pod: &PodInfo) -> Verdict;
}

/// Orders the queue; exactly one plugin per process does.
pub trait QueueSort: Send + Sync {
    /// Pods with a larger rank go first; among equals, the one that waits longest.
    fn rank(&self, pod: &PodInfo) -> i64;
}

/// What PreFilter found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PreFiltered {
    /// Nodes have to be looked at.
    Look,
    /// The plugin's Filter has nothing to say about this pod.
    Skip,
    /// Only these nodes can do.
    Only(Vec<Arc<str>>),
}

/// Looks at the pod before any node.
pub trait PreFilter: Send + Sync {
    /// # Errors
    /// Why no node can do.
    fn pre_filter(
        &self,
        snapshot: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
    ) -> Result<PreFiltered, Rejection>;

    /// Changes the state as if `added` ran on `node`.
    fn add_pod(
        &self,
        snapshot: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
        added: &PodInfo,
        node: &NodeInfo,
    ) {
        let _ = (snapshot, state, pod, added, node);
    }

    /// Changes the state as if `removed` did not run on `node`.
    fn remove_pod(
        &self,
        snapshot: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
        removed: &PodInfo,
        node: &NodeInfo,
    ) {
        let _ = (snapshot, state, pod, removed, node);
    }
}

/// Decides whether a node can do.
pub trait Filter: Send + Sync {
    /// # Errors
    /// Why it cannot.
    fn filter(&self, snapshot: &Snapshot<'_>, state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict;
}

/// What could make room for a pod.
#[derive(Clone, Debug, Default)]
pub struct Remedy {
    /// Node on which room is made, to be reserved for the pod.
    pub node: Option<Arc<str>>,
    /// Pods to remove from it.
    pub victims: Vec<Arc<PodInfo>>,
    /// Claims of devices to take back, by namespace and name.
    pub deallocate: Vec<client::Key>,
}

/// Why there is no [`Remedy`].
#[derive(Clone, Debug)]
pub struct NoRemedy {
    /// Why.
    pub rejection: Rejection,
    /// Room that was made earlier does not help any more.
    pub give_up_nomination: bool,
}

impl From<Rejection> for NoRemedy {
    fn from(rejection: Rejection) -> Self {
        Self { rejection, give_up_nomination: false }
    }
}

/// Looks for a way to make room when nothing fits.
pub trait PostFilter: Send + Sync {
    /// # Errors
    /// Why there is none.
    fn post_filter(
        &self,
        profile: &Profile,
        snapshot: &Snapshot<'_>,
        state: &CycleState,
        pod: &Arc<PodInfo>,
        diagnosis: &Diagnosis,
    ) -> Result<Remedy, NoRemedy>;
}

/// What PreScore found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreScored {
    /// Nodes have to be scored.
    Look,
    /// The plugin's Score has nothing to say about this pod.
    Skip,
}

/// Prepares scoring of the nodes that can do.
pub trait PreScore: Send + Sync {
    /// # Errors
    /// When scoring is impossible.
    fn pre_score(
        &self,
        snapshot: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
        nodes: &[&NodeInfo],
    ) -> Result<PreScored, Rejection>;
}

/// Says how good a node is.
pub trait Score: Send + Sync {
    /// The score of one node, in the plugin's own scale.
    fn score(&self, snapshot: &Snapshot<'_>, state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> i64;

    /// Brings scores to the range 0 to [`MAX_SCORE`].
    fn normalize(&self, state: &CycleState, scores: &mut [i64]) {
        let _ = (state, scores);
    }
}

/// Keeps things for a pod while its binding is under way.
pub trait Reserve: Send + Sync {
    /// # Errors
    /// Why they cannot be kept.
    fn reserve(
        &self,
        snapshot: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
        node: &NodeInfo,
    ) -> Verdict;
    /// Gives them back; must do nothing when they were not kept.
    fn unreserve(&self, state: &CycleState, pod: &PodInfo);
}

/// Has the last word before binding.
pub trait Permit: Send + Sync {
    /// # Errors
    /// Why the pod may not be bound.
    fn permit(&self, snapshot: &Snapshot<'_>, state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict;
}

/// Does what must be done before binding, for example attaching a volume to the claim.
#[async_trait]
pub trait PreBind: Send + Sync {
    /// Whether there is anything to do for this pod.
    fn needed(&self, state: &CycleState) -> bool;

    /// # Errors
    /// What went wrong; the pod goes back to the queue.
    async fn pre_bind(
        &self,
        client: &Client,
        state: &CycleState,
        pod: &PodInfo,
        node: &str,
    ) -> Result<(), anyhow::Error>;
}

/// Binds.
#[async_trait]
pub trait Bind: Send + Sync {
    /// # Errors
    /// What went wrong; the pod goes back to the queue.
    async fn bind(&self, client: &Client, pod: &PodInfo, node: &str) -> Result<(), anyhow::Error>;
}

/// Learns of a binding that was made.
pub trait PostBind: Send + Sync {
    /// The pod is bound.
    fn post_bind(&self, state: &CycleState, pod: &PodInfo);
}

/// Brings scores to 0 to [`MAX_SCORE`] in proportion to the largest; `reverse` when small is good.
pub fn normalize_by_largest(scores: &mut [i64], reverse: bool) {
    let largest = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        if largest > 0 {
            *score = MAX_SCORE * *score / largest;
        }
        if reverse {
            *score = MAX_SCORE - *score;
        }
    }
}
