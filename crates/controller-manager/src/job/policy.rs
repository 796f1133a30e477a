//! What a failed pod means, by `spec.podFailurePolicy`, and when `spec.successPolicy` is met.

use api_types::k8s::api::batch::v1::{JobSpec, PodFailurePolicyRule};
use api_types::k8s::api::core::v1::{ContainerStatus, Pod};

use super::indexes::Indexes;
use crate::common::pods;

/// The consequence of one failed pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Consequence {
    /// It counts as a failure.
    Count,
    /// It does not count.
    Ignore,
    /// Its index has failed for good.
    FailIndex,
    /// The Job has failed, for this reason.
    FailJob(String),
}

/// Applies the first rule that matches.
pub(super) fn consequence(spec: &JobSpec, pod: &Pod) -> Consequence {
    let rules = spec.pod_failure_policy.as_ref().map(|policy| policy.rules.as_slice()).unwrap_or_default();
    for (at, rule) in rules.iter().enumerate() {
        let Some(what) = matching(rule, pod) else { continue };
        return match rule.action.as_str() {
            "Ignore" => Consequence::Ignore,
            "FailIndex" => Consequence::FailIndex,
            "FailJob" => Consequence::FailJob(format!("{what} matching FailJob rule at index {at}")),
            _ => Consequence::Count,
        };
    }
    Consequence::Count
}

/// What about the pod matches a rule, in words.
fn matching(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    let name = format!(
        "{}/{}",
        pod.metadata.namespace.as_deref().unwrap_or_default(),
        pod.metadata.name.as_deref().unwrap_or_default()
    );
    if let Some(codes) = &rule.on_exit_codes {
        let status = pod.status.as_ref()?;
        let all =
            status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten());
        let of_name =
            |status: &&ContainerStatus| codes.container_name.as_ref().is_none_or(|name| *name == status.name);
        return all.filter(of_name).find_map(|status| {
            let code = status.state.as_ref()?.terminated.as_ref()?.exit_code;
            let listed = codes.values.contains(&code);
            let matches = code != 0 && if codes.operator == "In" { listed } else { !listed };
            matches.then(|| format!("Container {} for pod {name} failed with exit code {code}", status.name))
        });
    }
    rule.on_pod_conditions.iter().flatten().find_map(|pattern| {
        let wanted = pattern.status.as_deref().unwrap_or("True");
        let found = pods::condition(pod, &pattern.type_)?;
        (found.status == wanted).then(|| format!("Pod {name} has condition {}", pattern.type_))
    })
}

/// The rule of the success policy that the succeeded indexes meet.
pub(super) fn success_rule(spec: &JobSpec, succeeded: &Indexes) -> Option<usize> {
    let completions = spec.completions.unwrap_or(0);
    spec.success_policy.as_ref()?.rules.iter().position(|rule| {
        let relevant = match &rule.succeeded_indexes {
            Some(text) => {
                let wanted = Indexes::parse(text, completions);
                let met = i32::try_from(wanted.0.intersection(&succeeded.0).count()).unwrap_or(i32::MAX);
                if rule.succeeded_count.is_none() {
                    return met == wanted.len();
                }
                met
            }
            None => succeeded.len(),
        };
        rule.succeeded_count.is_some_and(|count| relevant >= count)
    })
}
