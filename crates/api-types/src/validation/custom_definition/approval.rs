//! Groups that belong to the Kubernetes community are for APIs that it has approved
//! ([KEP-1111](https://github.com/kubernetes/enhancements/pull/1111)).

use serde_json::Value;

use crate::field::{ErrorList, Path};
use crate::validation::get::text;

/// The annotation that names the approval, or says that there is none.
pub const ANNOTATION: &str = "api-approved.kubernetes.io";

/// What the annotation of a definition says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// Where the API was approved.
    Given,
    /// That the API was not approved.
    Bypassed,
    /// Nothing.
    Missing,
    /// Something else.
    Invalid,
}

impl Approval {
    /// Reads the annotation.
    pub fn of(annotation: &str) -> Self {
        match annotation {
            "" => Approval::Missing,
            text if text.starts_with("unapproved") => Approval::Bypassed,
            text if is_url(text) => Approval::Given,
            _ => Approval::Invalid,
        }
    }

    /// The state in upstream's words.
    pub fn explain(self, annotation: &str) -> String {
        let quoted = crate::field::quote(ANNOTATION);
        match self {
            Approval::Given => format!("approved in {annotation}"),
            Approval::Bypassed => format!("not approved: {}", crate::field::quote(annotation)),
            Approval::Missing => format!(
                "protected groups must have approval annotation {quoted}, see https://github.com/kubernetes/enhancements/pull/1111"
            ),
            Approval::Invalid => format!(
                "protected groups must have approval annotation {quoted} with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111"
            ),
        }
    }
}

/// Whether a group belongs to the community.
pub fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"].iter().any(|domain| {
        group.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

/// A definition in a protected group names its approval; one that was accepted without may stay as it is.
pub(super) fn validate(errors: &mut ErrorList, new: &Value, old: Option<&Value>) {
    if !is_protected(text(&new["spec"], "group")) {
        return;
    }
    let found = text(&new["metadata"]["annotations"], ANNOTATION);
    let state = Approval::of(found);
    if old.is_some_and(|old| Approval::of(text(&old["metadata"]["annotations"], ANNOTATION)) == state) {
        return;
    }
    let path = Path::new("metadata.annotations");
    let path = path.key(ANNOTATION);
    match state {
        Approval::Given | Approval::Bypassed => {}
        Approval::Missing => errors.required(&path, &state.explain(found)),
        Approval::Invalid => errors.invalid(&path, found, state.explain(found)),
    }
}

/// An absolute URL with a host.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(letters)
        && !host.is_empty()
        && !text.contains(|c: char| c.is_control() || c == ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_read() {
        let cases = [
            ("", Approval::Missing),
            ("unapproved, an experiment", Approval::Bypassed),
            ("https://github.com/kubernetes/kubernetes/pull/1", Approval::Given),
            ("yes", Approval::Invalid),
            ("https://", Approval::Invalid),
        ];
        for (text, expected) in cases {
            assert_eq!(Approval::of(text), expected, "{text}");
        }
        assert!(is_protected("k8s.io") && is_protected("a.kubernetes.io") && !is_protected("ak8s.io"));
    }
}
