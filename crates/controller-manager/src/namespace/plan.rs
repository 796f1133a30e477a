//! What a look at a namespace's content means: conditions, and when to look again.

use std::collections::BTreeMap;
use std::time::Duration;

use api_types::k8s::api::core::v1::{Namespace, NamespaceCondition, NamespaceStatus};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use jiff::Timestamp;

/// What is left in a namespace after everything was asked to go.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    /// Objects left, by `plural.group`.
    pub remaining: BTreeMap<String, usize>,
    /// Objects that each finalizer holds.
    pub finalizers: BTreeMap<String, usize>,
    /// Deletions that the server refused.
    pub failures: Vec<String>,
    /// Why not all resources are known.
    pub discovery_error: Option<String>,
    /// How long the slowest pod has asked for, in seconds.
    pub grace: i64,
}

impl Findings {
    /// Whether the namespace may go.
    pub(super) fn is_empty(&self) -> bool {
        self.remaining.is_empty() && self.failures.is_empty() && self.discovery_error.is_none()
    }

    /// When to look again: soon while things go by themselves, later when somebody's finalizer or a long grace period holds.
    pub(super) fn patience(&self) -> Duration {
        let seconds = if self.finalizers.is_empty() { self.grace / 2 + 1 } else { 5 };
        Duration::from_secs(u64::try_from(seconds.clamp(1, 15)).unwrap_or(1))
    }
}

/// The status to write; `None` when it says so already.
pub(super) fn status(namespace: &Namespace, findings: &Findings, now: Timestamp) -> Option<NamespaceStatus> {
    let old = namespace.status.clone().unwrap_or_default();
    let mut status =
        NamespaceStatus { phase: Some("Terminating".to_owned()), conditions: old.conditions.clone() };
    for (kind, bad, reason, message) in verdicts(findings) {
        set(&mut status, kind, bad, reason, message, now);
    }
    (status != old).then_some(status)
}

/// Type, whether it is true, reason and message of each condition.
fn verdicts(findings: &Findings) -> [(&'static str, bool, &'static str, String); 5] {
    let listed = |all: &BTreeMap<String, usize>, word: &str| {
        let parts: Vec<String> =
            all.iter().map(|(name, count)| format!("{name} {word} {count} resource instances")).collect();
        parts.join(", ")
    };
    let discovery = match &findings.discovery_error {
        Some(error) => ("DiscoveryFailed", format!("Discovery failed for some groups, {error}")),
        None => ("ResourcesDiscovered", "All resources successfully discovered".to_owned()),
    };
    let deletion = if findings.failures.is_empty() {
        ("ContentDeleted", "All content successfully deleted, may be waiting on finalization".to_owned())
    } else {
        let reasons = findings.failures.join(", ");
        (
            "ContentDeletionFailed",
            format!("Failed to delete all resource types, {} remaining: {reasons}", findings.failures.len()),
        )
    };
    let content = if findings.remaining.is_empty() {
        ("ContentRemoved", "All content successfully removed".to_owned())
    } else {
        (
            "SomeResourcesRemain",
            format!("Some resources are remaining: {}", listed(&findings.remaining, "has")),
        )
    };
    let finalizers = if findings.finalizers.is_empty() {
        ("ContentHasNoFinalizers", "All content-preserving finalizers finished".to_owned())
    } else {
        let list = listed(&findings.finalizers, "in");
        ("SomeFinalizersRemain", format!("Some content in the namespace has finalizers remaining: {list}"))
    };
    [
        ("NamespaceDeletionDiscoveryFailure", findings.discovery_error.is_some(), discovery.0, discovery.1),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed".to_owned(),
        ),
        ("NamespaceDeletionContentFailure", !findings.failures.is_empty(), deletion.0, deletion.1),
        ("NamespaceContentRemaining", !findings.remaining.is_empty(), content.0, content.1),
        ("NamespaceFinalizersRemaining", !findings.finalizers.is_empty(), finalizers.0, finalizers.1),
    ]
}

fn set(status: &mut NamespaceStatus, kind: &str, bad: bool, reason: &str, message: String, now: Timestamp) {
    let conditions = status.conditions.get_or_insert_default();
    let value = if bad { "True" } else { "False" };
    let fresh = NamespaceCondition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: Some(Time(now)),
    };
    match conditions.iter_mut().find(|condition| condition.type_ == kind) {
        Some(known) => {
            let since = (known.status == value).then(|| known.last_transition_time.clone()).flatten();
            *known = NamespaceCondition {
                last_transition_time: since.or(fresh.last_transition_time.clone()),
                ..fresh
            };
        }
        None => conditions.push(fresh),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_named() {
        let mut findings = Findings::default();
        assert!(findings.is_empty());
        findings.remaining.insert("configmaps.".into(), 2);
        findings.finalizers.insert("example.com/hold".into(), 2);
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let mut namespace = Namespace::default();
        let first = status(&namespace, &findings, now).unwrap();
        let message = |status: &NamespaceStatus, kind: &str| {
            let found = status.conditions.iter().flatten().find(|c| c.type_ == kind).unwrap();
            (found.status.clone(), found.message.clone().unwrap())
        };
        assert_eq!(
            message(&first, "NamespaceContentRemaining"),
            ("True".into(), "Some resources are remaining: configmaps. has 2 resource instances".into())
        );
        namespace.status = Some(first);
        assert_eq!(status(&namespace, &findings, now), None);
        let cleared = status(&namespace, &Findings::default(), now).unwrap();
        assert_eq!(message(&cleared, "NamespaceFinalizersRemaining").0, "False");
    }
}
