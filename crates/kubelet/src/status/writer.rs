//! Writes pod statuses to the API server, and removes pods of which nothing is left on the node.
//!
//! Only what differs from the last write is sent. A write that fails is tried again until it succeeds or the pod is gone;
//! newer statuses replace older ones that wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::{Pod, PodStatus};
use client::{Api, Change, Client, DeleteParams, ErrorExt, Informer, Patch, PatchParams};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::pod::{PodExt, SharedPod};
use crate::pod_worker::StatusSink;
use crate::report::chain;

/// Pauses after failed writes of one pod: first and longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(16));
/// How often it is looked whether a pause is over.
const LOOK: Duration = Duration::from_millis(500);
/// Writes at the same time.
const PARALLEL: usize = 8;

/// Takes statuses and writes them in the background.
pub struct Writer {
    client: Client,
    /// Pods of this node in the API, mirror pods among them.
    pods: Informer<Pod>,
    wake: Notify,
    pods_state: Mutex<HashMap<String, Tracked>>,
}

struct Tracked {
    pod: SharedPod,
    wanted: Arc<PodStatus>,
    /// The last write, and the UID of the object it went to: a mirror pod may have been made anew.
    written: Option<(String, Arc<PodStatus>)>,
    dirty: bool,
    /// Nothing is left on the node: the API may forget the pod.
    gone: bool,
    /// Failed writes in a row, and when the next one may be.
    failures: u32,
    not_before: Option<Instant>,
}

/// A piece of work.
struct Job {
    uid: String,
    pod: SharedPod,
    status: Arc<PodStatus>,
    written: Option<(String, Arc<PodStatus>)>,
    gone: bool,
}

/// How a write ended.
enum Outcome {
    /// Written to the object with this UID.
    Done(String),
    /// The pod is not in the API any more.
    Forgotten,
    Failed(String),
    /// The mirror pod of a static pod is not there yet.
    Waiting,
}

impl StatusSink for Writer {
    fn update(&self, pod: &SharedPod, status: Arc<PodStatus>) {
        self.put(pod, status, false);
    }

    fn gone(&self, pod: &SharedPod, status: Arc<PodStatus>) {
        self.put(pod, status, true);
    }
}

impl Writer {
    /// Writes through `client`; `pods` are the pods of this node in the API.
    pub fn new(client: Client, pods: Informer<Pod>) -> Self {
        Self { client, pods, wake: Notify::new(), pods_state: Mutex::default() }
    }

    /// Writes until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut changes = self.pods.subscribe();
        loop {
            let jobs = self.jobs();
            let idle = jobs.is_empty();
            for chunk in jobs.chunks(PARALLEL) {
                let results = futures::future::join_all(chunk.iter().map(|job| self.work(job))).await;
                for (job, outcome) in chunk.iter().zip(results) {
                    self.settle(job, outcome);
                }
            }
            if !idle {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(LOOK), if self.has_work() => {}
                change = changes.next() => self.look_at_mirror(&change),
            }
        }
    }

    /// Forgets pods that are not on the node any more and need no further write.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.pods_state.lock().retain(|uid, tracked| keep(uid) || tracked.gone);
    }

    /// A new mirror pod has no status yet.
    fn look_at_mirror(&self, change: &Change<Pod>) {
        let Some(new) = change.new.as_ref().filter(|pod| pod.is_mirror()) else { return };
        if change.old.as_ref().is_some_and(|old| old.uid() == new.uid()) {
            return;
        }
        let mut all = self.pods_state.lock();
        let mine = all
            .values_mut()
            .find(|tracked| tracked.pod.is_static() && tracked.pod.display() == new.display());
        if let Some(tracked) = mine {
            tracked.dirty = true;
            tracked.not_before = None;
        }
    }

    fn put(&self, pod: &SharedPod, status: Arc<PodStatus>, gone: bool) {
        let mut all = self.pods_state.lock();
        let tracked = all.entry(pod.uid().to_owned()).or_insert_with(|| Tracked {
            pod: pod.clone(),
            wanted: status.clone(),
            written: None,
            dirty: true,
            gone: false,
            failures: 0,
            not_before: None,
        });
        tracked.pod = pod.clone();
        tracked.gone |= gone;
        if tracked.wanted != status {
            tracked.wanted = status;
            tracked.dirty = true;
        }
        tracked.dirty |= gone;
        if tracked.dirty {
            self.wake.notify_one();
        }
    }

    fn jobs(&self) -> Vec<Job> {
        let all = self.pods_state.lock();
        let now = Instant::now();
        let due = |tracked: &Tracked| tracked.dirty && tracked.not_before.is_none_or(|at| at <= now);
        let dirty = all.iter().filter(|(_, tracked)| due(tracked));
        dirty
            .map(|(uid, tracked)| Job {
                uid: uid.clone(),
                pod: tracked.pod.clone(),
                status: tracked.wanted.clone(),
                written: tracked.written.clone(),
                gone: tracked.gone,
            })
            .collect()
    }

    fn has_work(&self) -> bool {
        self.pods_state.lock().values().any(|tracked| tracked.dirty)
    }

    /// Takes note of how a write ended.
    fn settle(&self, job: &Job, outcome: Outcome) {
        let mut all = self.pods_state.lock();
        let Some(tracked) = all.get_mut(&job.uid) else { return };
        let failures = std::mem::take(&mut tracked.failures);
        tracked.not_before = None;
        match outcome {
            Outcome::Done(_) if job.gone => drop(all.remove(&job.uid)),
            Outcome::Done(target) => {
                tracked.written = Some((target, job.status.clone()));
                tracked.dirty = tracked.wanted != job.status || tracked.gone;
            }
            Outcome::Forgotten => drop(all.remove(&job.uid)),
            Outcome::Waiting => tracked.not_before = Some(Instant::now() + RETRY.0),
            Outcome::Failed(error) => {
                let pause = (RETRY.0 * 2u32.saturating_pow(failures.min(8))).min(RETRY.1);
                tracing::warn!(pod = job.pod.display(), error, retry_in = ?pause, "Pod status not written; trying again");
                tracked.failures = failures + 1;
                tracked.not_before = Some(Instant::now() + pause);
            }
        }
    }

    async fn work(&self, job: &Job) -> Outcome {
        let Some((uid, current)) = self.target(job) else {
            // A static pod's mirror comes; any other pod was in the API before this status was made.
            let comes = job.pod.is_static() && !job.gone;
            return if comes { Outcome::Waiting } else { Outcome::Forgotten };
        };
        let api = Api::<Pod>::namespaced(self.client.clone(), job.pod.namespace());
        let name = job.pod.name();
        let written = job.written.as_ref().filter(|(target, _)| *target == uid);
        let old = written.map_or(&current, |(_, status)| status);
        if let Some(status) = difference(old, &job.status) {
            let patch = json!({"metadata": {"uid": uid}, "status": status});
            match api.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await {
                Ok(_) => {}
                // Gone, or another pod has the name by now.
                Err(error) if error.is_not_found() || error.is_conflict() => return Outcome::Forgotten,
                Err(error) => return Outcome::Failed(chain(&error)),
            }
        }
        if !job.gone {
            return Outcome::Done(uid);
        }
        let how = DeleteParams { grace_period_seconds: Some(0), ..client::write::only(Some(&uid)) };
        match api.delete(name, &how).await {
            Err(error) if !error.is_not_found() && !error.is_conflict() => Outcome::Failed(chain(&error)),
            _ => Outcome::Done(uid),
        }
    }

    /// UID and status of the API's pod: the pod itself, or the mirror of a static one. A pod of the same name with another
    /// UID is another pod.
    fn target(&self, job: &Job) -> Option<(String, PodStatus)> {
        let found = self.pods.store().find(job.pod.namespace(), job.pod.name());
        if job.pod.is_static() {
            let mirror = found.filter(|pod| pod.is_mirror() && !pod.is_deleting())?;
            return Some((mirror.uid().to_owned(), mirror.status.clone().unwrap_or_default()));
        }
        let pod = found.filter(|pod| pod.uid() == job.uid)?;
        Some((job.uid.clone(), pod.status.clone().unwrap_or_default()))
    }
}

/// The strategic merge patch from one status to another; `None` if there is no difference.
fn difference(old: &PodStatus, new: &PodStatus) -> Option<Value> {
    let object = |status: &PodStatus| match serde_json::to_value(status) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let (old, new) = (object(old), object(new));
    let mut patch = Map::new();
    for (key, value) in &new {
        let before = old.get(key);
        if before == Some(value) {
            continue;
        }
        let value = match key.as_str() {
            "conditions" => changed_conditions(before, value),
            // Lists that are merged by key: without the directive old entries would stay.
            "podIPs" | "hostIPs" if before.is_some() => replaced(value),
            _ => value.clone(),
        };
        patch.insert(key.clone(), value);
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

fn changed_conditions(before: Option<&Value>, now: &Value) -> Value {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let before = before.map(list).unwrap_or_default();
    let changed: Vec<Value> = list(now)
        .into_iter()
        .filter(|condition| !before.contains(condition))
        .map(|mut condition| {
            // An entry is merged into the old one, so what it had and has no more must be cleared.
            let old = before.iter().find(|old| old["type"] == condition["type"]);
            for key in ["reason", "message"] {
                if condition.get(key).is_none() && old.is_some_and(|old| old.get(key).is_some()) {
                    condition[key] = Value::Null;
                }
            }
            condition
        })
        .collect();
    Value::Array(changed)
}

fn replaced(list: &Value) -> Value {
    let mut items = vec![json!({"$patch": "replace"})];
    items.extend(list.as_array().cloned().unwrap_or_default());
    Value::Array(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(text: &str) -> PodStatus {
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn only_differences_are_sent() {
        let old = status(
            "{phase: Pending, message: m, podIPs: [{ip: 10.0.0.1}], conditions: [{type: Ready, status: 'False', reason: r}, {type: X, status: 'True'}]}",
        );
        let new = status(
            "{phase: Running, podIPs: [{ip: 10.0.0.2}], conditions: [{type: Ready, status: 'True'}, {type: X, status: 'True'}]}",
        );
        let expected = json!({
            "phase": "Running",
            "message": null,
            "podIPs": [{"$patch": "replace"}, {"ip": "10.0.0.2"}],
            "conditions": [{"type": "Ready", "status": "True", "reason": null}],
        });
        let mut got = difference(&old, &new).unwrap();
        // Absent times are written as null by the types.
        for condition in got["conditions"].as_array_mut().unwrap() {
            condition.as_object_mut().unwrap().retain(|key, value| key == "reason" || !value.is_null());
        }
        assert_eq!(got, expected);
        assert_eq!(difference(&new, &new), None);
    }
}
