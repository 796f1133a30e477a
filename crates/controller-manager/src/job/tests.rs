use std::sync::Arc;

use api_types::k8s::api::batch::v1::{Job, JobSpec, JobStatus};
use api_types::k8s::api::core::v1::{Pod, PodStatus};
use jiff::Timestamp;

use super::indexes::Indexes;
use super::plan::{Snapshot, Step, is_finished, plan};
use super::template;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn job(spec: JobSpec) -> Job {
    let mut job = Job { spec: Some(spec), ..Job::default() };
    job.metadata.name = Some("work".into());
    job
}

/// A Job with pods that end as told, run step by step until nothing changes.
struct World {
    job: Job,
    pods: Vec<Pod>,
    clock: i64,
    made: usize,
}

impl World {
    fn new(spec: JobSpec) -> Self {
        let mut world = Self { job: job(spec), pods: Vec::new(), clock: 0, made: 0 };
        world.settle();
        world
    }

    fn settle(&mut self) -> Step {
        for _ in 0..20 {
            let snapshot = Snapshot {
                job: Arc::new(self.job.clone()),
                pods: self.pods.iter().cloned().map(Arc::new).collect(),
            };
            if is_finished(&self.job) {
                return Step::default();
            }
            let step = plan(&snapshot, at(self.clock));
            let same = self.job.status.as_ref() == Some(&step.status);
            if same
                && step.create.is_empty()
                && step.drop.is_empty()
                && step.delete.is_empty()
                && step.release.is_empty()
            {
                return step;
            }
            for new in &step.create {
                let mut pod = template::pod(&self.job, new.index, new.failures);
                pod.metadata.name = Some(format!("p{}", self.made));
                pod.metadata.uid = pod.metadata.name.clone();
                pod.metadata.creation_timestamp =
                    Some(api_types::k8s::apimachinery::pkg::apis::meta::v1::Time(at(self.clock)));
                pod.status = Some(PodStatus { phase: Some("Running".into()), ..PodStatus::default() });
                self.pods.push(pod);
                self.made += 1;
            }
            let names =
                |pods: &[Arc<Pod>]| pods.iter().map(|pod| pod.metadata.name.clone()).collect::<Vec<_>>();
            let gone = names(&step.drop);
            self.pods.retain(|pod| !gone.contains(&pod.metadata.name));
            let deleted = names(&step.delete);
            for pod in self.pods.iter_mut().filter(|pod| deleted.contains(&pod.metadata.name)) {
                pod.status.as_mut().unwrap().phase = Some("Failed".into());
            }
            let released = names(&step.release);
            for pod in self.pods.iter_mut().filter(|pod| released.contains(&pod.metadata.name)) {
                pod.metadata.finalizers = None;
            }
            self.job.status = Some(step.status);
        }
        panic!("never settles: {:?}", self.job.status);
    }

    fn end(&mut self, which: usize, phase: &str) {
        self.pods[which].status.as_mut().unwrap().phase = Some(phase.into());
        self.settle();
    }

    fn status(&self) -> JobStatus {
        self.job.status.clone().unwrap()
    }

    fn conditions(&self) -> Vec<String> {
        self.status()
            .conditions
            .unwrap_or_default()
            .iter()
            .map(|c| format!("{} {}", c.type_, c.reason.clone().unwrap()))
            .collect()
    }
}

#[test]
fn every_pod_is_counted_once_and_the_job_completes() {
    let mut world = World::new(JobSpec { completions: Some(3), parallelism: Some(2), ..JobSpec::default() });
    assert_eq!(world.pods.len(), 2);
    world.end(0, "Succeeded");
    assert_eq!((world.status().succeeded, world.pods.len()), (Some(1), 3));
    world.end(1, "Succeeded");
    assert_eq!((world.status().active, world.pods.len()), (Some(1), 3));
    world.end(2, "Succeeded");
    assert_eq!(world.conditions(), ["SuccessCriteriaMet CompletionsReached", "Complete CompletionsReached"]);
    assert_eq!((world.status().succeeded, world.status().active), (Some(3), None));
    assert!(world.pods.iter().all(|pod| pod.metadata.finalizers.is_none()));
}

#[test]
fn failures_back_off_and_then_end_the_job() {
    let mut world =
        World::new(JobSpec { completions: Some(1), backoff_limit: Some(1), ..JobSpec::default() });
    world.end(0, "Failed");
    assert_eq!((world.pods.len(), world.status().failed), (1, Some(1)));
    assert_eq!(world.settle().again_at, Some(at(10)));
    world.clock = 10;
    world.settle();
    assert_eq!(world.pods.len(), 2);
    world.end(1, "Failed");
    assert_eq!(world.conditions(), ["FailureTarget BackoffLimitExceeded", "Failed BackoffLimitExceeded"]);
}

#[test]
fn indexes_are_filled_from_below_and_fail_alone() {
    let spec = JobSpec {
        completion_mode: Some("Indexed".into()),
        completions: Some(3),
        parallelism: Some(2),
        backoff_limit: Some(i32::MAX),
        backoff_limit_per_index: Some(0),
        ..JobSpec::default()
    };
    let mut world = World::new(spec);
    world.end(0, "Failed");
    assert_eq!(world.status().failed_indexes.as_deref(), Some("0"));
    world.end(1, "Succeeded");
    world.end(2, "Succeeded");
    assert_eq!(world.status().completed_indexes.as_deref(), Some("1,2"));
    assert_eq!(world.conditions(), ["FailureTarget FailedIndexes", "Failed FailedIndexes"]);
}

#[test]
fn suspension_takes_the_pods_away_and_gives_them_back() {
    let mut world = World::new(JobSpec { completions: Some(2), parallelism: Some(2), ..JobSpec::default() });
    world.job.spec.as_mut().unwrap().suspend = Some(true);
    world.settle();
    assert!(world.pods.is_empty() && world.status().start_time.is_none());
    assert_eq!(world.conditions(), ["Suspended JobSuspended"]);
    world.job.spec.as_mut().unwrap().suspend = Some(false);
    world.settle();
    assert_eq!((world.pods.len(), world.conditions()), (2, vec!["Suspended JobResumed".to_owned()]));
    world.job.spec.as_mut().unwrap().active_deadline_seconds = Some(5);
    world.clock = 6;
    world.settle();
    assert_eq!(world.conditions().last().unwrap(), "Failed DeadlineExceeded");
    assert_eq!(world.status().failed, Some(2));
}

#[test]
fn index_sets_are_spelled_in_ranges() {
    assert_eq!(Indexes::parse("0-2,5,7-8,20", 10).to_string(), "0-2,5,7,8");
    assert_eq!(Indexes::parse("", 10).to_string(), "");
}
