//! Gives every pod its worker.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::Pod;
use api_types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::worker::Worker;
use super::{Desired, End, Input, Source, Tools};
use crate::cri::relist::Changed;
use crate::pod::{PodExt, SharedPod};
use crate::status;

/// How often leftovers on the disk are looked for.
const HOUSEKEEPING: Duration = Duration::from_secs(120);

/// Routes inputs to workers.
pub struct Manager {
    tools: Arc<Tools>,
    /// Sources that must have spoken before an unknown pod may be called an orphan.
    expected: HashSet<Source>,
    ready: HashSet<Source>,
    workers: HashMap<String, Handle>,
    /// Static pods whose name is still taken by a worker that is ending.
    queued: HashMap<String, SharedPod>,
    /// Pods that the runtime has and nobody wants, so far.
    orphans: HashMap<String, Changed>,
    ended: JoinSet<()>,
    /// UIDs by worker task.
    tasks: HashMap<tokio::task::Id, String>,
    /// Pods of which nothing is left here, while the API still shows them.
    finished: HashSet<String>,
}

struct Handle {
    desired: watch::Sender<Desired>,
    wake: Arc<Notify>,
    namespace: String,
    full_name: String,
    is_static: bool,
}

impl Manager {
    /// A manager that waits for these sources before it cleans up after pods it does not know.
    pub fn new(tools: Arc<Tools>, expected: impl IntoIterator<Item = Source>) -> Self {
        Self {
            tools,
            expected: expected.into_iter().collect(),
            ready: HashSet::new(),
            workers: HashMap::new(),
            queued: HashMap::new(),
            orphans: HashMap::new(),
            ended: JoinSet::new(),
            tasks: HashMap::new(),
            finished: HashSet::new(),
        }
    }

    /// Works until `stop`. Containers stay as they are when the kubelet stops.
    pub async fn run(mut self, mut inputs: mpsc::Receiver<Input>, stop: CancellationToken) {
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                input = inputs.recv() => match input {
                    Some(input) => self.take(input),
                    None => return,
                },
                Some(ended) = self.ended.join_next_with_id() => match ended {
                    Ok((task, ())) => self.worker_ended(task),
                    Err(error) => self.worker_failed(&error),
                },
                _ = housekeeping.tick() => self.clean_disk(),
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Set(source, pod) => self.set(source, pod),
            Input::Removed(uid) => {
                self.queued.retain(|_, pod| pod.uid() != uid);
                self.finished.remove(&uid);
                self.end(&uid);
            }
            Input::Ready(source) => {
                if self.ready.insert(source) {
                    tracing::info!(?source, "Pod source ready");
                    self.end_orphans();
                }
            }
            Input::Runtime(changed) => self.runtime_changed(changed),
            Input::Objects { namespace } => {
                for handle in self.workers.values().filter(|handle| handle.namespace == namespace) {
                    handle.wake.notify_one();
                }
            }
            Input::Wake => self.workers.values().for_each(|handle| handle.wake.notify_one()),
            Input::Evict { uid, verdict: (reason, message), grace } => {
                if let Some(handle) = self.workers.get(&uid) {
                    handle.desired.send_modify(|desired| desired.verdict = Some((reason, message, grace)));
                }
            }
        }
    }

    fn set(&mut self, source: Source, pod: SharedPod) {
        let deleted = source == Source::Api && pod.is_deleting();
        self.orphans.remove(pod.uid());
        if let Some(handle) = self.workers.get(pod.uid()) {
            self.tools.registry.set_pod(&pod);
            handle.desired.send_if_modified(|desired| {
                let news = asks_for_something(&desired.pod, &pod);
                desired.pod = pod.clone();
                let ends = deleted && desired.end.is_none();
                if ends {
                    desired.end = Some(End::Deleted);
                }
                news || ends
            });
            return;
        }
        if self.finished.contains(pod.uid()) {
            return;
        }
        let name = pod.display();
        if source == Source::File
            && self.workers.values().any(|handle| handle.is_static && handle.full_name == name)
        {
            tracing::info!(pod = name, "Static pod waits for its predecessor to end");
            self.queued.insert(name, pod);
            return;
        }
        self.start(pod, deleted.then_some(End::Deleted));
    }

    fn start(&mut self, pod: SharedPod, end: Option<End>) {
        let uid = pod.uid().to_owned();
        self.tools.registry.set_pod(&pod);
        let wake = Arc::new(Notify::new());
        let handle = |desired| Handle {
            desired,
            wake: wake.clone(),
            namespace: pod.namespace().to_owned(),
            full_name: pod.display(),
            is_static: pod.is_static(),
        };
        let (sender, receiver) = watch::channel(Desired { pod: pod.clone(), end, verdict: None });
        self.workers.insert(uid.clone(), handle(sender));
        let worker = Worker::new(self.tools.clone(), receiver, wake.clone());
        let task = self.ended.spawn(worker.run()).id();
        self.tasks.insert(task, uid);
    }

    fn end(&mut self, uid: &str) {
        if let Some(handle) = self.workers.get(uid) {
            handle.desired.send_modify(|desired| desired.end = desired.end.take().or(Some(End::Removed)));
        }
    }

    fn worker_ended(&mut self, task: tokio::task::Id) {
        let Some(uid) = self.tasks.remove(&task) else { return };
        self.tools.registry.remove(&uid);
        let Some(handle) = self.workers.remove(&uid) else { return };
        if handle.desired.borrow().end == Some(End::Deleted) {
            self.finished.insert(uid);
        }
        if let Some(next) = self.queued.remove(&handle.full_name) {
            self.start(next, None);
        }
    }

    /// A worker that panicked has left its pod as a killed kubelet would; a new one takes it up.
    fn worker_failed(&mut self, error: &tokio::task::JoinError) {
        let Some(uid) = self.tasks.remove(&error.id()) else { return };
        tracing::error!(uid, %error, "A pod worker failed; another one takes its pod up");
        if let Some(handle) = self.workers.remove(&uid) {
            let desired = handle.desired.borrow().clone();
            self.start(desired.pod, desired.end);
        }
    }

    fn runtime_changed(&mut self, changed: Changed) {
        if let Some(handle) = self.workers.get(&changed.uid) {
            handle.wake.notify_one();
        } else if changed.exists {
            self.orphans.insert(changed.uid.clone(), changed);
            self.end_orphans();
        } else {
            self.orphans.remove(&changed.uid);
        }
    }

    /// A pod in the runtime that no source wants is ended, once the source it came from has spoken.
    fn end_orphans(&mut self) {
        let settled = |source| !self.expected.contains(&source) || self.ready.contains(&source);
        let (files, api) = (settled(Source::File), settled(Source::Api));
        let (orphans, keep): (HashMap<_, _>, HashMap<_, _>) = std::mem::take(&mut self.orphans)
            .into_iter()
            .partition(|(_, orphan)| if orphan.from_file { files } else { files && api });
        self.orphans = keep;
        for orphan in orphans.into_values() {
            tracing::info!(
                pod = format!("{}/{}", orphan.namespace, orphan.name),
                uid = orphan.uid,
                "Ending a pod that nobody wants"
            );
            self.start(skeleton(orphan), Some(End::Removed));
        }
    }

    /// Directories and cgroups without a worker belong to pods that ended while no kubelet ran.
    fn clean_disk(&mut self) {
        if !self.expected.is_subset(&self.ready) {
            return;
        }
        for uid in self.tools.steps.clean_up.left_behind() {
            if self.workers.contains_key(&uid) || self.orphans.contains_key(&uid) {
                continue;
            }
            let name = uid.clone();
            self.start(skeleton(Changed { uid, name, ..Changed::default() }), Some(End::Removed));
        }
    }
}

/// Whether a new version of a pod is more than the echo of a status that its worker wrote itself.
fn asks_for_something(old: &Pod, new: &Pod) -> bool {
    let metadata =
        |pod: &Pod| ObjectMeta { resource_version: None, managed_fields: None, ..pod.metadata.clone() };
    let foreign = |pod: &Pod| status::foreign_conditions(pod).cloned().collect::<Vec<_>>();
    old.spec != new.spec || metadata(old) != metadata(new) || foreign(old) != foreign(new)
}

/// As much of a pod as its labels tell.
fn skeleton(orphan: Changed) -> SharedPod {
    Arc::new(Pod {
        metadata: ObjectMeta {
            uid: Some(orphan.uid),
            name: Some(orphan.name),
            namespace: Some(orphan.namespace).filter(|namespace| !namespace.is_empty()),
            ..ObjectMeta::default()
        },
        ..Pod::default()
    })
}
