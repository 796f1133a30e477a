//! Nobody hands out more than they hold: the checks on writes of roles and bindings.
//!
//! A user may write a role only with rules that the user's own rules cover, or with the verb `escalate` on
//! it; and may bind a role only when holding its rules, or with the verb `bind` on it.

use std::collections::{BTreeMap, BTreeSet};

use api_types::field::quote;

use super::rbac::{PolicyRule, Rbac, RoleRef, RuleSet, aggregate, path_matches, quoted};
use super::{Attributes, Authorizer};
use crate::{UserInfo, names};

/// Why a write of a role or binding was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// Rules would be granted that the user does not hold; the text is upstream's.
    #[error("{0}")]
    Escalation(String),
    /// The bound role does not exist.
    #[error("role {0:?} does not exist")]
    NoSuchRole(String),
}

/// The role or binding being written.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// `roles`, `clusterroles`, `rolebindings` or `clusterrolebindings`.
    pub resource: &'a str,
    /// Namespace in the request's path.
    pub namespace: &'a str,
    /// Name in the request's path; empty at creation.
    pub name: &'a str,
}

/// May `user` write a role with these rules?
///
/// # Errors
/// [`Refusal::Escalation`], with the rules not held.
pub async fn check_role(
    authorizer: &Authorizer,
    user: &UserInfo,
    target: Target<'_>,
    rules: &[PolicyRule],
    aggregates: bool,
) -> Result<(), Refusal> {
    let verb = Attributes::resource(user, "escalate", super::rbac::GROUP, target.resource)
        .in_namespace(target.namespace)
        .named(target.name);
    if user.in_group(names::MASTERS) || authorizer.authorize(&verb).await.allowed() {
        return Ok(());
    }
    if aggregates {
        let all = super::Grants::everything().rules;
        if confirm(authorizer, user, target.namespace, &all).is_err() {
            let why = "must have cluster-admin privileges to use an aggregationRule";
            return Err(Refusal::Escalation(why.to_owned()));
        }
    }
    confirm(authorizer, user, target.namespace, rules)
}

/// May `user` bind a role in the target's namespace?
///
/// # Errors
/// [`Refusal::Escalation`], with the rules not held; [`Refusal::NoSuchRole`].
pub async fn check_binding(
    authorizer: &Authorizer,
    rbac: &Rbac,
    user: &UserInfo,
    target: Target<'_>,
    role: &RoleRef,
) -> Result<(), Refusal> {
    if user.in_group(names::MASTERS) {
        return Ok(());
    }
    let resource = if role.kind == "ClusterRole" { "clusterroles" } else { "roles" };
    let verb = Attributes::resource(user, "bind", &role.api_group, resource)
        .in_namespace(target.namespace)
        .named(&role.name);
    if authorizer.authorize(&verb).await.allowed() {
        return Ok(());
    }
    let rules: RuleSet =
        rbac.rules_of(role, target.namespace).ok_or_else(|| Refusal::NoSuchRole(role.name.clone()))?;
    confirm(authorizer, user, target.namespace, &rules)
}

fn confirm(
    authorizer: &Authorizer,
    user: &UserInfo,
    namespace: &str,
    rules: &[PolicyRule],
) -> Result<(), Refusal> {
    let held = authorizer.rules_for(user, namespace);
    let missing = uncovered(&held.rules, rules);
    if missing.is_empty() {
        return Ok(());
    }
    let lines: BTreeSet<String> = compact(missing).iter().map(PolicyRule::compact).collect();
    let mut text = format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        quote(&user.name),
        quoted(&user.groups),
        lines.into_iter().collect::<Vec<_>>().join("\n")
    );
    let errors: Vec<String> = held.errors.into_iter().filter(|_| !held.incomplete).collect();
    if let Some(errors) = aggregate(&errors) {
        text.push_str(&format!("; resolution errors: {errors}"));
    }
    Err(Refusal::Escalation(text))
}

/// The parts of `wanted` that no rule of `held` covers, in their smallest pieces.
fn uncovered(held: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    wanted.iter().flat_map(pieces).filter(|piece| !held.iter().any(|rule| covers(rule, piece))).collect()
}

/// A rule as rules with one verb, one group, one resource and at most one name, or one verb and one path.
fn pieces(rule: &PolicyRule) -> Vec<PolicyRule> {
    let one = |s: &String| vec![s.clone()];
    let mut all = Vec::new();
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let piece = PolicyRule {
                    verbs: one(verb),
                    api_groups: one(group),
                    resources: one(resource),
                    ..PolicyRule::default()
                };
                if rule.resource_names.is_empty() {
                    all.push(piece);
                } else {
                    let named = rule.resource_names.iter();
                    all.extend(named.map(|name| PolicyRule { resource_names: one(name), ..piece.clone() }));
                }
            }
        }
    }
    for url in &rule.non_resource_urls {
        let paths = rule.verbs.iter();
        all.extend(paths.map(|verb| PolicyRule {
            verbs: one(verb),
            non_resource_urls: one(url),
            ..PolicyRule::default()
        }));
    }
    all
}

/// Whether a rule includes all of a piece.
fn covers(rule: &PolicyRule, piece: &PolicyRule) -> bool {
    let any = |held: &[String], wanted: &[String]| {
        held.iter().any(|h| h == "*") || wanted.iter().all(|w| held.contains(w))
    };
    let resources = |wanted: &String| {
        rule.resources.iter().any(|held| {
            let covers_subresource = || {
                let sub = wanted.split_once('/').map(|(_, sub)| sub);
                sub.is_some() && held.strip_prefix("*/") == sub
            };
            held == "*" || held == wanted || covers_subresource()
        })
    };
    let names = rule.resource_names.is_empty()
        || (!piece.resource_names.is_empty()
            && piece.resource_names.iter().all(|n| rule.resource_names.contains(n)));
    let paths = |wanted: &String| rule.non_resource_urls.iter().any(|held| path_matches(held, wanted));
    any(&rule.verbs, &piece.verbs)
        && any(&rule.api_groups, &piece.api_groups)
        && piece.resources.iter().all(resources)
        && names
        && piece.non_resource_urls.iter().all(paths)
}

/// Joins pieces that differ only in their verb. Paths stay apart, as upstream shows them.
fn compact(pieces: Vec<PolicyRule>) -> Vec<PolicyRule> {
    let mut joined: BTreeMap<[Vec<String>; 3], PolicyRule> = BTreeMap::new();
    let mut result = Vec::new();
    for piece in pieces {
        if !piece.non_resource_urls.is_empty() {
            result.push(piece);
            continue;
        }
        let key = [piece.api_groups.clone(), piece.resources.clone(), piece.resource_names.clone()];
        match joined.entry(key) {
            std::collections::btree_map::Entry::Vacant(slot) => {
                slot.insert(piece);
            }
            std::collections::btree_map::Entry::Occupied(mut slot) => {
                let verbs = &mut slot.get_mut().verbs;
                verbs.extend(piece.verbs.into_iter().filter(|v| !verbs.contains(v)).collect::<Vec<_>>());
            }
        }
    }
    result.extend(joined.into_values());
    result
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rules(v: Value) -> Vec<PolicyRule> {
        serde_json::from_value(v).unwrap()
    }

    #[test]
    fn what_is_not_covered_is_listed_compactly() {
        let pods = |verbs: &[&str]| json!({"verbs": verbs, "apiGroups": [""], "resources": ["pods"]});
        let cases = [
            (json!([pods(&["*"])]), json!([pods(&["get", "list"])]), vec![]),
            (
                json!([pods(&["get"])]),
                json!([pods(&["get", "list", "watch"])]),
                vec![r#"{APIGroups:[""], Resources:["pods"], Verbs:["list" "watch"]}"#],
            ),
            (
                json!([]),
                json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["b", "a"]}]),
                vec![
                    r#"{APIGroups:[""], Resources:["pods"], ResourceNames:["a"], Verbs:["get"]}"#,
                    r#"{APIGroups:[""], Resources:["pods"], ResourceNames:["b"], Verbs:["get"]}"#,
                ],
            ),
            (
                json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["*/log"]}]),
                json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log", "pods"]}]),
                vec![r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#],
            ),
            (
                json!([{"verbs": ["get"], "nonResourceURLs": ["/healthz/*"]}]),
                json!([{"verbs": ["get"], "nonResourceURLs": ["/healthz/a", "/b"]}]),
                vec![r#"{NonResourceURLs:["/b"], Verbs:["get"]}"#],
            ),
            (
                json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}]),
                json!([pods(&["get"])]),
                vec![r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#],
            ),
        ];
        for (held, wanted, missing) in cases {
            let mut got: Vec<String> = compact(uncovered(&rules(held.clone()), &rules(wanted.clone())))
                .iter()
                .map(PolicyRule::compact)
                .collect();
            got.sort();
            assert_eq!(got, missing, "{held} ⊇ {wanted}");
        }
    }
}
