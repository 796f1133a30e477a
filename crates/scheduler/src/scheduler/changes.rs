//! What each change does to cache and queue.

use std::sync::Arc;

use api_types::k8s::api::core::v1::{Node, Pod};
use client::{Change, Key};
use tokio::time::Instant;

use super::{Scheduler, gate};
use crate::cache::PodInfo;
use crate::framework::{Event, Snapshot};
use crate::inputs::Input;
use crate::metrics;

impl Scheduler {
    /// Applies one change.
    pub(super) fn apply(&mut self, input: Input) {
        // Pods that come without a node change nothing for the others; those are noticed one by one.
        if !matches!(input, Input::Pod(_)) {
            self.shared.forget();
        }
        match input {
            Input::Node(change) => self.node(change),
            Input::Pod(change) => self.pod(change),
            Input::Namespace(Change { old: Some(old), new: Some(new), .. })
                if old.metadata.labels == new.metadata.labels => {}
            Input::Namespace(_) => self.wake(&Event::Namespace),
            Input::Claim(change) => {
                if let Some(claim) = &change.new {
                    self.wake(&Event::Claim(claim));
                }
            }
            Input::Volume(change) => {
                if let Some(volume) = &change.new {
                    self.wake(&Event::Volume(volume));
                }
            }
            Input::StorageClass(change) => self.wake_after(&change.key, &Event::StorageClass),
            Input::CsiNode(change) => self.wake_after(&change.key, &Event::CsiNode),
            Input::CsiDriver(change) => self.wake_after(&change.key, &Event::CsiDriver),
            Input::Capacity(change) => self.wake_after(&change.key, &Event::Capacity),
            Input::ResourceClaim(change) => {
                if let Some(claim) = change.latest() {
                    self.wake(&Event::ResourceClaim(claim));
                }
            }
            Input::Slice(change) => self.wake_after(&change.key, &Event::Slice),
            Input::DeviceClass(change) => self.wake_after(&change.key, &Event::DeviceClass),
        }
    }

    /// For objects whose contents plugins read from the mirror.
    fn wake_after(&mut self, key: &Key, event: &Event<'_>) {
        tracing::trace!(%key, event = event.label(), "changed");
        self.wake(event);
    }

    fn node(&mut self, change: Change<Node>) {
        let Some(new) = change.new else {
            self.cache.remove_node(&change.key.name);
            return self.wake(&Event::NodeRemoved);
        };
        let name = Arc::clone(&change.key.name);
        self.cache.set_node(Arc::clone(&new));
        let matters = change.old.as_ref().is_none_or(|old| differs(old, &new));
        if !matters || self.queue.is_idle() {
            return;
        }
        // The queue is woken with a copy of the node's sums: the cache lends itself to the hints meanwhile.
        let Some(info) = self.cache.find_node(&name).cloned() else { return };
        match change.old {
            Some(old) => self.wake(&Event::NodeChanged { old, new: &info }),
            None => self.wake(&Event::NodeAdded(&info)),
        }
    }

    fn pod(&mut self, change: Change<Pod>) {
        let uid = |pod: &Arc<Pod>| pod.metadata.uid.clone().unwrap_or_default();
        if let Some(old) = &change.old
            && change.new.as_ref().is_none_or(|new| uid(new) != uid(old))
        {
            self.pod_gone(&uid(old));
        }
        let Some(new) = change.new else { return };
        let info = Arc::new(PodInfo::new(new));
        if info.finished() {
            self.pod_gone(&info.uid);
        } else if info.node_name().is_some() {
            self.pod_bound(info);
        } else if info.terminating() {
            self.queue.remove(&info.uid);
            self.nominated.remove(&info.uid);
            self.shared.forget();
        } else if self.profiles.contains_key(info.scheduler_name()) {
            self.pod_waiting(info);
        }
    }

    fn pod_gone(&mut self, uid: &str) {
        self.queue.remove(uid);
        if self.nominated.remove(uid).is_some() {
            self.shared.forget();
        }
        if let Some(gone) = self.cache.remove_pod(uid) {
            self.shared.forget();
            self.wake(&Event::PodRemoved(&gone));
        }
    }

    fn pod_bound(&mut self, info: Arc<PodInfo>) {
        self.queue.remove(&info.uid);
        self.nominated.remove(&info.uid);
        let confirmed = self.cache.is_assumed(&info.uid);
        let before = self.cache.pod(&info.uid).cloned();
        if !confirmed {
            self.shared.forget();
        }
        self.cache.set_pod(Arc::clone(&info));
        match before {
            Some(old) if !confirmed => {
                let changed = old.labels() != info.labels()
                    || old.requests.exact != info.requests.exact
                    || old.terminating() != info.terminating();
                if changed {
                    self.wake(&Event::PodChanged { old: &old, new: &info });
                }
            }
            _ => self.wake(&Event::PodAdded(&info)),
        }
    }

    fn pod_waiting(&mut self, info: Arc<PodInfo>) {
        // Its binding is under way.
        if self.cache.is_assumed(&info.uid) {
            return;
        }
        let Some(profile) = self.profiles.get(info.scheduler_name()) else { return };
        let rank = profile.queue_sort.first().map_or(0, |entry| entry.plugin.rank(&info));
        let Some(old) = self.queue.get(&info.uid).map(|pod| Arc::clone(&pod.info)) else {
            if let Some(node) = info.nominated() {
                self.nominated.add(Arc::clone(&info), node);
                self.shared.forget();
            }
            let gate = profile.gate(&self.objects, &info);
            let queue = if gate.is_some() { "gated" } else { "active" };
            metrics::incoming("PodAdd", queue, 1);
            return self.queue.add(info, rank, gate, Instant::now());
        };
        if old.nominated() != info.nominated() {
            self.shared.forget();
        }
        match (old.nominated(), info.nominated()) {
            (Some(_), None) => drop(self.nominated.remove(&info.uid)),
            (_, Some(node)) => self.nominated.add(Arc::clone(&info), node),
            (None, None) => {}
        }
        self.queue.replace(Arc::clone(&info), rank);
        let event = Event::Updated { old: &old, new: &info };
        if old.pod.spec != info.pod.spec || old.labels() != info.labels() || old.pod.status != info.pod.status
        {
            self.wake_one(&event, &info.uid);
        }
    }

    /// Wakes the pods that may be schedulable after `event`.
    pub(super) fn wake(&mut self, event: &Event<'_>) {
        if self.queue.is_idle() {
            return;
        }
        let Self { queue, cache, objects, nominated, profiles, .. } = self;
        let snapshot = Snapshot { cache, objects, nominated };
        let wakes = |pod: &crate::queue::QueuedPod, blamed: &[&'static str]| {
            let Some(profile) = profiles.get(pod.info.scheduler_name()) else { return false };
            let hints = |name: &&str| {
                profile.plugin(name).is_some_and(|plugin| plugin.hint(&snapshot, event, &pod.info))
            };
            blamed.is_empty() || blamed.iter().any(hints)
        };
        let woken = queue.wake(Instant::now(), wakes, |pod| gate(profiles, objects, pod));
        if woken > 0 {
            metrics::incoming(event.label(), "active", woken);
        }
    }

    /// Wakes one pod if its own change may help it.
    fn wake_one(&mut self, event: &Event<'_>, uid: &str) {
        let Self { queue, cache, objects, nominated, profiles, .. } = self;
        let snapshot = Snapshot { cache, objects, nominated };
        let Some(pod) = queue.get(uid) else { return };
        let Some(profile) = profiles.get(pod.info.scheduler_name()) else { return };
        let blamed = queue.blamed(uid);
        let hints =
            |name: &&str| profile.plugin(name).is_some_and(|plugin| plugin.hint(&snapshot, event, &pod.info));
        if blamed.is_empty() || blamed.iter().any(hints) {
            self.release(uid);
        }
    }

    /// Puts a waiting pod back on its way.
    pub(super) fn release(&mut self, uid: &str) {
        let Self { queue, objects, profiles, .. } = self;
        queue.release(uid, Instant::now(), |pod| gate(profiles, objects, pod));
    }
}

/// Whether a node changed in something that scheduling looks at; heartbeats do not count.
fn differs(old: &Node, new: &Node) -> bool {
    let spec = |node: &Node| {
        let spec = node.spec.as_ref();
        spec.map(|spec| (spec.taints.clone(), spec.unschedulable))
    };
    let status = |node: &Node| {
        let status = node.status.as_ref();
        status.map(|status| (status.allocatable.clone(), status.declared_features.clone()))
    };
    old.metadata.labels != new.metadata.labels || spec(old) != spec(new) || status(old) != status(new)
}
