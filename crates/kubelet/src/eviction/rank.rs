//! Which pod leaves first.

use api_types::k8s::api::core::v1::Pod;

use super::signals::Signal;
use crate::pod::resources::pod_request;
use crate::pod::{PodExt, Qos, SharedPod};

/// The pod to evict, with its memory use known to `memory`. Critical pods stay.
///
/// For memory: pods above their request before others, then by priority, then by how far they are above it
/// (<https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#pod-selection-for-kubelet-eviction>).
/// For other resources, whose use per pod is not known: by priority, then by QoS class.
pub fn first(signal: Signal, pods: &[SharedPod], memory: impl Fn(&Pod) -> i64) -> Option<SharedPod> {
    let movable = pods.iter().filter(|pod| !pod.is_critical());
    movable
        .min_by_key(|pod| {
            let priority = pod.spec().priority.unwrap_or(0);
            if signal == Signal::Memory {
                let over = memory(pod) - pod_request(pod, "memory");
                (u8::from(over <= 0), priority, -over)
            } else {
                let class = match pod.qos() {
                    Qos::BestEffort => 0,
                    Qos::Burstable => 1,
                    Qos::Guaranteed => 2,
                };
                (0, priority, class)
            }
        })
        .cloned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn pod(name: &str, request: &str, priority: i32) -> SharedPod {
        let text = format!(
            "{{metadata: {{name: {name}}}, spec: {{priority: {priority}, containers: [{{name: c, resources: {{requests: {{memory: {request}}}}}}}]}}}}"
        );
        Arc::new(serde_yaml::from_str(&text).unwrap())
    }

    #[test]
    fn who_exceeds_its_request_goes_first() {
        let pods = [
            pod("within", "500", -5),
            pod("little", "50", 0),
            pod("much", "10", 0),
            pod("important", "1", 9),
        ];
        let chosen = first(Signal::Memory, &pods, |_| 100).unwrap();
        assert_eq!(chosen.name(), "much");
        let critical = [pod("critical", "1", 2_000_000_001)];
        assert!(first(Signal::Memory, &critical, |_| 100).is_none());
        assert_eq!(first(Signal::NodeBytes, &pods, |_| 0).unwrap().name(), "within");
    }
}
