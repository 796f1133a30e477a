//! Rules of roles, and what they match.

use std::sync::Arc;

use api_types::field::quote;
use serde::{Deserialize, Deserializer, Serialize};

use crate::authz::Attributes;

/// One rule of a Role or ClusterRole, in the JSON form of `rbac.authorization.k8s.io/v1 PolicyRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PolicyRule {
    /// Verbs, or `*`.
    #[serde(deserialize_with = "nullable")]
    pub verbs: Vec<String>,
    /// API groups, or `*`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// `pods`, `pods/log`, `*/scale` or `*`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Names the rule is limited to; empty means all.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// Paths, the last step of which may be `*`.
    #[serde(
        rename = "nonResourceURLs",
        deserialize_with = "nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub non_resource_urls: Vec<String>,
}

/// The rules of one role, shared by everything that is bound to it.
pub type RuleSet = Arc<[PolicyRule]>;

impl PolicyRule {
    /// Whether the rule allows a request.
    pub fn allows(&self, request: &Attributes<'_>) -> bool {
        if !has(&self.verbs, request.verb) {
            return false;
        }
        if !request.resource_request {
            return self.non_resource_urls.iter().any(|pattern| path_matches(pattern, request.path));
        }
        has(&self.api_groups, request.group)
            && self.resources.iter().any(|r| resource_matches(r, request.resource, request.subresource))
            && (self.resource_names.is_empty() || self.resource_names.iter().any(|n| n == request.name))
    }

    /// `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`, as escalation refusals list it.
    pub fn compact(&self) -> String {
        let fields = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        let parts: Vec<String> = fields
            .iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(name, values)| format!("{name}:{}", quoted(values)))
            .collect();
        format!("{{{}}}", parts.join(", "))
    }
}

/// `["a" "b"]`, the form in which user-facing messages list strings.
pub(crate) fn quoted(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|v| quote(v)).collect();
    format!("[{}]", quoted.join(" "))
}

fn has(values: &[String], wanted: &str) -> bool {
    values.iter().any(|v| v == "*" || v == wanted)
}

fn resource_matches(pattern: &str, resource: &str, subresource: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    if subresource.is_empty() {
        // An access review may name resource and subresource in one.
        return pattern == resource;
    }
    let parent = pattern.strip_suffix(subresource).and_then(|p| p.strip_suffix('/'));
    parent.is_some_and(|parent| parent == "*" || parent == resource)
}

/// Whether a non-resource pattern covers a path: `*`, the path itself, or a prefix ending in `*`.
pub(crate) fn path_matches(pattern: &str, path: &str) -> bool {
    pattern == path || pattern.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}
