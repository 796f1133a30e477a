use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use api_types::k8s::api::core::v1::Pod;
use jiff::{SignedDuration, Timestamp};

use super::limits::{self, Bounds, History};
use super::metrics::Sample;
use super::replicas::{Missing, Population, Samples, Tolerance};

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

/// Pods of 1 CPU each, by phase; all have been ready for long.
fn pods(phases: &[&str]) -> Vec<Arc<Pod>> {
    let pod = |(i, phase): (usize, &&str)| {
        let text = format!(
            "metadata: {{name: p{i}}}
spec: {{containers: [{{name: c, resources: {{requests: {{cpu: '1'}}}}}}]}}
status: {{phase: {phase}, startTime: 2020-01-01T00:00:00Z, conditions: [{{type: Ready, status: 'True', lastTransitionTime: 2020-01-01T00:00:10Z}}]}}"
        );
        Arc::new(serde_yaml::from_str(&text).unwrap())
    };
    phases.iter().enumerate().map(pod).collect()
}

/// CPU of the first pods, in thousandths.
fn samples(used: &[i64]) -> Samples {
    let sample = |(i, milli): (usize, &i64)| {
        (format!("p{i}"), Sample { milli: *milli, at: now(), window: Duration::ZERO })
    };
    used.iter().enumerate().map(sample).collect()
}

fn population(pods: &[Arc<Pod>]) -> Population<'_> {
    Population {
        current: i32::try_from(pods.len()).unwrap(),
        pods,
        tolerance: Tolerance { down: 0.1, up: 0.1 },
        initialization: Duration::from_secs(300),
        readiness_delay: Duration::from_secs(30),
        now: now(),
    }
}

#[test]
fn replicas_follow_utilization() {
    const R: &str = "Running";
    for (phases, used, percent, expected) in [
        (&[R, R, R][..], &[900, 900, 900][..], 30, 9),
        (&[R, R, R], &[300, 310, 320], 30, 3),
        (&[R, R, R, R], &[100, 100, 100, 100], 50, 1),
        // Two pods without samples: they are taken to use nothing when scaling up.
        (&[R, R, R, R], &[1000, 1000], 50, 4),
        // And all that they request when scaling down.
        (&[R, R, R, R], &[100, 100, 100], 50, 3),
        // A pod that is not ready yet will take its share.
        (&[R, R, "Pending"], &[1000, 1000, 1000], 50, 4),
        (&[R, "Failed", R], &[500, 10_000, 500], 50, 3),
    ] {
        let pods = pods(phases);
        let count = population(&pods).by_utilization(&samples(used), percent, "cpu", None).unwrap();
        assert_eq!(count.replicas, expected, "{phases:?} {used:?} {percent}");
    }
}

#[test]
fn what_cannot_be_told_is_said() {
    let pods = pods(&["Running"]);
    let population = population(&pods);
    assert_eq!(population.by_utilization(&samples(&[]), 50, "cpu", None), Err(Missing::Metrics));
    let missing = population.by_utilization(&samples(&[5]), 50, "memory", None).unwrap_err();
    assert_eq!(missing.to_string(), "missing request for memory in container c of Pod p0");
    let none = Population { pods: &[], ..population };
    assert_eq!(none.by_utilization(&samples(&[5]), 50, "cpu", None), Err(Missing::Pods));
}

fn limit(
    current: i32,
    proposed: i32,
    behavior: Option<&str>,
    history: &mut History,
    at: Timestamp,
) -> (i32, String) {
    let behavior: Option<HorizontalPodAutoscalerBehavior> =
        behavior.map(|text| serde_yaml::from_str(text).unwrap());
    let bounds = Bounds { current, min: 1, max: 100 };
    let (count, [_, limited]) =
        limits::limit(bounds, proposed, behavior.as_ref(), Duration::from_secs(300), history, at);
    (count, limited.reason)
}

#[test]
fn bounds_rates_and_windows_hold_a_change_back() {
    let fresh = &mut History::default();
    assert_eq!(limit(3, 50, None, fresh, now()), (6, "ScaleUpLimit".into()));
    // The proposal of 50 holds for the window.
    let later = |seconds| now().checked_add(SignedDuration::from_secs(seconds)).unwrap();
    assert_eq!(limit(50, 2, None, fresh, later(60)), (50, "DesiredWithinRange".into()));
    assert_eq!(limit(50, 2, None, fresh, later(400)), (2, "DesiredWithinRange".into()));
    assert_eq!(limit(60, 200, None, &mut History::default(), now()), (100, "TooManyReplicas".into()));

    let rules = "scaleDown: {stabilizationWindowSeconds: 0, policies: [{type: Pods, value: 4, periodSeconds: 60}, {type: Percent, value: 10, periodSeconds: 60}], selectPolicy: Max}
scaleUp: {stabilizationWindowSeconds: 0, policies: [{type: Percent, value: 100, periodSeconds: 15}], selectPolicy: Max}";
    let history = &mut History::default();
    assert_eq!(limit(20, 5, Some(rules), history, now()), (16, "ScaleDownLimit".into()));
    history.scaled(now(), 20, 16);
    // The four of this period are gone already.
    assert_eq!(limit(16, 5, Some(rules), history, later(30)), (16, "ScaleDownLimit".into()));
    assert_eq!(limit(16, 5, Some(rules), history, later(61)), (12, "ScaleDownLimit".into()));
    assert_eq!(limit(4, 30, Some(rules), &mut History::default(), now()), (8, "ScaleUpLimit".into()));
    let off = "scaleDown: {selectPolicy: Disabled}";
    assert_eq!(limit(9, 1, Some(off), &mut History::default(), now()), (9, "ScaleDownLimit".into()));
}
