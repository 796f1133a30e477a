//! The pod's phase (<https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase>).

use api_types::k8s::api::core::v1::{Container, ContainerStatus, Pod};

use super::containers::Lists;
use crate::pod::PodExt;
use crate::pod::containers::{Kind, init_kind, restarts};

/// The phase that the container statuses amount to. `ended`: nothing runs any more and nothing will.
pub fn of(pod: &Pod, lists: &Lists, ended: bool) -> &'static str {
    let spec = pod.spec();
    let regular: Vec<_> = spec.containers.iter().zip(lists.regular.iter().flatten()).collect();
    let begun =
        regular.iter().any(|(_, status)| exit(status).is_some() || running(status) || last_exit(status));
    if !begun {
        for (container, status) in spec.init_containers.iter().flatten().zip(lists.init.iter().flatten()) {
            let kind = init_kind(container);
            let failed = exit(status).is_some_and(|code| code != 0 && !restarts(pod, kind, container, code));
            if kind == Kind::Init && failed {
                return "Failed";
            }
        }
        return if ended && !pod.is_static() { "Failed" } else { "Pending" };
    }
    let for_good = |(container, status): &(&Container, &ContainerStatus)| {
        exit(status).is_some_and(|code| ended || !restarts(pod, Kind::Regular, container, code))
    };
    if regular.iter().all(for_good) {
        let all_succeeded = regular.iter().all(|(_, status)| exit(status) == Some(0));
        // A static pod's file still stands, so it has not come to its end when only the kubelet stops it.
        if ended
            && pod.is_static()
            && regular.iter().any(|(c, s)| restarts(pod, Kind::Regular, c, exit(s).unwrap_or(0)))
        {
            return "Running";
        }
        return if all_succeeded { "Succeeded" } else { "Failed" };
    }
    let unborn =
        regular.iter().any(|(_, status)| exit(status).is_none() && !running(status) && !last_exit(status));
    if unborn { "Pending" } else { "Running" }
}

fn running(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}

fn exit(status: &ContainerStatus) -> Option<i32> {
    status.state.as_ref()?.terminated.as_ref().map(|terminated| terminated.exit_code)
}

fn last_exit(status: &ContainerStatus) -> bool {
    status.last_state.as_ref().is_some_and(|state| state.terminated.is_some())
}
