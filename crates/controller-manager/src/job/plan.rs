//! The next step of a Job: whom to count, what to create and delete, what status says.

use std::collections::BTreeSet;
use std::sync::Arc;

use api_types::k8s::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus, UncountedTerminatedPods};
use api_types::k8s::api::core::v1::Pod;
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use jiff::{SignedDuration, Timestamp};

use super::fill::ended_at;
use super::indexes::Indexes;
use super::policy::{self, Consequence};
use super::template::{failures_before, index, is_tracked};
use crate::common::pods;

/// A Job and its pods.
pub(super) struct Snapshot {
    pub job: Arc<Job>,
    pub pods: Vec<Arc<Pod>>,
}

/// A pod to create: its index, and how often that index has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NewPod {
    pub index: Option<i32>,
    pub failures: Option<i32>,
}

/// An event about the Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub warning: bool,
    pub reason: String,
    pub message: String,
}

/// What to write, in this order.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub create: Vec<NewPod>,
    /// Pods that are not wanted any more and do not count.
    pub drop: Vec<Arc<Pod>>,
    /// Pods that end with the Job and count as they end.
    pub delete: Vec<Arc<Pod>>,
    pub status: JobStatus,
    /// Pods whose end `status` accounts for: their finalizers may go once it is written.
    pub release: Vec<Arc<Pod>>,
    pub notes: Vec<Note>,
    pub again_at: Option<Timestamp>,
}

/// Whether the Job has ended, and its pods are only to be let go.
pub(super) fn is_finished(job: &Job) -> bool {
    condition(job.status.as_ref(), "Complete").is_some() || condition(job.status.as_ref(), "Failed").is_some()
}

fn condition<'a>(status: Option<&'a JobStatus>, kind: &str) -> Option<&'a JobCondition> {
    let conditions = status?.conditions.as_deref().unwrap_or_default();
    conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True")
}

/// The next step of a Job that has not ended.
pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Step {
    let spec = snapshot.job.spec.clone().unwrap_or_default();
    let mut step = Step { status: snapshot.job.status.clone().unwrap_or_default(), ..Step::default() };
    let suspended = spec.suspend == Some(true);
    if step.status.start_time.is_none() && !suspended {
        step.status.start_time = Some(Time(now));
    }
    let mut work = Work::new(snapshot, spec);
    work.count(&mut step);
    if target(&step.status).is_none()
        && let Some((kind, reason, message)) = work.outcome(&step, now)
    {
        add(&mut step.status, kind, "True", &reason, &message, now);
    }
    if target(&step.status).is_some() {
        work.finish(&mut step, now);
    } else if suspended {
        work.suspend(&mut step, now);
    } else {
        if replace(&mut step.status, "Suspended", "False", "JobResumed", "Job resumed", now, false) {
            step.status.start_time = Some(Time(now));
            step.notes.push(note(false, "Resumed", "Job resumed"));
        }
        work.fill(&mut step, now);
        if let (Some(limit), Some(start)) = (work.spec.active_deadline_seconds, &step.status.start_time) {
            let deadline = start.0.checked_add(SignedDuration::from_secs(limit)).ok();
            step.again_at = step.again_at.into_iter().chain(deadline).min();
        }
    }
    work.numbers(&mut step);
    step
}

/// The condition that says how the Job will end, once its last pod has gone.
fn target(status: &JobStatus) -> Option<JobCondition> {
    condition(Some(status), "SuccessCriteriaMet")
        .or_else(|| condition(Some(status), "FailureTarget"))
        .cloned()
}

/// The pods of a Job, sorted out.
pub(super) struct Work {
    pub spec: JobSpec,
    pub indexed: bool,
    pub completions: i32,
    pub active: Vec<Arc<Pod>>,
    pub terminating: Vec<Arc<Pod>>,
    /// Ended or ending pods whose end is not counted.
    pub ended: Vec<Arc<Pod>>,
    pub failed: Vec<Arc<Pod>>,
    pub all: Vec<Arc<Pod>>,
    pub succeeded_indexes: Indexes,
    pub failed_indexes: Indexes,
    pub fail_job: Option<String>,
}

impl Work {
    fn new(snapshot: &Snapshot, spec: JobSpec) -> Self {
        let status = snapshot.job.status.clone().unwrap_or_default();
        let indexed = spec.completion_mode.as_deref() == Some("Indexed");
        let completions = spec.completions.unwrap_or(i32::MAX);
        let all = snapshot.pods.clone();
        let pick =
            |test: &dyn Fn(&Pod) -> bool| all.iter().filter(|pod| test(pod)).cloned().collect::<Vec<_>>();
        // Whether a pod that is being deleted has failed already, or only when it has ended.
        let waits =
            spec.pod_replacement_policy.as_deref() == Some("Failed") || spec.pod_failure_policy.is_some();
        let has_failed = |pod: &Pod| pods::phase(pod) == "Failed" || (!waits && pods::is_terminating(pod));
        Self {
            active: pick(&|pod| pods::is_active(pod)),
            terminating: pick(&|pod| pods::is_terminating(pod)),
            ended: pick(&|pod| is_tracked(pod) && (has_failed(pod) || pods::phase(pod) == "Succeeded")),
            failed: pick(&has_failed),
            succeeded_indexes: Indexes::parse(status.completed_indexes.as_deref().unwrap_or(""), completions),
            failed_indexes: Indexes::parse(status.failed_indexes.as_deref().unwrap_or(""), completions),
            fail_job: None,
            all,
            indexed,
            completions,
            spec,
        }
    }

    /// Moves counted pods from "uncounted" into the numbers, and newly ended ones into "uncounted".
    fn count(&mut self, step: &mut Step) {
        let uncounted = step.status.uncounted_terminated_pods.take().unwrap_or_default();
        let tracked: BTreeSet<&str> = self
            .all
            .iter()
            .filter(|pod| is_tracked(pod))
            .filter_map(|pod| pod.metadata.uid.as_deref())
            .collect();
        let (mut succeeded, released): (Vec<String>, Vec<String>) = uncounted
            .succeeded
            .unwrap_or_default()
            .into_iter()
            .partition(|uid| tracked.contains(uid.as_str()));
        add_to(&mut step.status.succeeded, released.len());
        let (mut failed, released): (Vec<String>, Vec<String>) =
            uncounted.failed.unwrap_or_default().into_iter().partition(|uid| tracked.contains(uid.as_str()));
        add_to(&mut step.status.failed, released.len());
        // Pods that go because the Job has succeeded have not failed.
        let succeeding = condition(Some(&step.status), "SuccessCriteriaMet").is_some();
        for pod in self.ended.clone() {
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            if succeeded.contains(&uid) || failed.contains(&uid) {
                step.release.push(pod);
                continue;
            }
            if pods::phase(&pod) == "Succeeded" {
                match index(&pod).filter(|_| self.indexed) {
                    Some(index) if index < self.completions => {
                        self.succeeded_indexes.0.insert(index);
                    }
                    Some(_) => {}
                    None => succeeded.push(uid),
                }
            } else if !succeeding {
                match policy::consequence(&self.spec, &pod) {
                    Consequence::Ignore => {}
                    consequence => {
                        failed.push(uid);
                        self.judge(&pod, consequence);
                    }
                }
            }
            step.release.push(pod);
        }
        let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
        step.status.uncounted_terminated_pods =
            Some(UncountedTerminatedPods { succeeded: some(succeeded), failed: some(failed) });
    }

    fn judge(&mut self, pod: &Pod, consequence: Consequence) {
        match consequence {
            Consequence::FailJob(message) => self.fail_job = Some(message),
            Consequence::FailIndex => self.failed_indexes.0.extend(index(pod)),
            _ => {
                if let (Some(limit), Some(index)) = (self.spec.backoff_limit_per_index, index(pod))
                    && failures_before(pod) >= limit
                {
                    self.failed_indexes.0.insert(index);
                }
            }
        }
    }

    pub(super) fn succeeded(&self, status: &JobStatus) -> i32 {
        if self.indexed {
            return self.succeeded_indexes.len();
        }
        status.succeeded.unwrap_or(0) + uncounted(status).0
    }

    /// How the Job ends, if it does: condition, reason, message.
    fn outcome(&self, step: &Step, now: Timestamp) -> Option<(&'static str, String, String)> {
        let failure =
            |reason: &str, message: &str| Some(("FailureTarget", reason.to_owned(), message.to_owned()));
        if let Some(message) = &self.fail_job {
            return failure("PodFailurePolicy", message);
        }
        let status = &step.status;
        let failed = status.failed.unwrap_or(0) + uncounted(status).1;
        let limit = self.spec.backoff_limit.unwrap_or(6);
        if failed > limit || self.restarted_too_often(limit) {
            return failure("BackoffLimitExceeded", "Job has reached the specified backoff limit");
        }
        if let (Some(limit), Some(start)) = (self.spec.active_deadline_seconds, &status.start_time)
            && self.spec.suspend != Some(true)
            && now.duration_since(start.0).as_secs() >= limit
        {
            return failure("DeadlineExceeded", "Job was active longer than specified deadline");
        }
        if self.indexed && self.spec.backoff_limit_per_index.is_some() {
            if self.spec.max_failed_indexes.is_some_and(|most| self.failed_indexes.len() > most) {
                return failure(
                    "MaxFailedIndexesExceeded",
                    "Job has exceeded the specified maximal number of failed indexes",
                );
            }
            let through = self.succeeded_indexes.0.union(&self.failed_indexes.0).count();
            if !self.failed_indexes.0.is_empty() && i32::try_from(through).ok() >= Some(self.completions) {
                return failure("FailedIndexes", "Job has failed indexes");
            }
        }
        if let Some(at) = policy::success_rule(&self.spec, &self.succeeded_indexes) {
            return Some((
                "SuccessCriteriaMet",
                "SuccessPolicy".to_owned(),
                format!("Matched rules at index {at}"),
            ));
        }
        let succeeded = self.succeeded(status);
        let enough = match self.spec.completions {
            Some(completions) => succeeded >= completions,
            // A work queue: done when one has succeeded and none runs any more.
            None => succeeded > 0 && self.active.is_empty(),
        };
        let message = "Reached expected number of succeeded pods".to_owned();
        enough.then(|| ("SuccessCriteriaMet", "CompletionsReached".to_owned(), message))
    }

    /// Containers restarted in place count like failed pods.
    fn restarted_too_often(&self, limit: i32) -> bool {
        let on_failure = self.spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref())
            == Some("OnFailure");
        let restarts: i32 = self.active.iter().map(|pod| pods::restarts(pod)).sum();
        on_failure && if limit == 0 { restarts > 0 } else { restarts >= limit }
    }

    /// The Job ends: its running pods go, and when the last is counted the final condition comes.
    fn finish(&mut self, step: &mut Step, now: Timestamp) {
        let Some(target) = target(&step.status) else { return };
        step.delete.append(&mut self.active);
        let pending = uncounted(&step.status) != (0, 0) || !step.release.is_empty();
        if !step.delete.is_empty() || !self.terminating.is_empty() || pending {
            return;
        }
        let (reason, message) = (target.reason.unwrap_or_default(), target.message.unwrap_or_default());
        if target.type_ == "SuccessCriteriaMet" {
            add(&mut step.status, "Complete", "True", &reason, &message, now);
            step.status.completion_time = Some(Time(now));
            step.notes.push(note(false, "Completed", "Job completed"));
        } else {
            add(&mut step.status, "Failed", "True", &reason, &message, now);
            step.notes.push(note(true, &reason, &message));
        }
    }

    fn suspend(&mut self, step: &mut Step, now: Timestamp) {
        step.drop.append(&mut self.active);
        step.status.start_time = None;
        if replace(&mut step.status, "Suspended", "True", "JobSuspended", "Job suspended", now, true) {
            step.notes.push(note(false, "Suspended", "Job suspended"));
        }
    }

    pub(super) fn last_success(&self) -> Option<Timestamp> {
        self.all.iter().filter(|pod| pods::phase(pod) == "Succeeded").filter_map(|pod| ended_at(pod)).max()
    }

    /// The numbers of status that are counted afresh each time.
    fn numbers(&self, step: &mut Step) {
        let nonzero = |count: usize| i32::try_from(count).ok().filter(|count| *count != 0);
        let going = step.delete.len() + step.drop.len();
        let status = &mut step.status;
        status.active = nonzero(self.active.len() + step.create.len());
        status.ready = i32::try_from(self.active.iter().filter(|pod| pods::is_ready(pod)).count()).ok();
        // Unbound pods vanish at once; the others are counted when their deletion shows.
        status.terminating = i32::try_from(self.terminating.len()).ok();
        if going > 0 && self.active.is_empty() {
            status.ready = Some(0);
        }
        if self.indexed {
            status.succeeded = nonzero(self.succeeded_indexes.0.len());
            let text = self.succeeded_indexes.to_string();
            status.completed_indexes = (!text.is_empty()).then_some(text);
            status.failed_indexes =
                self.spec.backoff_limit_per_index.map(|_| self.failed_indexes.to_string());
        }
    }
}

/// Succeeded and failed pods that status has not counted for good.
fn uncounted(status: &JobStatus) -> (i32, i32) {
    let len = |list: &Option<Vec<String>>| {
        list.as_ref().and_then(|list| i32::try_from(list.len()).ok()).unwrap_or(0)
    };
    status.uncounted_terminated_pods.as_ref().map_or((0, 0), |pods| (len(&pods.succeeded), len(&pods.failed)))
}

fn add_to(count: &mut Option<i32>, more: usize) {
    let more = i32::try_from(more).unwrap_or(i32::MAX);
    if more > 0 {
        *count = Some(count.unwrap_or(0).saturating_add(more));
    }
}

fn add(status: &mut JobStatus, kind: &str, value: &str, reason: &str, message: &str, now: Timestamp) {
    status.conditions.get_or_insert_default().push(JobCondition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    });
}

/// Sets a condition that may change back; an absent one is added only when `create`. Whether anything changed.
fn replace(
    status: &mut JobStatus,
    kind: &str,
    value: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
    create: bool,
) -> bool {
    let conditions = status.conditions.get_or_insert_default();
    let known = conditions.iter().position(|condition| condition.type_ == kind);
    match known {
        Some(at) if conditions[at].status == value => return false,
        Some(at) => drop(conditions.remove(at)),
        None if !create => {
            if conditions.is_empty() {
                status.conditions = None;
            }
            return false;
        }
        None => {}
    }
    add(status, kind, value, reason, message, now);
    true
}

fn note(warning: bool, reason: &str, message: &str) -> Note {
    Note { warning, reason: reason.to_owned(), message: message.to_owned() }
}
