//! How long a pod may stay on a tainted node.

use std::time::Duration;

use api_types::k8s::api::core::v1::{Taint, Toleration};

use crate::common::scheduling::tolerates;

/// Zero when the pod has to go at once; `None` when it may stay for good.
pub(super) fn patience(taints: &[Taint], tolerations: &[Toleration]) -> Option<Duration> {
    let mut shortest = None;
    for taint in taints.iter().filter(|taint| taint.effect == "NoExecute") {
        let mut covering = tolerations.iter().filter(|toleration| tolerates(toleration, taint)).peekable();
        if covering.peek().is_none() {
            return Some(Duration::ZERO);
        }
        // Of several covering tolerations the shortest limit counts; without a limit the taint is borne.
        let limit = covering.filter_map(|toleration| toleration.toleration_seconds).min();
        let limit = limit.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
        shortest = match (shortest, limit) {
            (Some(a), Some(b)) => Some(std::cmp::min::<Duration>(a, b)),
            (a, b) => a.or(b),
        };
    }
    shortest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_limit_counts() {
        let taint = |key: &str| Taint { key: key.into(), effect: "NoExecute".into(), ..Taint::default() };
        let toleration = |key: &str, seconds| Toleration {
            key: Some(key.into()),
            operator: Some("Exists".into()),
            toleration_seconds: seconds,
            ..Toleration::default()
        };
        let seconds =
            |taints: &[Taint], tolerations: &[Toleration]| patience(taints, tolerations).map(|d| d.as_secs());
        assert_eq!(seconds(&[], &[]), None);
        assert_eq!(seconds(&[taint("a")], &[]), Some(0));
        assert_eq!(seconds(&[taint("a")], &[toleration("a", None)]), None);
        assert_eq!(
            seconds(&[taint("a"), taint("b")], &[toleration("a", Some(9)), toleration("b", Some(5))]),
            Some(5)
        );
        assert_eq!(seconds(&[taint("a"), taint("b")], &[toleration("a", Some(9))]), Some(0));
        assert_eq!(seconds(&[taint("a")], &[toleration("a", Some(-1))]), Some(0));
    }
}
