//! Role based access control from indexed, in-memory rules.
//!
//! ```text
//!  upsert(role)    ──► roles:    (namespace, name) → RuleSet
//!  upsert(binding) ──► subjects: (namespace, user | group) → bindings ──► role ──► rules
//! ```
//!
//! A request looks only at the bindings of its own user and groups, never at all bindings, and a role's
//! change is one map entry: bindings name their role and find its rules when asked. Aggregated rules are
//! computed by the controller manager and arrive as ordinary rules.

mod index;
mod rule;
#[cfg(test)]
mod tests;

pub use rule::{PolicyRule, RuleSet};
pub(crate) use rule::{path_matches, quoted};

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::RwLock;
use serde::Deserialize;

use self::index::{Binding, Bindings};
use super::replica::{ObjectKey, Replica};
use super::{Attributes, Verdict};
use crate::UserInfo;

/// The group of all RBAC objects.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// What a binding refers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RoleRef {
    /// `rbac.authorization.k8s.io`.
    pub api_group: String,
    /// `Role` or `ClusterRole`.
    pub kind: String,
    /// The role's name.
    pub name: String,
}

impl Default for RoleRef {
    fn default() -> Self {
        Self { api_group: GROUP.to_owned(), kind: String::new(), name: String::new() }
    }
}

/// Whom a binding is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// The user, group or service account.
    pub name: String,
    /// Namespace of a service account.
    pub namespace: String,
}

/// The rules that a user has been granted in a namespace.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// All rules, cluster-wide ones first.
    pub rules: Vec<PolicyRule>,
    /// What could not be resolved, such as a binding to a missing role.
    pub errors: Vec<String>,
    /// Set when an authorizer in the chain cannot list its rules.
    pub incomplete: bool,
}

impl Grants {
    pub(super) fn extend(&mut self, other: Self) {
        self.rules.extend(other.rules);
        self.errors.extend(other.errors);
        self.incomplete |= other.incomplete;
    }

    pub(super) fn cannot_list(&mut self, why: &str) {
        self.errors.push(why.to_owned());
        self.incomplete = true;
    }

    pub(super) fn everything() -> Self {
        let all = || vec!["*".to_owned()];
        let resources =
            PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() };
        let paths = PolicyRule { verbs: all(), non_resource_urls: all(), ..PolicyRule::default() };
        Self { rules: vec![resources, paths], ..Self::default() }
    }
}

/// The roles and bindings of the cluster, and the decisions that follow from them.
#[derive(Default)]
pub struct Rbac {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    cluster_roles: HashMap<String, RuleSet>,
    roles: HashMap<String, HashMap<String, RuleSet>>,
    cluster: Bindings,
    namespaced: HashMap<String, Bindings>,
}

/// What is read of a stored role.
#[derive(Deserialize)]
struct RoleBody {
    #[serde(default)]
    rules: Option<Vec<PolicyRule>>,
}

/// What is read of a stored binding.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BindingBody {
    role_ref: RoleRef,
    #[serde(default)]
    subjects: Option<Vec<Subject>>,
}

impl Rbac {
    /// No roles, no bindings: nobody may do anything.
    pub fn new() -> Self {
        Self::default()
    }

    fn put_role(&self, namespace: &str, name: &str, rules: RuleSet) {
        let mut state = self.state.write();
        let roles = match namespace {
            "" => &mut state.cluster_roles,
            _ => state.roles.entry(namespace.to_owned()).or_default(),
        };
        roles.insert(name.to_owned(), rules);
    }

    fn put_binding(&self, namespace: &str, name: &str, role: RoleRef, subjects: Vec<Subject>) {
        let mut state = self.state.write();
        let bindings = match namespace {
            "" => &mut state.cluster,
            _ => state.namespaced.entry(namespace.to_owned()).or_default(),
        };
        bindings.put(name, Binding::new(name, namespace, role), subjects);
    }

    /// Decides a request: allowed by the first rule that matches, else no opinion.
    pub fn authorize(&self, request: &Attributes<'_>) -> Verdict {
        let mut missing = Vec::new();
        let mut verdict = None;
        self.state.read().visit(request.user, request.namespace, |binding, subject, rules| {
            match rules {
                Ok(rules) if rules.iter().any(|rule| rule.allows(request)) => {
                    verdict = Some(Verdict::allow(binding.reason(subject)));
                }
                Ok(_) => {}
                Err(error) => missing.push(error),
            }
            verdict.is_none()
        });
        verdict.unwrap_or_else(|| match aggregate(&missing) {
            None => Verdict::no_opinion(""),
            Some(errors) => Verdict::no_opinion(format!("RBAC: {errors}")),
        })
    }

    /// All rules that apply to a user in a namespace (`""`: cluster-wide ones only).
    pub fn grants(&self, user: &UserInfo, namespace: &str) -> Grants {
        let mut grants = Grants::default();
        self.state.read().visit(user, namespace, |_, _, rules| {
            match rules {
                Ok(rules) => grants.rules.extend(rules.iter().cloned()),
                Err(error) => grants.errors.push(error),
            }
            true
        });
        grants
    }

    /// The rules of the role that a binding in `namespace` refers to, or `None` when there is no such role.
    pub fn rules_of(&self, role: &RoleRef, namespace: &str) -> Option<RuleSet> {
        self.state.read().rules_of(role, namespace).cloned()
    }
}

impl Replica for Rbac {
    fn upsert(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        json: &[u8],
    ) -> Result<(), serde_json::Error> {
        let done = match resource {
            "roles" | "clusterroles" => serde_json::from_slice::<RoleBody>(json)
                .map(|role| self.put_role(namespace, name, role.rules.unwrap_or_default().into())),
            _ => serde_json::from_slice::<BindingBody>(json).map(|body| {
                self.put_binding(namespace, name, body.role_ref, body.subjects.unwrap_or_default());
            }),
        };
        if done.is_err() {
            self.remove(resource, namespace, name);
        }
        done
    }

    fn remove(&self, resource: &str, namespace: &str, name: &str) {
        self.state.write().remove(resource, namespace, name);
    }

    fn retain(&self, resource: &str, present: &HashSet<ObjectKey>) {
        let mut state = self.state.write();
        let gone: Vec<ObjectKey> =
            state.keys(resource).into_iter().filter(|key| !present.contains(key)).collect();
        for (namespace, name) in gone {
            state.remove(resource, &namespace, &name);
        }
    }
}

impl State {
    fn remove(&mut self, resource: &str, namespace: &str, name: &str) {
        match resource {
            "clusterroles" => drop(self.cluster_roles.remove(name)),
            "roles" => {
                if let Some(roles) = self.roles.get_mut(namespace) {
                    roles.remove(name);
                    if roles.is_empty() {
                        self.roles.remove(namespace);
                    }
                }
            }
            "clusterrolebindings" => self.cluster.remove(name),
            "rolebindings" => {
                if let Some(bindings) = self.namespaced.get_mut(namespace) {
                    bindings.remove(name);
                    if bindings.is_empty() {
                        self.namespaced.remove(namespace);
                    }
                }
            }
            _ => {}
        }
    }

    /// All objects of a resource.
    fn keys(&self, resource: &str) -> Vec<ObjectKey> {
        let key = |namespace: &str, name: &String| (namespace.to_owned(), name.clone());
        match resource {
            "clusterroles" => self.cluster_roles.keys().map(|name| key("", name)).collect(),
            "clusterrolebindings" => self.cluster.names().map(|name| key("", name)).collect(),
            "roles" => self.roles.iter().flat_map(|(ns, roles)| roles.keys().map(|n| key(ns, n))).collect(),
            _ => self
                .namespaced
                .iter()
                .flat_map(|(ns, bindings)| bindings.names().map(|n| key(ns, n)))
                .collect(),
        }
    }

    /// Calls `each` with every binding of the user until it returns false: cluster-wide bindings, then those
    /// of the namespace.
    fn visit(
        &self,
        user: &UserInfo,
        namespace: &str,
        mut each: impl FnMut(&Arc<Binding>, &Subject, Result<&RuleSet, String>) -> bool,
    ) {
        let local = (!namespace.is_empty()).then(|| self.namespaced.get(namespace)).flatten();
        for bindings in std::iter::once(&self.cluster).chain(local) {
            for (binding, subject) in bindings.of(user) {
                let rules =
                    self.rules_of(&binding.role, &binding.namespace).ok_or_else(|| binding.missing_role());
                if !each(binding, subject, rules) {
                    return;
                }
            }
        }
    }

    fn rules_of(&self, role: &RoleRef, namespace: &str) -> Option<&RuleSet> {
        match role.kind.as_str() {
            "ClusterRole" => self.cluster_roles.get(&role.name),
            _ => self.roles.get(namespace)?.get(&role.name),
        }
    }
}

/// One error as it is, several in brackets, each once.
pub(crate) fn aggregate(errors: &[String]) -> Option<String> {
    let mut distinct: Vec<&str> = Vec::with_capacity(errors.len());
    for error in errors {
        if !distinct.contains(&error.as_str()) {
            distinct.push(error);
        }
    }
    match distinct.as_slice() {
        [] => None,
        [one] => Some((*one).to_owned()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}
