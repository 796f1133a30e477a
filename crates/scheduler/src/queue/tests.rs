use api_types::k8s::api::core::v1::Pod;

use super::*;

const OPEN: fn(&PodInfo) -> Option<&'static str> = |_| None;

fn pod(name: &str) -> Arc<PodInfo> {
    let text = format!("metadata: {{name: {name}, namespace: d, uid: {name}}}\nspec: {{containers: []}}");
    Arc::new(PodInfo::new(Arc::new(serde_yaml::from_str::<Pod>(&text).unwrap())))
}

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn rank_first_then_age() {
    let mut queue = Queue::new(Limits::default());
    let start = Instant::now();
    for (at, (name, rank)) in [("a", 0), ("b", 5), ("c", 0), ("d", 5)].into_iter().enumerate() {
        queue.add(pod(name), rank, None, start + secs(at as u64));
    }
    let order: Vec<String> =
        std::iter::from_fn(|| queue.pop(start + secs(9))).map(|pod| pod.info.key.name.to_string()).collect();
    assert_eq!(order, ["b", "d", "a", "c"]);
}

#[test]
fn errors_back_off_and_double() {
    let mut queue = Queue::new(Limits::default());
    let mut now = Instant::now();
    queue.add(pod("a"), 0, None, now);
    for expected in [1, 2, 4, 8, 10, 10] {
        let failed = queue.pop(now).expect("ready");
        queue.retry(failed, now);
        assert_eq!(queue.next_expiry(), Some(now + secs(expected)));
        assert!(queue.pop(now + secs(expected) - Duration::from_millis(1)).is_none());
        now += secs(expected);
    }
}

#[test]
fn a_rejected_pod_waits_for_what_concerns_it() {
    let mut queue = Queue::new(Limits::default());
    let now = Instant::now();
    queue.add(pod("a"), 0, None, now);
    let failed = queue.pop(now).unwrap();
    queue.reject(failed, vec!["NodePorts"], now);
    assert_eq!(queue.wake(now, |_, blamed| blamed.contains(&"NodeName"), OPEN), 0);
    assert!(queue.pop(now + secs(60)).is_none());
    assert_eq!(queue.wake(now, |_, blamed| blamed.contains(&"NodePorts"), OPEN), 1);
    assert_eq!(queue.sizes().backoff, 1);
    // Nothing else is ready, so it need not wait out its back-off.
    assert_eq!(queue.pop(now).unwrap().attempts, 2);
}

#[test]
fn leftovers_are_tried_after_five_minutes() {
    let mut queue = Queue::new(Limits::default());
    let now = Instant::now();
    queue.add(pod("a"), 0, None, now);
    let failed = queue.pop(now).unwrap();
    queue.reject(failed, vec!["NodePorts"], now);
    queue.flush(now + secs(299), OPEN);
    assert!(queue.pop(now + secs(299)).is_none());
    queue.flush(now + secs(301), OPEN);
    assert!(queue.pop(now + secs(301)).is_some());
}

#[test]
fn gated_pods_enter_when_the_gate_opens() {
    let mut queue = Queue::new(Limits::default());
    let now = Instant::now();
    queue.add(pod("a"), 0, Some("SchedulingGates"), now);
    assert!(queue.pop(now).is_none());
    assert_eq!(queue.sizes().gated, 1);
    assert!(!queue.release("a", now, |_| Some("SchedulingGates")));
    assert!(queue.release("a", now, OPEN));
    assert!(queue.pop(now).is_some());
    assert_eq!(queue.sizes(), Sizes::default());
}

#[test]
fn pods_in_back_off_come_early_by_rank() {
    let mut queue = Queue::new(Limits::default());
    let now = Instant::now();
    for (name, rank) in [("low", 0), ("high", 5)] {
        queue.add(pod(name), rank, None, now);
    }
    for at in [1, 2] {
        let failed = queue.pop(now).unwrap();
        queue.reject(failed, vec!["NodeName"], now + Duration::from_millis(at));
    }
    queue.wake(now + Duration::from_millis(5), |_, _| true, OPEN);
    assert_eq!(&*queue.pop(now + Duration::from_millis(6)).unwrap().info.key.name, "high");
}
