//! The task that owns cache and queue: applies changes, decides, hands over to the binder.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::Pod;
use client::events::{Kind, Recorder, Shape, reference};
use client::{Client, Informer, Informers};
use component::CancellationToken;
use tokio::time::{Instant, MissedTickBehavior};

use crate::bind::{Binder, Bound, Done, Failed};
use crate::cache::{Cache, PodInfo};
use crate::framework::{CycleState, Event, Objects, Profile, Rejection, Remedy, Snapshot};
use crate::inputs::Inputs;
use crate::metrics::{self, Attempt};
use crate::queue::{Limits, Nominated, Queue, QueuedPod};
use crate::schedule::{self, Chosen, Failure, Rotation};
use shared::Shared;

mod changes;
mod shared;

/// How often pods that have waited too long are looked for, and sizes are shown.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// The scheduler.
pub struct Scheduler {
    profiles: HashMap<Arc<str>, Arc<Profile>>,
    recorders: HashMap<Arc<str>, Recorder>,
    objects: Objects,
    pods: Informer<Pod>,
    inputs: Inputs,
    cache: Cache,
    queue: Queue,
    nominated: Nominated,
    rotation: Rotation,
    shared: Shared,
    binder: Binder,
}

impl Scheduler {
    /// A scheduler with these profiles. It does nothing until [`Scheduler::run`].
    pub fn new(
        client: &Client,
        informers: &Informers,
        objects: Objects,
        profiles: Vec<Arc<Profile>>,
        limits: Limits,
    ) -> Self {
        let recorder = |profile: &Arc<Profile>| {
            (Arc::clone(&profile.name), Recorder::new(client.clone(), Shape::Events, &profile.name, ""))
        };
        Self {
            recorders: profiles.iter().map(recorder).collect(),
            profiles: profiles.into_iter().map(|profile| (Arc::clone(&profile.name), profile)).collect(),
            pods: informers.all(),
            inputs: Inputs::new(informers, &objects),
            objects,
            cache: Cache::default(),
            queue: Queue::new(limits),
            nominated: Nominated::default(),
            rotation: Rotation::new(rand::random()),
            shared: Shared::default(),
            binder: Binder::new(client.clone()),
        }
    }

    /// Schedules until `stop`.
    pub async fn run(mut self, informers: &Informers, stop: CancellationToken) {
        if !informers.synced().await {
            return;
        }
        tracing::info!("caches are synced, scheduling");
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while let Some(input) = self.inputs.try_next() {
                self.apply(input);
            }
            while let Some(done) = self.binder.try_done() {
                self.finish(done);
            }
            if self.binder.has_room()
                && let Some(pod) = self.queue.pop(Instant::now())
            {
                self.attempt(pod);
                // Informers and bindings get their turn; with a full queue this loop never waits otherwise.
                tokio::task::yield_now().await;
                if stop.is_cancelled() {
                    return;
                }
                continue;
            }
            let expiry = self.queue.next_expiry().filter(|_| self.binder.has_room());
            tokio::select! {
                () = stop.cancelled() => return,
                input = self.inputs.next() => self.apply(input),
                done = self.binder.done() => self.finish(done),
                () = sleep_until(expiry) => {}
                _ = housekeeping.tick() => self.keep_house(),
            }
        }
    }

    /// One attempt to find a node for a pod.
    fn attempt(&mut self, pod: QueuedPod) {
        let Some(profile) = self.profiles.get(pod.info.scheduler_name()).cloned() else { return };
        let began = Instant::now();
        self.cache.settle();
        if let Some(diagnosis) = self.shared.find(&pod.info)
            && self.nominated.node_of(&pod.info.uid).is_none()
        {
            return self.give_up(&profile, pod, Failure::Unfit(Box::new(diagnosis)), None, began);
        }
        let mut state = CycleState::default();
        let snapshot = Snapshot { cache: &self.cache, objects: &self.objects, nominated: &self.nominated };
        let found = schedule::schedule(&profile, &snapshot, &mut state, &pod.info, &mut self.rotation);
        metrics::decided(began.elapsed());
        match found {
            Ok(chosen) => self.place(&profile, pod, state, &chosen, began),
            Err(failure) => self.unplaced(&profile, pod, &state, failure, began),
        }
    }

    /// Assumes the pod on its node and starts binding.
    fn place(
        &mut self,
        profile: &Arc<Profile>,
        pod: QueuedPod,
        mut state: CycleState,
        chosen: &Chosen,
        began: Instant,
    ) {
        let node = Arc::clone(&self.cache.node(chosen.slot).name);
        tracing::debug!(pod = %pod.info.key, %node, evaluated = chosen.evaluated, feasible = chosen.feasible, "chosen");
        if let Err(rejection) = self.reserve(profile, &mut state, &pod.info, &node) {
            for entry in profile.reserve.iter().rev() {
                entry.plugin.unreserve(&state, &pod.info);
            }
            return self.unplaced(profile, pod, &state, Failure::Broken(rejection), began);
        }
        self.cache.assume(Arc::clone(&pod.info), &node);
        self.shared.forget();
        self.nominated.remove(&pod.info.uid);
        self.binder.bind(Arc::clone(profile), pod, node, state, began);
    }

    /// Runs Reserve and Permit.
    fn reserve(
        &self,
        profile: &Profile,
        state: &mut CycleState,
        pod: &PodInfo,
        node: &str,
    ) -> Result<(), Rejection> {
        let Some(node) = self.cache.find_node(node) else {
            return Err(Rejection::error(format!("node {node} is gone")));
        };
        let snapshot = Snapshot { cache: &self.cache, objects: &self.objects, nominated: &self.nominated };
        for entry in &profile.reserve {
            let kept = entry.plugin.reserve(&snapshot, state, pod, node);
            kept.map_err(|rejection| rejection.by(entry.name))?;
        }
        for entry in &profile.permit {
            let permitted = entry.plugin.permit(&snapshot, state, pod, node);
            permitted.map_err(|rejection| rejection.by(entry.name))?;
        }
        Ok(())
    }

    /// No node: looks for a remedy.
    fn unplaced(
        &mut self,
        profile: &Arc<Profile>,
        pod: QueuedPod,
        state: &CycleState,
        mut failure: Failure,
        began: Instant,
    ) {
        let mut remedy = None;
        if let Failure::Unfit(diagnosis) = &mut failure {
            let snapshot =
                Snapshot { cache: &self.cache, objects: &self.objects, nominated: &self.nominated };
            let asked = Instant::now();
            remedy = schedule::remedy(profile, &snapshot, state, &pod.info, diagnosis);
            let status = if remedy.is_some() { "Success" } else { "Unschedulable" };
            metrics::point("PostFilter", &profile.name, status, asked.elapsed());
        }
        if let Failure::Unfit(diagnosis) = &failure
            && remedy.is_none()
        {
            self.shared.keep(&pod.info, diagnosis);
        }
        self.give_up(profile, pod, failure, remedy, began);
    }

    /// Tells the user, carries out the remedy if there is one, puts the pod back.
    fn give_up(
        &mut self,
        profile: &Arc<Profile>,
        pod: QueuedPod,
        failure: Failure,
        remedy: Option<Remedy>,
        began: Instant,
    ) {
        let nominated = self.nominate(&pod.info, remedy.as_ref(), &failure);
        let broken = matches!(failure, Failure::Broken(_));
        let result = if broken { Attempt::Error } else { Attempt::Unschedulable };
        metrics::attempted(&profile.name, result, began.elapsed());
        self.tell(profile, &pod.info, failure.message(), broken, nominated);
        if let Some(remedy) = remedy {
            self.act(profile, &pod.info, remedy);
        }
        if !self.still_pending(&pod.info) {
            return;
        }
        match failure {
            Failure::Broken(_) => self.queue.retry(pod, Instant::now()),
            Failure::NoNodes => self.queue.reject(pod, Vec::new(), Instant::now()),
            Failure::Unfit(diagnosis) => self.queue.reject(pod, diagnosis.plugins, Instant::now()),
        }
    }

    /// Reserves the room that is being made; gives what the status should say, `None` for no change.
    fn nominate(
        &mut self,
        pod: &Arc<PodInfo>,
        remedy: Option<&Remedy>,
        failure: &Failure,
    ) -> Option<Arc<str>> {
        if let Some(node) = remedy.and_then(|remedy| remedy.node.clone()) {
            self.nominated.add(Arc::clone(pod), &node);
            self.shared.forget();
            return Some(node);
        }
        // Where preemption was tried and cannot help, an earlier reservation is of no use any more.
        let hopeless = matches!(failure, Failure::Unfit(diagnosis) if diagnosis.give_up_nomination);
        if hopeless && (self.nominated.remove(&pod.uid).is_some() || pod.nominated().is_some()) {
            self.shared.forget();
            return Some("".into());
        }
        None
    }

    /// Event and condition.
    fn tell(
        &mut self,
        profile: &Profile,
        pod: &Arc<PodInfo>,
        message: String,
        broken: bool,
        nominated: Option<Arc<str>>,
    ) {
        if let Some(recorder) = self.recorders.get(&profile.name) {
            let regarding = reference(&*pod.pod);
            recorder.about(regarding, Kind::Warning, "FailedScheduling", "Scheduling", message.clone());
        }
        let reason = if broken { "SchedulerError" } else { "Unschedulable" };
        tracing::debug!(pod = %pod.key, reason, message, "cannot schedule");
        let failed = Failed { pod: Arc::clone(pod), reason, message, nominated };
        if !failed.is_known() {
            self.binder.write_status(failed);
        }
    }

    /// Carries out a remedy.
    fn act(&mut self, profile: &Profile, pod: &Arc<PodInfo>, remedy: Remedy) {
        let Some(recorder) = self.recorders.get(&profile.name) else { return };
        if let Some(node) = &remedy.node
            && !remedy.victims.is_empty()
        {
            metrics::preempted(remedy.victims.len());
            // Pods of lower priority that wait for this node have to look elsewhere.
            for waiting in self.nominated.on(node).to_vec() {
                if waiting.priority < pod.priority {
                    self.nominated.remove(&waiting.uid);
                }
            }
            self.binder.preempt(Arc::clone(pod), node, remedy.victims, recorder);
        }
        if !remedy.deallocate.is_empty() {
            self.binder.deallocate(remedy.deallocate);
        }
    }

    /// Something in the background ended.
    fn finish(&mut self, done: Option<Done>) {
        match done {
            Some(Done::Bound(bound)) => self.bound(*bound),
            Some(Done::Preempted(uid, false)) => self.release(&uid),
            Some(Done::Preempted(_, true)) | None => {}
        }
    }

    fn bound(&mut self, bound: Bound) {
        let Bound { pod, node, state, result, began } = bound;
        let Some(profile) = self.profiles.get(pod.info.scheduler_name()).cloned() else { return };
        match result {
            Ok(()) => {
                for entry in &profile.post_bind {
                    entry.plugin.post_bind(&state, &pod.info);
                }
                let message = format!("Successfully assigned {} to {node}", pod.info.key);
                if let Some(recorder) = self.recorders.get(&profile.name) {
                    let regarding = reference(&*pod.info.pod);
                    recorder.about(regarding, Kind::Normal, "Scheduled", "Binding", message);
                }
                metrics::attempted(&profile.name, Attempt::Scheduled, began.elapsed());
                metrics::scheduled(pod.attempts, pod.arrived.elapsed());
            }
            Err(error) => {
                for entry in profile.reserve.iter().rev() {
                    entry.plugin.unreserve(&state, &pod.info);
                }
                let seen = !self.cache.is_assumed(&pod.info.uid);
                self.cache.forget(&pod.info.uid);
                self.shared.forget();
                if seen || !self.still_pending(&pod.info) {
                    return;
                }
                let info = Arc::clone(&pod.info);
                self.wake(&Event::PodRemoved(&info));
                metrics::attempted(&profile.name, Attempt::Error, began.elapsed());
                let message = component::exit::render("", &error).trim_start_matches(": ").to_owned();
                self.tell(&profile, &info, message, true, None);
                self.queue.retry(pod, Instant::now());
            }
        }
    }

    /// Whether the pod exists and has no node, as far as is known.
    fn still_pending(&self, pod: &PodInfo) -> bool {
        self.pods.store().get(&pod.key).is_some_and(|now| {
            let node = now.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            now.metadata.uid.as_deref() == Some(&*pod.uid)
                && node.is_none_or(str::is_empty)
                && now.metadata.deletion_timestamp.is_none()
        })
    }

    fn keep_house(&mut self) {
        let Self { queue, profiles, objects, .. } = self;
        queue.flush(Instant::now(), |pod| gate(profiles, objects, pod));
        let (pods, assumed) = self.cache.pod_counts();
        metrics::sizes(self.queue.sizes(), self.cache.order().len(), pods, assumed);
    }
}

/// The plugin that keeps a pod out of the queue.
fn gate(
    profiles: &HashMap<Arc<str>, Arc<Profile>>,
    objects: &Objects,
    pod: &PodInfo,
) -> Option<&'static str> {
    profiles.get(pod.scheduler_name())?.gate(objects, pod)
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
