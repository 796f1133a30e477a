//! Which pods a Job is short of, and which it has too many of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api_types::k8s::api::core::v1::Pod;
use jiff::{SignedDuration, Timestamp};

use super::plan::{NewPod, Step, Work};
use super::template::{failures_before, index};
use crate::common::pods;

/// Pause after a first failure, in seconds.
const BACKOFF_MIN: i64 = 10;
/// Longest pause after failures, in seconds.
const BACKOFF_MAX: i64 = 600;

impl Work {
    /// Creates and drops pods so that as many run as should.
    pub(super) fn fill(&mut self, step: &mut Step, now: Timestamp) {
        let parallelism = self.spec.parallelism.unwrap_or(1);
        let succeeded = self.succeeded(&step.status);
        if self.indexed {
            self.drop_stray_indexes(step);
        }
        let active = i32::try_from(self.active.len()).unwrap_or(i32::MAX);
        let wanted = match self.spec.completions {
            Some(completions) => parallelism
                .min(completions - succeeded - if self.indexed { self.failed_indexes.len() } else { 0 }),
            None if succeeded > 0 => active.min(parallelism),
            None => parallelism,
        }
        .max(0);
        if active > wanted {
            let surplus = usize::try_from(active - wanted).unwrap_or(0);
            pods::by_deletion_rank(&mut self.active, &self.all, now);
            step.drop.extend(self.active.drain(..surplus));
            return;
        }
        let waits = self.spec.pod_replacement_policy.as_deref() == Some("Failed")
            || self.spec.pod_failure_policy.is_some();
        let leaving = if waits { i32::try_from(self.terminating.len()).unwrap_or(0) } else { 0 };
        let missing = usize::try_from(wanted - active - leaving).unwrap_or(0);
        if missing == 0 {
            return;
        }
        if self.indexed {
            self.fill_indexes(step, missing, now);
        } else if let Some(at) = backoff(self.failed.iter(), self.last_success(), now) {
            step.again_at = Some(at);
        } else {
            step.create.extend(std::iter::repeat_n(NewPod { index: None, failures: None }, missing));
        }
    }

    /// Pods without a valid index, and second ones of an index, go.
    fn drop_stray_indexes(&mut self, step: &mut Step) {
        let mut seen = BTreeSet::new();
        let mut kept = Vec::new();
        self.active.sort_by_key(|pod| pod.metadata.creation_timestamp.clone());
        for pod in self.active.drain(..) {
            let index = index(&pod).filter(|index| *index < self.completions);
            let useful = index.is_some_and(|index| {
                !self.succeeded_indexes.0.contains(&index)
                    && !self.failed_indexes.0.contains(&index)
                    && seen.insert(index)
            });
            if useful { kept.push(pod) } else { step.drop.push(pod) }
        }
        self.active = kept;
    }

    fn fill_indexes(&self, step: &mut Step, missing: usize, now: Timestamp) {
        let mut busy: BTreeSet<i32> = self.active.iter().filter_map(|pod| index(pod)).collect();
        if self.spec.pod_replacement_policy.as_deref() == Some("Failed")
            || self.spec.pod_failure_policy.is_some()
        {
            busy.extend(self.terminating.iter().filter_map(|pod| index(pod)));
        }
        let per_index = self.spec.backoff_limit_per_index.is_some();
        let mut failures: BTreeMap<i32, Vec<&Arc<Pod>>> = BTreeMap::new();
        for pod in &self.failed {
            failures.entry(index(pod).unwrap_or(-1)).or_default().push(pod);
        }
        if !per_index && let Some(at) = backoff(self.failed.iter(), self.last_success(), now) {
            step.again_at = Some(at);
            return;
        }
        let open = (0..self.completions).filter(|index| {
            !busy.contains(index)
                && !self.succeeded_indexes.0.contains(index)
                && !self.failed_indexes.0.contains(index)
        });
        for index in open {
            if step.create.len() >= missing {
                return;
            }
            let before = failures.get(&index).cloned().unwrap_or_default();
            if per_index && let Some(at) = backoff(before.iter().copied(), None, now) {
                step.again_at = Some(step.again_at.map_or(at, |known| known.min(at)));
                continue;
            }
            let count = before.iter().map(|pod| failures_before(pod) + 1).max().unwrap_or(0);
            step.create.push(NewPod { index: Some(index), failures: per_index.then_some(count) });
        }
    }
}

/// When a new pod may follow the failed ones; `None` for now. The pause doubles with each failure since the last success.
fn backoff<'a>(
    failed: impl Iterator<Item = &'a Arc<Pod>>,
    since: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    let times = failed.filter_map(|pod| ended_at(pod)).filter(|at| since.is_none_or(|since| *at > since));
    let times: Vec<Timestamp> = times.collect();
    let last = times.iter().max()?;
    let doublings = u32::try_from(times.len()).unwrap_or(u32::MAX).saturating_sub(1).min(10);
    let pause = (BACKOFF_MIN << doublings).min(BACKOFF_MAX);
    let at = last.checked_add(SignedDuration::from_secs(pause)).ok()?;
    (at > now).then_some(at)
}

/// When a pod ended, as well as it can be told.
pub(super) fn ended_at(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let finished = statuses
        .filter_map(|status| status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref())
        .map(|time| time.0)
        .max();
    let unready = pods::condition(pod, "Ready").filter(|condition| condition.status == "False");
    finished
        .or_else(|| unready.and_then(|condition| condition.last_transition_time.as_ref()).map(|time| time.0))
        .or_else(|| pod.metadata.deletion_timestamp.as_ref().map(|time| time.0))
        .or_else(|| pod.metadata.creation_timestamp.as_ref().map(|time| time.0))
}
