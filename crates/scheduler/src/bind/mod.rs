//! Everything that talks to the server, in the background and many at once: binding, conditions, preemption.

mod status;

use std::sync::Arc;

use api_types::k8s::api::core::v1::Pod;
use api_types::k8s::api::resource::v1::ResourceClaim;
use client::events::{Kind, Recorder, reference};
use client::{Client, ErrorExt, Writer, Writes, write};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cache::PodInfo;
use crate::framework::{CycleState, Profile};
use crate::metrics;
use crate::queue::QueuedPod;

pub use status::{Failed, failed_patch};

/// Bindings under way at most. While there are so many no further decision is made.
const MAX_BINDINGS: usize = 256;
/// Other writes under way at most; further ones wait.
const MAX_WRITES: usize = 64;

/// A binding that ended.
pub struct Bound {
    /// The pod.
    pub pod: QueuedPod,
    /// Its node.
    pub node: Arc<str>,
    /// The decision's state, for Unreserve and PostBind.
    pub state: CycleState,
    /// Whether it is bound.
    pub result: Result<(), anyhow::Error>,
    /// When the attempt began.
    pub began: Instant,
}

/// What ended in the background.
pub enum Done {
    /// A binding.
    Bound(Box<Bound>),
    /// A preemption for the pod with this uid; `false` when a victim could not be deleted.
    Preempted(Arc<str>, bool),
}

/// Work in the background.
pub struct Binder {
    client: Client,
    tasks: JoinSet<Option<Done>>,
    bindings: usize,
    writes: Arc<tokio::sync::Semaphore>,
}

impl Binder {
    /// Writes with this client.
    pub fn new(client: Client) -> Self {
        let writes = Arc::new(tokio::sync::Semaphore::new(MAX_WRITES));
        Self { client, tasks: JoinSet::new(), bindings: 0, writes }
    }

    /// Whether another binding may start.
    pub fn has_room(&self) -> bool {
        self.bindings < MAX_BINDINGS
    }

    /// Runs PreBind and Bind.
    pub fn bind(
        &mut self,
        profile: Arc<Profile>,
        pod: QueuedPod,
        node: Arc<str>,
        state: CycleState,
        began: Instant,
    ) {
        self.bindings += 1;
        let client = self.client.clone();
        self.tasks.spawn(async move {
            let result = run_binding(&profile, &client, &state, &pod.info, &node).await;
            Some(Done::Bound(Box::new(Bound { pod, node, state, result, began })))
        });
    }

    /// Writes why a pod has no node, or for which node room is made.
    pub fn write_status(&mut self, failed: Failed) {
        let (client, writes) = (self.client.clone(), Arc::clone(&self.writes));
        self.tasks.spawn(async move {
            let Ok(_permit) = writes.acquire().await else { return None };
            let writer = Writer::blind(&client, ());
            let patch = client::Patch::Strategic(failed_patch(&failed, jiff::Timestamp::now()));
            let written = writer
                .patch_sub::<_>(&Writes::default(), "status", &failed.pod.key, &patch)
                .await
                .map(|_: Pod| ());
            match written {
                Ok(()) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    tracing::warn!(pod = %failed.pod.key, %error, "cannot write the pod's condition")
                }
            }
            None
        });
    }

    /// Deletes pods to make room.
    pub fn preempt(
        &mut self,
        pod: Arc<PodInfo>,
        node: &str,
        victims: Vec<Arc<PodInfo>>,
        recorder: &Recorder,
    ) {
        for victim in &victims {
            let note = format!("Preempted by pod {} on node {node}", pod.uid);
            let (victim, by) = (reference(&*victim.pod), reference(&*pod.pod));
            recorder.related(victim, Some(by), Kind::Normal, "Preempted", "Preempting", note);
        }
        let client = self.client.clone();
        self.tasks.spawn(async move {
            let scheduler = pod.scheduler_name();
            let deletions = victims.iter().map(|victim| delete_victim(&client, victim, scheduler));
            let succeeded = futures::future::join_all(deletions).await.into_iter().all(|deleted| deleted);
            Some(Done::Preempted(Arc::clone(&pod.uid), succeeded))
        });
    }

    /// Takes the devices of claims back that nobody uses.
    pub fn deallocate(&mut self, claims: Vec<client::Key>) {
        let (client, writes) = (self.client.clone(), Arc::clone(&self.writes));
        self.tasks.spawn(async move {
            let Ok(_permit) = writes.acquire().await else { return None };
            let writer: Writer<ResourceClaim> = Writer::blind(&client, ());
            for key in claims {
                let patch = client::Patch::Merge(serde_json::json!({ "status": { "allocation": null } }));
                if let Err(error) = writer.patch_sub(&Writes::default(), "status", &key, &patch).await {
                    tracing::warn!(claim = %key, %error, "cannot take the claim's devices back");
                }
            }
            None
        });
    }

    /// Waits until something ended; never ready when nothing is under way. Cancel safe.
    pub async fn done(&mut self) -> Option<Done> {
        match self.tasks.join_next().await {
            Some(ended) => self.ended(ended),
            None => std::future::pending().await,
        }
    }

    /// What has ended already; the outer `None` when nothing has.
    pub fn try_done(&mut self) -> Option<Option<Done>> {
        let ended = self.tasks.try_join_next()?;
        Some(self.ended(ended))
    }

    fn ended(&mut self, ended: Result<Option<Done>, tokio::task::JoinError>) -> Option<Done> {
        let done = match ended {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "a task in the background panicked");
                None
            }
        };
        if matches!(done, Some(Done::Bound(_))) {
            self.bindings -= 1;
        }
        done
    }
}

async fn run_binding(
    profile: &Profile,
    client: &Client,
    state: &CycleState,
    pod: &PodInfo,
    node: &str,
) -> Result<(), anyhow::Error> {
    let mut began = Instant::now();
    for entry in profile.pre_bind.iter().filter(|entry| entry.plugin.needed(state)) {
        let done = entry.plugin.pre_bind(client, state, pod, node).await;
        observe("PreBind", profile, done.is_ok(), began);
        done.map_err(|error| error.context(format!("running PreBind plugin {:?}", entry.name)))?;
    }
    let Some(entry) = profile.bind.first() else { anyhow::bail!("the profile has no bind plugin") };
    began = Instant::now();
    let done = entry.plugin.bind(client, pod, node).await;
    observe("Bind", profile, done.is_ok(), began);
    done.map_err(|error| error.context(format!("running Bind plugin {:?}", entry.name)))
}

fn observe(point: &str, profile: &Profile, succeeded: bool, began: Instant) {
    let status = if succeeded { "Success" } else { "Error" };
    metrics::point(point, &profile.name, status, began.elapsed());
}

/// Marks a victim as disrupted and deletes it; `false` when it is still there.
async fn delete_victim(client: &Client, victim: &PodInfo, scheduler: &str) -> bool {
    let writer: Writer<Pod> = Writer::blind(client, ());
    let writes = Writes::default();
    let patch = client::Patch::Strategic(status::disrupted_patch(scheduler, jiff::Timestamp::now()));
    let marked = writer.patch_sub(&writes, "status", &victim.key, &patch).await;
    let deleted = match marked {
        Ok(_) => writer.delete(&writes, &victim.key, &write::only(Some(&victim.uid))).await,
        Err(error) => Err(error),
    };
    match deleted {
        Ok(()) => true,
        // Gone already, or replaced by another pod of its name: the room is there.
        Err(error) if error.is_not_found() || error.is_conflict() => true,
        Err(error) => {
            tracing::warn!(victim = %victim.key, %error, "cannot delete the pod to make room");
            false
        }
    }
}
