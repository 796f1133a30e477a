//! How many replicas bring a metric to its target.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::{Container, Pod};
use api_types::quantity::Quantity;
use client::kube::ResourceExt;
use jiff::{SignedDuration, Timestamp};

use super::metrics::Sample;
use crate::common::pods;

/// What is missing, so that a count cannot be told. The texts are part of conditions and events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Missing {
    #[error("no pods returned by selector while calculating replica count")]
    Pods,
    #[error("did not receive metrics for targeted pods (pods might be unready)")]
    Metrics,
    #[error("missing request for {resource} in container {container} of Pod {pod}")]
    Request { resource: String, container: String, pod: String },
    #[error("container {container} not present in pod {pod}")]
    Container { container: String, pod: String },
}

/// The pods of a target and how their samples are to be read.
pub(super) struct Population<'a> {
    /// Replicas that the target asks for now.
    pub current: i32,
    /// All pods that its selector matches.
    pub pods: &'a [Arc<Pod>],
    /// Relative deviations that do not matter, downwards and upwards.
    pub tolerance: Tolerance,
    pub initialization: Duration,
    pub readiness_delay: Duration,
    pub now: Timestamp,
}

/// Relative deviations from a target that do not matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    pub down: f64,
    pub up: f64,
}

impl Tolerance {
    fn covers(self, ratio: f64) -> bool {
        (1.0 - self.down..=1.0 + self.up).contains(&ratio)
    }
}

/// A count, and what was measured per pod.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Count {
    pub replicas: i32,
    /// Percent of the requests, where the target is one.
    pub utilization: Option<i32>,
    /// Thousandths of a unit.
    pub average_milli: i64,
}

/// Samples by pod, in thousandths of a unit.
pub(super) type Samples = BTreeMap<String, Sample>;

/// The goal that samples are held against.
enum Goal {
    /// A share of what pods request, in percent; requests by pod, in thousandths.
    Utilization { percent: i32, requests: BTreeMap<String, i64> },
    /// The same for every pod, in thousandths.
    Average(i64),
}

impl Goal {
    /// Use in relation to the goal.
    fn ratio(&self, samples: &BTreeMap<&str, i64>) -> Result<Count, Missing> {
        let total: i64 = samples.values().sum();
        let average_milli = total / i64::try_from(samples.len().max(1)).unwrap_or(i64::MAX);
        let utilization = match self {
            Self::Average(_) => None,
            Self::Utilization { requests, .. } => {
                let requested: i64 = samples.keys().filter_map(|pod| requests.get(*pod)).sum();
                if requested == 0 {
                    return Err(Missing::Metrics);
                }
                Some(i32::try_from(total * 100 / requested).unwrap_or(i32::MAX))
            }
        };
        Ok(Count { replicas: 0, utilization, average_milli })
    }

    fn of(&self, count: &Count) -> f64 {
        match self {
            Self::Utilization { percent, .. } => {
                f64::from(count.utilization.unwrap_or_default()) / f64::from(*percent)
            }
            Self::Average(target) => count.average_milli as f64 / *target as f64,
        }
    }

    /// What a pod without a sample is taken to use when that argues against scaling down.
    fn cautious(&self, pod: &str) -> i64 {
        match self {
            Self::Utilization { percent, requests } => {
                requests.get(pod).copied().unwrap_or_default() * i64::from((*percent).max(100)) / 100
            }
            Self::Average(target) => *target,
        }
    }
}

impl Population<'_> {
    /// For a target in percent of the requests for a resource, of all containers or of one.
    pub(super) fn by_utilization(
        &self,
        samples: &Samples,
        percent: i32,
        resource: &str,
        container: Option<&str>,
    ) -> Result<Count, Missing> {
        if self.pods.is_empty() {
            return Err(Missing::Pods);
        }
        let sorted = self.sort(samples, resource);
        if sorted.used.is_empty() {
            return Err(Missing::Metrics);
        }
        let goal = Goal::Utilization { percent, requests: self.requests(resource, container)? };
        self.count(samples, sorted, &goal)
    }

    /// For a target per pod, in thousandths. `resource` is empty for metrics that are no resource.
    pub(super) fn by_average(
        &self,
        samples: &Samples,
        target_milli: i64,
        resource: &str,
    ) -> Result<Count, Missing> {
        if self.pods.is_empty() {
            return Err(Missing::Pods);
        }
        let sorted = self.sort(samples, resource);
        self.count(samples, sorted, &Goal::Average(target_milli))
    }

    /// For a target that holds for all pods together: use in relation to it.
    pub(super) fn by_ratio(&self, ratio: f64) -> Result<i32, Missing> {
        if self.current == 0 {
            return Ok(whole(ratio));
        }
        if self.tolerance.covers(ratio) {
            return Ok(self.current);
        }
        if self.pods.is_empty() {
            return Err(Missing::Pods);
        }
        let ready =
            self.pods.iter().filter(|pod| pods::phase(pod) == "Running" && pods::is_ready(pod)).count();
        Ok(whole(ratio * ready as f64))
    }

    /// For a target per pod of something that is measured as a whole; both in thousandths. `replicas` are those that exist.
    pub(super) fn by_share(&self, usage_milli: i64, target_milli: i64, replicas: i32) -> Count {
        let ratio = usage_milli as f64 / (target_milli as f64 * f64::from(replicas));
        let wanted = match self.tolerance.covers(ratio) {
            true => replicas,
            false => whole(usage_milli as f64 / target_milli as f64),
        };
        let share = usage_milli as f64 / f64::from(replicas.max(1));
        Count { replicas: wanted, utilization: None, average_milli: share.ceil() as i64 }
    }

    fn count(&self, samples: &Samples, sorted: Sorted<'_>, goal: &Goal) -> Result<Count, Missing> {
        if sorted.used.is_empty() {
            return Err(Missing::Metrics);
        }
        let mut values: BTreeMap<&str, i64> =
            sorted.used.iter().filter_map(|pod| Some((*pod, samples.get(*pod)?.milli))).collect();
        let seen = goal.ratio(&values)?;
        let ratio = goal.of(&seen);
        let unready_matter = !sorted.unready.is_empty() && ratio > 1.0;
        if !unready_matter && sorted.missing.is_empty() {
            let replicas = match self.tolerance.covers(ratio) {
                true => self.current,
                false => whole(ratio * sorted.ready.len() as f64),
            };
            return Ok(Count { replicas, ..seen });
        }
        // What is not known must not make the change larger.
        for pod in sorted.missing {
            if ratio < 1.0 {
                values.insert(pod, goal.cautious(pod));
            } else if ratio > 1.0 {
                values.insert(pod, 0);
            }
        }
        if unready_matter {
            values.extend(sorted.unready.into_iter().map(|pod| (pod, 0)));
        }
        let careful = goal.of(&goal.ratio(&values)?);
        let turned = (ratio < 1.0 && careful > 1.0) || (ratio > 1.0 && careful < 1.0);
        if self.tolerance.covers(careful) || turned {
            return Ok(Count { replicas: self.current, ..seen });
        }
        let replicas = whole(careful * values.len() as f64);
        let wrong_way =
            (careful < 1.0 && replicas > self.current) || (careful > 1.0 && replicas < self.current);
        Ok(Count { replicas: if wrong_way { self.current } else { replicas }, ..seen })
    }

    fn sort(&self, samples: &Samples, resource: &str) -> Sorted<'_> {
        let mut sorted = Sorted::default();
        for pod in self.pods {
            let Some(name) = pod.metadata.name.as_deref() else { continue };
            match pods::phase(pod) {
                _ if pod.metadata.deletion_timestamp.is_some() => sorted.ignored.insert(name),
                "Failed" => sorted.ignored.insert(name),
                "Pending" => sorted.unready.insert(name),
                _ => match samples.get(name) {
                    None => sorted.missing.insert(name),
                    Some(sample) if resource == "cpu" && self.warming_up(pod, sample) => {
                        sorted.unready.insert(name)
                    }
                    Some(_) => sorted.ready.insert(name),
                },
            };
        }
        let excluded = |name: &&str| !sorted.ignored.contains(name) && !sorted.unready.contains(name);
        sorted.used = self
            .pods
            .iter()
            .filter_map(|pod| pod.metadata.name.as_deref())
            .filter(|name| samples.contains_key(*name))
            .filter(excluded)
            .collect();
        sorted
    }

    /// Whether a pod's CPU use is still that of its start.
    fn warming_up(&self, pod: &Pod, sample: &Sample) -> bool {
        let condition = pods::condition(pod, "Ready");
        let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
        let (Some(condition), Some(started)) = (condition, started) else { return true };
        let unready = condition.status == "False";
        let since = condition.last_transition_time.as_ref().map_or(Timestamp::MIN, |time| time.0);
        let after = |at: Timestamp, delay: Duration| {
            at.checked_add(SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX))
                .unwrap_or(Timestamp::MAX)
        };
        if after(started.0, self.initialization) > self.now {
            // Only a sample taken wholly since the pod is ready counts.
            unready || sample.at < after(since, sample.window)
        } else {
            unready && after(started.0, self.readiness_delay) > since
        }
    }

    /// What each pod requests of a resource, in thousandths.
    fn requests(&self, resource: &str, container: Option<&str>) -> Result<BTreeMap<String, i64>, Missing> {
        let mut requests = BTreeMap::new();
        for pod in self.pods {
            let spec = pod.spec.as_ref();
            let name = pod.name_any();
            // Requests of the pod as a whole stand for those of its containers (KEP-2837).
            let whole_pod = spec
                .and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get(resource))
                .filter(|_| container.is_none());
            if let Some(request) = whole_pod {
                requests.insert(name, milli(&request.0));
                continue;
            }
            let restarting = |init: &&Container| init.restart_policy.as_deref() == Some("Always");
            let sidecars =
                spec.iter().flat_map(|spec| spec.init_containers.iter().flatten()).filter(restarting);
            let all = spec.iter().flat_map(|spec| &spec.containers).chain(sidecars);
            let (mut sum, mut found) = (0, false);
            for candidate in all.filter(|candidate| container.is_none_or(|name| candidate.name == name)) {
                found = true;
                let given =
                    candidate.resources.as_ref().and_then(|given| given.requests.as_ref()?.get(resource));
                let Some(request) = given else {
                    return Err(Missing::Request {
                        resource: resource.to_owned(),
                        container: candidate.name.clone(),
                        pod: name,
                    });
                };
                sum += milli(&request.0);
            }
            if let Some(container) = container.filter(|_| !found) {
                return Err(Missing::Container { container: container.to_owned(), pod: name });
            }
            requests.insert(name, sum);
        }
        Ok(requests)
    }
}

/// The pods of a target by what their samples are good for.
#[derive(Default)]
struct Sorted<'a> {
    ready: HashSet<&'a str>,
    /// They use less than they will.
    unready: HashSet<&'a str>,
    /// They should have samples and have none.
    missing: HashSet<&'a str>,
    /// They do not count.
    ignored: HashSet<&'a str>,
    /// Those whose samples are read.
    used: Vec<&'a str>,
}

/// Thousandths of a quantity; 0 when it cannot be read, which the server does not accept.
pub(super) fn milli(text: &str) -> i64 {
    Quantity::parse(text).map(Quantity::milli_value).unwrap_or_default()
}

fn whole(replicas: f64) -> i32 {
    // Saturates: a ratio that large is a fault in the metric, and the bounds cut it.
    replicas.ceil() as i32
}
