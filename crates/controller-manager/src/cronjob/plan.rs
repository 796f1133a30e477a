//! Which Job a CronJob makes next, which old ones go, and what status says.

use std::sync::Arc;

use api_types::k8s::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use api_types::k8s::api::core::v1::ObjectReference;
use api_types::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use client::kube::ResourceExt;
use client::owner;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::schedule::Schedule;

const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// Missed times that are looked through; beyond that the newest is computed from a later start.
const MISSED: usize = 100;

/// A CronJob and the Jobs that it owns.
pub(super) struct Snapshot {
    pub cron: Arc<CronJob>,
    pub jobs: Vec<Arc<Job>>,
}

/// An event about the CronJob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub warning: bool,
    pub reason: &'static str,
    pub message: String,
}

/// What to do.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Finished Jobs beyond the history limits.
    pub forget: Vec<Arc<Job>>,
    /// Running Jobs that the new one replaces.
    pub replace: Vec<Arc<Job>>,
    pub create: Option<Box<Job>>,
    /// Status without the Job that is created in this step.
    pub status: CronJobStatus,
    pub notes: Vec<Note>,
    pub again_at: Option<Timestamp>,
}

/// How a Job ended: the type of its final condition.
pub(super) fn ended(job: &Job) -> Option<&str> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let last = conditions
        .iter()
        .find(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")?;
    Some(&last.type_)
}

/// The next step.
pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Step {
    let cron = &snapshot.cron;
    let spec = cron.spec.clone();
    let mut step = Step { status: cron.status.clone().unwrap_or_default(), ..Step::default() };
    follow(snapshot, &mut step);
    forget(snapshot, &spec, &mut step);
    if cron.metadata.deletion_timestamp.is_some() || spec.suspend == Some(true) {
        return step;
    }
    let (Some(schedule), Some(zone)) = (Schedule::parse(&spec.schedule), zone(&spec)) else {
        let message = format!("unparseable schedule: {:?}", spec.schedule);
        step.notes.push(Note { warning: true, reason: "UnparseableSchedule", message });
        return step;
    };
    step.again_at = schedule.next(now, &zone);
    let Some(due) = due(cron, &spec, &schedule, &zone, now) else { return step };
    let deadline = spec.starting_deadline_seconds.map(SignedDuration::from_secs);
    if deadline.is_some_and(|deadline| now.duration_since(due) > deadline) {
        let message =
            format!("Missed scheduled time to start a job: {}", due.strftime("%a, %d %b %Y %H:%M:%S +0000"));
        step.notes.push(Note { warning: true, reason: "MissedSchedule", message });
        return step;
    }
    let active = !step.status.active.clone().unwrap_or_default().is_empty();
    match spec.concurrency_policy.as_deref() {
        Some("Forbid") if active => {
            let message =
                "Not starting job because prior execution is running and concurrency policy is Forbid";
            step.notes.push(Note { warning: false, reason: "JobAlreadyActive", message: message.to_owned() });
            return step;
        }
        Some("Replace") => {
            step.replace = snapshot.jobs.iter().filter(|job| ended(job).is_none()).cloned().collect();
            step.status.active = None;
        }
        _ => {}
    }
    step.create = Some(Box::new(job(cron, &spec, due, &zone)));
    step.status.last_schedule_time = Some(Time(due));
    step
}

/// Brings the list of running Jobs up to date.
fn follow(snapshot: &Snapshot, step: &mut Step) {
    let mut active = step.status.active.take().unwrap_or_default();
    for job in &snapshot.jobs {
        let listed = active.iter().any(|reference| reference.uid == job.metadata.uid);
        let name = job.name_any();
        match (listed, ended(job)) {
            (false, None) => {
                let message = format!("Saw a job that the controller did not create or forgot: {name}");
                step.notes.push(Note { warning: true, reason: "UnexpectedJob", message });
            }
            (true, Some(how)) => {
                active.retain(|reference| reference.uid != job.metadata.uid);
                let message = format!("Saw completed job: {name}, condition: {how}");
                step.notes.push(Note { warning: false, reason: "SawCompletedJob", message });
            }
            _ => {}
        }
        let finished = job.status.as_ref().and_then(|status| status.completion_time.clone());
        if ended(job) == Some("Complete") && finished > step.status.last_successful_time {
            step.status.last_successful_time = finished;
        }
    }
    active.retain(|reference| {
        let exists = snapshot.jobs.iter().any(|job| job.metadata.uid == reference.uid);
        if !exists {
            let message =
                format!("Active job went missing: {}", reference.name.as_deref().unwrap_or_default());
            step.notes.push(Note { warning: false, reason: "MissingJob", message });
        }
        exists
    });
    step.status.active = (!active.is_empty()).then_some(active);
}

/// Finished Jobs beyond the limits, oldest first.
fn forget(snapshot: &Snapshot, spec: &CronJobSpec, step: &mut Step) {
    let limits = [
        ("Complete", spec.successful_jobs_history_limit.unwrap_or(3)),
        ("Failed", spec.failed_jobs_history_limit.unwrap_or(1)),
    ];
    for (how, limit) in limits {
        let mut jobs: Vec<&Arc<Job>> = snapshot.jobs.iter().filter(|job| ended(job) == Some(how)).collect();
        jobs.sort_by_key(|job| {
            (job.status.as_ref().and_then(|status| status.start_time.clone()), job.name_any())
        });
        let surplus = jobs.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        step.forget.extend(jobs.into_iter().take(surplus).cloned());
    }
}

/// The newest scheduled time that has passed and has not been served.
fn due(
    cron: &CronJob,
    spec: &CronJobSpec,
    schedule: &Schedule,
    zone: &TimeZone,
    now: Timestamp,
) -> Option<Timestamp> {
    let created = cron.metadata.creation_timestamp.as_ref()?.0;
    let last = cron.status.as_ref().and_then(|status| status.last_schedule_time.as_ref()).map(|time| time.0);
    let mut from = last.unwrap_or(created);
    if let Some(deadline) = spec.starting_deadline_seconds {
        // Older ones could not be started any more.
        from = from.max(now.checked_sub(SignedDuration::from_secs(deadline + 60)).ok()?);
    }
    let mut newest = None;
    let mut at = from;
    for step in 0.. {
        let next = schedule.next(at, zone)?;
        if next > now {
            break;
        }
        newest = Some(next);
        at = next;
        // After a long sleep only the newest matters; go on close to now.
        if step == MISSED {
            let gap = now.duration_since(at) / 2;
            at = at.checked_add(gap).ok()?;
            if schedule.next(at, zone).is_none_or(|next| next > now) {
                break;
            }
        }
    }
    newest
}

fn zone(spec: &CronJobSpec) -> Option<TimeZone> {
    match spec.time_zone.as_deref() {
        None | Some("") => Some(TimeZone::UTC),
        Some(name) => TimeZone::get(name).ok(),
    }
}

fn job(cron: &CronJob, spec: &CronJobSpec, due: Timestamp, zone: &TimeZone) -> Job {
    let template = spec.job_template.clone();
    let meta = template.metadata.unwrap_or_default();
    let mut annotations = meta.annotations.unwrap_or_default();
    let stamp = due.to_zoned(zone.clone());
    let stamp = if *zone == TimeZone::UTC {
        api_types::time::format_seconds(due)
    } else {
        stamp.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    };
    annotations.insert(SCHEDULED_AT.to_owned(), stamp);
    Job {
        metadata: ObjectMeta {
            // The name tells the time, so that one time never makes two Jobs.
            name: Some(format!("{}-{}", cron.name_any(), due.as_second() / 60)),
            namespace: cron.namespace(),
            labels: meta.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![owner::controller_ref(cron)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

/// The entry of a running Job in status.
pub(super) fn reference(job: &Job) -> ObjectReference {
    client::events::reference(job)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api_types::k8s::api::batch::v1::{JobCondition, JobStatus};

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cron(schedule: &str, policy: &str) -> CronJob {
        let mut cron = CronJob {
            spec: CronJobSpec {
                schedule: schedule.into(),
                concurrency_policy: Some(policy.into()),
                ..CronJobSpec::default()
            },
            ..CronJob::default()
        };
        cron.metadata.name = Some("c".into());
        cron.metadata.creation_timestamp = Some(Time(time("2026-01-01T00:00:30Z")));
        cron
    }

    fn owned(name: &str, how: Option<&str>) -> Arc<Job> {
        let mut job = Job::default();
        job.metadata.name = Some(name.into());
        job.metadata.uid = Some(name.into());
        job.status = how.map(|how| JobStatus {
            conditions: Some(vec![JobCondition {
                type_: how.into(),
                status: "True".into(),
                ..JobCondition::default()
            }]),
            ..JobStatus::default()
        });
        Arc::new(job)
    }

    fn run(cron: CronJob, jobs: Vec<Arc<Job>>, now: &str) -> Step {
        plan(&Snapshot { cron: Arc::new(cron), jobs }, time(now))
    }

    #[test]
    fn one_job_per_time_named_after_it() {
        let step = run(cron("* * * * *", "Allow"), vec![], "2026-01-01T00:01:05Z");
        let job = step.create.unwrap();
        assert_eq!(
            job.metadata.name.unwrap(),
            format!("c-{}", time("2026-01-01T00:01:00Z").as_second() / 60)
        );
        assert_eq!(step.again_at, Some(time("2026-01-01T00:02:00Z")));
        let mut served = cron("* * * * *", "Allow");
        served.status = Some(step.status);
        assert!(run(served, vec![], "2026-01-01T00:01:40Z").create.is_none());
    }

    #[test]
    fn policies_decide_about_running_jobs() {
        let with_active = |policy: &str| {
            let mut cron = cron("* * * * *", policy);
            cron.status = Some(CronJobStatus {
                active: Some(vec![reference(&owned("a", None))]),
                ..CronJobStatus::default()
            });
            run(cron, vec![owned("a", None)], "2026-01-01T00:05:05Z")
        };
        assert!(with_active("Allow").create.is_some());
        let forbidden = with_active("Forbid");
        assert!(forbidden.create.is_none());
        assert_eq!(forbidden.notes[0].reason, "JobAlreadyActive");
        let replacing = with_active("Replace");
        assert_eq!((replacing.replace.len(), replacing.create.is_some()), (1, true));
    }

    #[test]
    fn old_jobs_are_forgotten_and_strangers_noticed() {
        let jobs = vec![
            owned("a", Some("Complete")),
            owned("b", Some("Complete")),
            owned("c", Some("Complete")),
            owned("d", Some("Complete")),
            owned("e", Some("Failed")),
            owned("f", None),
        ];
        let step = run(cron("0 0 1 1 *", "Allow"), jobs, "2026-01-01T00:05:05Z");
        let names: Vec<_> = step.forget.iter().map(|job| job.name_any()).collect();
        assert_eq!(names, ["a"]);
        assert_eq!(step.notes[0].message, "Saw a job that the controller did not create or forgot: f");
    }
}
