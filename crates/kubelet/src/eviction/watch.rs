//! Measures the node and acts on pressure.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::signals::{self, Reading, Signal};
use super::{Threshold, rank};
use crate::cgroups::Cgroups;
use crate::events::{Events, Severity};
use crate::images::gc::Collector;
use crate::pod::PodExt;
use crate::pod_worker::Input;
use crate::pod_worker::registry::Registry;

/// How often the node is measured.
const PERIOD: Duration = Duration::from_secs(10);

/// Node conditions under pressure, for the node's status.
pub type Pressure = Arc<Mutex<Vec<&'static str>>>;

/// Watches thresholds.
pub struct Watch {
    /// From the configuration.
    pub thresholds: Vec<Threshold>,
    /// How long a condition stays after its last sign.
    pub transition: Duration,
    /// The longest grace for pods that leave at a soft threshold, seconds.
    pub max_grace: i64,
    /// Told about pressure.
    pub pressure: Pressure,
    /// Pods on the node.
    pub registry: Arc<Registry>,
    /// Usage of pods; without cgroups memory cannot be told by pod.
    pub cgroups: Option<Arc<Cgroups>>,
    /// Images are removed before pods.
    pub images: Arc<Collector>,
    /// Where the kubelet's files are.
    pub root: PathBuf,
    /// Events.
    pub events: Arc<dyn Events>,
    /// The pod manager.
    pub inputs: mpsc::Sender<Input>,
}

impl Watch {
    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut since: HashMap<usize, Instant> = HashMap::new();
        let mut last_seen: HashMap<&'static str, Instant> = HashMap::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            let now = Instant::now();
            let met = self.met(&mut since, now);
            for (threshold, _) in &met {
                last_seen.insert(threshold.signal.condition(), now);
            }
            last_seen.retain(|_, at| now - *at < self.transition);
            self.tell(last_seen.keys().copied().collect());
            // One resource and one pod at a time: what leaves may be enough.
            if let Some((threshold, reading)) = met.into_iter().min_by_key(|(threshold, _)| threshold.grace) {
                self.relieve(threshold, reading).await;
            }
        }
    }

    /// Thresholds that are crossed, and have been for their grace period.
    fn met(&self, since: &mut HashMap<usize, Instant>, now: Instant) -> Vec<(Threshold, Reading)> {
        let mut met = Vec::new();
        for (index, threshold) in self.thresholds.iter().enumerate() {
            let Some(reading) = self.measure(threshold.signal) else { continue };
            if reading.available >= threshold.limit.of(reading.capacity) {
                since.remove(&index);
                continue;
            }
            if now - *since.entry(index).or_insert(now) >= threshold.grace {
                met.push((*threshold, reading));
            }
        }
        met
    }

    fn measure(&self, signal: Signal) -> Option<Reading> {
        match signal {
            Signal::Memory => {
                let cgroups = self.cgroups.as_ref()?;
                signals::memory(cgroups.node_usage().memory_working_set)
            }
            Signal::NodeBytes | Signal::ImageBytes => signals::bytes(&self.root),
            Signal::NodeInodes | Signal::ImageInodes => signals::inodes(&self.root),
            Signal::Pids => signals::pids(),
        }
    }

    fn tell(&self, mut conditions: Vec<&'static str>) {
        conditions.sort_unstable();
        let mut pressure = self.pressure.lock();
        for new in conditions.iter().filter(|condition| !pressure.contains(condition)) {
            tracing::warn!(condition = new, "The node is under pressure");
        }
        *pressure = conditions;
    }

    async fn relieve(&self, threshold: Threshold, reading: Reading) {
        let signal = threshold.signal;
        let resource = signal.resource();
        let message = format!("Attempting to reclaim {resource}");
        self.events.node(Severity::Warning, "EvictionThresholdMet", message);
        if signal.condition() == "DiskPressure" {
            match self.images.remove_all_unused().await {
                Ok(_) => {
                    let after = self.measure(signal);
                    if after.is_some_and(|after| after.available >= threshold.limit.of(after.capacity)) {
                        return;
                    }
                }
                Err(error) => tracing::warn!(%error, "Unused images not removed"),
            }
        }
        let usage = |pod: &api_types::k8s::api::core::v1::Pod| {
            let cgroups = self.cgroups.as_ref();
            let used = cgroups
                .map_or(0, |cgroups| cgroups.usage(&cgroups.pod(pod.qos(), pod.uid())).memory_working_set);
            i64::try_from(used).unwrap_or(i64::MAX)
        };
        let Some(pod) = rank::first(signal, &self.registry.active(), usage) else {
            tracing::error!(
                resource,
                "The node is under pressure and no pod can be evicted; make room on it"
            );
            return;
        };
        let message = format!(
            "The node was low on resource: {resource}. Threshold quantity: {}, available: {}. ",
            threshold.limit.of(reading.capacity),
            reading.available
        );
        self.events.pod(&pod, None, Severity::Warning, "Evicted", message.clone());
        // A hard threshold gives no grace beyond what the runtime needs.
        let grace = if threshold.grace.is_zero() { 1 } else { pod.grace_period().min(self.max_grace) };
        let verdict = ("Evicted".to_owned(), message);
        let evict = Input::Evict { uid: pod.uid().to_owned(), verdict, grace };
        if self.inputs.send(evict).await.is_err() {
            tracing::debug!("The kubelet stops; nothing is evicted any more");
        }
    }
}
