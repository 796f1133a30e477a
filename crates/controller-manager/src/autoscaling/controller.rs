//! Wiring: each autoscaler is looked at in its period, and when it is changed.

use std::collections::HashMap;
use std::sync::Arc;

use api_types::k8s::api::autoscaling::v1::Scale;
use api_types::k8s::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricStatus,
};
use api_types::k8s::api::core::v1::Pod;
use api_types::quantity::Quantity;
use api_types::selector::Selector;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind, Recorder};
use client::{Change, Client, ErrorExt, Informer, Key, Writer, Writes};
use jiff::Timestamp;
use parking_lot::Mutex;

use super::Tuning;
use super::limits::{self, Bounds, History};
use super::metrics::Metrics;
use super::proposal::Asker;
use super::replicas::{Population, Tolerance};
use super::status::{Condition, Draft};
use super::target::{self, Kinds};
use crate::common::selector;
use crate::context::Context;

const NAME: &str = "horizontalpodautoscaler";

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let flags = &context.options.autoscaling;
    let autoscalers = context.informers.all::<HorizontalPodAutoscaler>();
    let pods = context.informers.all::<Pod>();
    let reconciler = Autoscalers {
        autoscalers: autoscalers.clone(),
        pods: pods.clone(),
        client: context.client.clone(),
        metrics: Metrics::new(context.client.clone()),
        kinds: Kinds::default(),
        writer: context.writer(),
        recorder: context.recorder("horizontal-pod-autoscaler"),
        memory: Mutex::default(),
        tuning: Tuning {
            period: flags.horizontal_pod_autoscaler_sync_period.0,
            stabilization: flags.horizontal_pod_autoscaler_downscale_stabilization.0,
            tolerance: flags.horizontal_pod_autoscaler_tolerance,
            initialization: flags.horizontal_pod_autoscaler_cpu_initialization_period.0,
            readiness_delay: flags.horizontal_pod_autoscaler_initial_readiness_delay.0,
        },
    };
    let workers = flags.concurrent_horizontal_pod_autoscaler_syncs;
    Controller::new(NAME, reconciler, context.shutdown)
        .watch(&autoscalers, changed)
        .after(&pods)
        .run(workers)
        .await;
    Ok(())
}

/// Its own status does not wake an autoscaler; its period does.
fn changed(change: &Change<HorizontalPodAutoscaler>) -> Vec<Key> {
    let same = match (&change.old, &change.new) {
        (Some(old), Some(new)) => old.spec == new.spec && old.metadata.uid == new.metadata.uid,
        _ => false,
    };
    if same { Vec::new() } else { vec![change.key.clone()] }
}

struct Autoscalers {
    autoscalers: Informer<HorizontalPodAutoscaler>,
    pods: Informer<Pod>,
    client: Client,
    metrics: Metrics,
    kinds: Kinds,
    writer: Writer<HorizontalPodAutoscaler>,
    recorder: Recorder,
    memory: Mutex<HashMap<Key, Memory>>,
    tuning: Tuning,
}

/// What is kept of an autoscaler between two looks.
#[derive(Default)]
struct Memory {
    history: History,
    /// Which pods it counted last.
    selector: Option<Selector>,
}

/// What the metrics of an autoscaler came to.
struct Measured {
    replicas: i32,
    /// The metric that proposed most.
    metric: String,
    statuses: Vec<MetricStatus>,
    /// Set when some metrics proposed nothing.
    problem: Option<String>,
}

/// No metric counts: what was measured all the same, and why.
struct Unmeasured {
    statuses: Vec<MetricStatus>,
    condition: Condition,
    problem: String,
}

#[async_trait]
impl Reconciler for Autoscalers {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(autoscaler) = self.autoscalers.store().get(key) else {
            self.memory.lock().remove(key);
            return Ok(Next::Wait);
        };
        let mut draft = Draft::new(&autoscaler, Timestamp::now());
        self.look(key, &autoscaler, &mut draft).await;
        if autoscaler.status.as_ref() != Some(&draft.status) {
            let shown = HorizontalPodAutoscaler {
                status: Some(draft.status),
                ..HorizontalPodAutoscaler::clone(&autoscaler)
            };
            match self.writer.update_status(writes, &shown).await {
                Err(error) if error.is_not_found() || error.is_conflict() => {
                    tracing::debug!(%key, %error, "status not written; the next look will");
                }
                result => drop(result?),
            }
        }
        Ok(Next::After(self.tuning.period))
    }
}

impl Autoscalers {
    /// Looks at an autoscaler, scales its target if need be, and notes in `draft` what came of it.
    async fn look(&self, key: &Key, autoscaler: &HorizontalPodAutoscaler, draft: &mut Draft) {
        let spec = &autoscaler.spec;
        let warn = |reason: &str, message: String| {
            self.recorder.event(autoscaler, Kind::Warning, reason, message);
        };
        let (path, scale) = match self.scale(key, spec).await {
            Ok(found) => found,
            Err(problem) => {
                warn("FailedGetScale", problem.to_string());
                let message =
                    format!("the HPA controller was unable to get the target's current scale: {problem}");
                return draft.set(Condition::able(false, "FailedGetScale", message));
            }
        };
        let message = "the HPA controller was able to get the target's current scale";
        draft.set(Condition::able(true, "SucceededGetScale", message));
        let bounds = Bounds {
            current: scale.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default(),
            min: spec.min_replicas.unwrap_or(1),
            max: spec.max_replicas,
        };
        let now = Timestamp::now();
        self.memory.lock().entry(key.clone()).or_default().history.begin(now, bounds.current);
        let (desired, reason, statuses) =
            match self.decide(key, autoscaler, spec, &scale, bounds, draft).await {
                Ok(decided) => decided,
                Err(Unmeasured { statuses, condition, problem }) => {
                    draft.set(condition);
                    draft.measured(bounds.current, statuses);
                    return warn("FailedComputeMetricsReplicas", problem);
                }
            };
        draft.measured(bounds.current, statuses);
        if desired == bounds.current {
            return draft.decided(desired, false);
        }
        if let Err(problem) = target::rescale(&self.client, &path, &scale, desired).await {
            warn("FailedRescale", format!("New size: {desired}; reason: {reason}; error: {problem}"));
            let message = format!("the HPA controller was unable to update the target scale: {problem}");
            return draft.set(Condition::able(false, "FailedUpdateScale", message));
        }
        let message = format!("the HPA controller was able to update the target scale to {desired}");
        draft.set(Condition::able(true, "SucceededRescale", message));
        let message = format!("New size: {desired}; reason: {reason}");
        self.recorder.event(autoscaler, Kind::Normal, "SuccessfulRescale", message);
        self.memory.lock().entry(key.clone()).or_default().history.scaled(now, bounds.current, desired);
        draft.decided(desired, true);
        tracing::info!(%key, from = bounds.current, to = desired, reason, "scaled");
    }

    async fn scale(
        &self,
        key: &Key,
        spec: &HorizontalPodAutoscalerSpec,
    ) -> Result<(String, Scale), target::Problem> {
        let served = self.kinds.of(&self.client, &spec.scale_target_ref).await?;
        let path = target::path(&served, &key.namespace, &spec.scale_target_ref.name);
        let scale = target::scale(&self.client, &path).await?;
        Ok((path, scale))
    }

    /// The count that is wanted, and why.
    async fn decide(
        &self,
        key: &Key,
        autoscaler: &HorizontalPodAutoscaler,
        spec: &HorizontalPodAutoscalerSpec,
        scale: &Scale,
        bounds: Bounds,
        draft: &mut Draft,
    ) -> Result<(i32, String, Vec<MetricStatus>), Unmeasured> {
        let Bounds { current, min, max } = bounds;
        if current == 0 && min != 0 {
            let message = "scaling is disabled since the replica count of the target is zero";
            draft.set(Condition::active(false, "ScalingDisabled", message));
            return Ok((0, String::new(), Vec::new()));
        }
        if current > max {
            return Ok((max, "Current number of replicas above Spec.MaxReplicas".to_owned(), Vec::new()));
        }
        if current < min {
            return Ok((min, "Current number of replicas below Spec.MinReplicas".to_owned(), Vec::new()));
        }
        let measured = self.measure(key, autoscaler, spec, scale, current, draft).await?;
        if let Some(problem) = measured.problem {
            self.recorder.event(autoscaler, Kind::Warning, "FailedComputeMetricsReplicas", problem);
        }
        let reason = match measured.replicas > current {
            true => format!("{} above target", measured.metric),
            false => "All metrics below target".to_owned(),
        };
        let mut memory = self.memory.lock();
        let history = &mut memory.entry(key.clone()).or_default().history;
        let (desired, conditions) = limits::limit(
            bounds,
            measured.replicas,
            spec.behavior.as_ref(),
            self.tuning.stabilization,
            history,
            Timestamp::now(),
        );
        conditions.into_iter().for_each(|condition| draft.set(condition));
        Ok((desired, reason, measured.statuses))
    }

    /// Asks all metrics; the largest proposal counts. Some may fail as long as that cannot shrink the target.
    async fn measure(
        &self,
        key: &Key,
        autoscaler: &HorizontalPodAutoscaler,
        spec: &HorizontalPodAutoscalerSpec,
        scale: &Scale,
        current: i32,
        draft: &mut Draft,
    ) -> Result<Measured, Unmeasured> {
        let (selector, pods) = self.selected(key, autoscaler, scale)?;
        let asker = Asker {
            metrics: &self.metrics,
            client: &self.client,
            kinds: &self.kinds,
            namespace: &key.namespace,
            selector: &selector,
            population: self.population(spec, current, &pods),
            existing: scale.status.as_ref().map_or(0, |status| status.replicas),
        };
        let metrics = spec.metrics.as_deref().unwrap_or_default();
        let (mut replicas, mut metric, mut statuses) = (0, String::new(), Vec::new());
        let (mut failed, mut first) = (0, None);
        for spec in metrics {
            match asker.propose(spec).await {
                Ok(proposal) => {
                    if replicas == 0 || proposal.replicas > replicas {
                        (replicas, metric) = (proposal.replicas, proposal.name);
                    }
                    statuses.push(proposal.status);
                }
                Err(failure) => {
                    self.recorder.event(autoscaler, Kind::Warning, failure.reason, failure.message.clone());
                    failed += 1;
                    first.get_or_insert(failure);
                }
            }
        }
        let total = metrics.len();
        let summary = |summary: &str| {
            format!("invalid metrics ({failed} invalid out of {total}), first error is: {summary}")
        };
        let problem = first.as_ref().map(|failure| summary(&failure.summary));
        if let Some(failure) = first
            && (failed >= total || replicas < current)
        {
            let message = format!("the HPA was unable to compute the replica count: {}", failure.message);
            let condition = Condition::active(false, failure.reason, message);
            return Err(Unmeasured { statuses, condition, problem: summary(&failure.summary) });
        }
        let message = format!("the HPA was able to successfully calculate a replica count from {metric}");
        draft.set(Condition::active(true, "ValidMetricFound", message));
        Ok(Measured { replicas, metric, statuses, problem })
    }

    fn population<'a>(
        &self,
        spec: &HorizontalPodAutoscalerSpec,
        current: i32,
        pods: &'a [Arc<Pod>],
    ) -> Population<'a> {
        let behavior = spec.behavior.as_ref();
        let own = |rules: Option<&api_types::k8s::api::autoscaling::v2::HPAScalingRules>| {
            let tolerance = rules.and_then(|rules| rules.tolerance.as_ref());
            tolerance.and_then(|own| Quantity::parse(&own.0).ok()).map(Quantity::to_f64)
        };
        let default = self.tuning.tolerance;
        Population {
            current,
            pods,
            tolerance: Tolerance {
                down: own(behavior.and_then(|behavior| behavior.scale_down.as_ref())).unwrap_or(default),
                up: own(behavior.and_then(|behavior| behavior.scale_up.as_ref())).unwrap_or(default),
            },
            initialization: self.tuning.initialization,
            readiness_delay: self.tuning.readiness_delay,
            now: Timestamp::now(),
        }
    }

    /// The target's selector and pods, which no other autoscaler may count.
    fn selected(
        &self,
        key: &Key,
        autoscaler: &HorizontalPodAutoscaler,
        scale: &Scale,
    ) -> Result<(Selector, Vec<Arc<Pod>>), Unmeasured> {
        let refuse = |event: &str, reason: &str, problem: String, message: String| {
            self.recorder.event(autoscaler, Kind::Warning, event, problem.clone());
            let condition = Condition::active(false, reason, message);
            Unmeasured { statuses: Vec::new(), condition, problem }
        };
        let text = scale.status.as_ref().and_then(|status| status.selector.as_deref()).unwrap_or_default();
        if text.is_empty() {
            let message = "the HPA target's scale is missing a selector".to_owned();
            return Err(refuse(
                "SelectorRequired",
                "InvalidSelector",
                "selector is required".to_owned(),
                message,
            ));
        }
        let parsed = Selector::parse(text).map_err(|error| {
            let problem =
                format!("couldn't convert selector into a corresponding internal selector object: {error}");
            refuse("InvalidSelector", "InvalidSelector", problem.clone(), problem)
        })?;
        let mut pods = self.pods.store().list_namespace(&key.namespace);
        pods.retain(|pod| selector::matches(&parsed, &pod.metadata));
        let mut memory = self.memory.lock();
        memory.entry(key.clone()).or_default().selector = Some(parsed.clone());
        let same = |other: &Key, known: &Memory| {
            other.namespace == key.namespace
                && known
                    .selector
                    .as_ref()
                    .is_some_and(|theirs| pods.iter().any(|pod| selector::matches(theirs, &pod.metadata)))
        };
        let mut rivals: Vec<String> = memory
            .iter()
            .filter(|(other, known)| same(other, known))
            .map(|(other, _)| other.to_string())
            .collect();
        drop(memory);
        if rivals.len() > 1 {
            rivals.sort();
            let problem =
                format!("pods by selector {text} are controlled by multiple HPAs: [{}]", rivals.join(" "));
            return Err(refuse("AmbiguousSelector", "AmbiguousSelector", problem.clone(), problem));
        }
        Ok((parsed, pods))
    }
}
