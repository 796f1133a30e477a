//! Bindings of one scope (the cluster, or one namespace), found by subject.

use std::collections::HashMap;
use std::sync::Arc;

use api_types::field::quote;

use super::{RoleRef, Subject};
use crate::{UserInfo, names};

/// A RoleBinding, or a ClusterRoleBinding when `namespace` is empty.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) role: RoleRef,
}

impl Binding {
    pub(super) fn new(name: &str, namespace: &str, role: RoleRef) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), namespace: namespace.to_owned(), role })
    }

    /// Why a rule of the bound role allowed something.
    pub(super) fn reason(&self, subject: &Subject) -> String {
        let (kind, slash) = match self.namespace.as_str() {
            "" => ("ClusterRoleBinding", ""),
            _ => ("RoleBinding", "/"),
        };
        let whom = match subject.namespace.as_str() {
            "" => subject.name.clone(),
            namespace => format!("{}/{namespace}", subject.name),
        };
        format!(
            "RBAC: allowed by {kind} \"{}{slash}{}\" of {} {} to {} {}",
            self.name,
            self.namespace,
            self.role.kind,
            quote(&self.role.name),
            subject.kind,
            quote(&whom)
        )
    }

    /// The error of a binding whose role does not exist.
    pub(super) fn missing_role(&self) -> String {
        let resource = if self.role.kind == "ClusterRole" { "clusterrole" } else { "role" };
        format!("{resource}.{} {} not found", super::GROUP, quote(&self.role.name))
    }
}

/// A binding, and the one of its subjects it was found by.
type Entry = (Arc<Binding>, Subject);

/// The bindings of one scope, by name and by subject. A service account is found as the user it authenticates
/// as.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    by_name: HashMap<String, Vec<SubjectKey>>,
    users: HashMap<String, Vec<Entry>>,
    groups: HashMap<String, Vec<Entry>>,
}

/// Where a subject of a binding is filed.
#[derive(Debug)]
enum SubjectKey {
    User(String),
    Group(String),
}

impl Bindings {
    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.by_name.keys()
    }

    /// Stores a binding in place of the one of the same name.
    pub(super) fn put(&mut self, name: &str, binding: Arc<Binding>, subjects: Vec<Subject>) {
        self.remove(name);
        let mut keys = Vec::with_capacity(subjects.len());
        for mut subject in subjects {
            if subject.kind == "ServiceAccount" && subject.namespace.is_empty() {
                subject.namespace.clone_from(&binding.namespace);
            }
            let Some(key) = SubjectKey::of(&subject) else { continue };
            let (shelf, name) = self.shelf(&key);
            shelf.entry(name.to_owned()).or_default().push((binding.clone(), subject));
            keys.push(key);
        }
        self.by_name.insert(name.to_owned(), keys);
    }

    pub(super) fn remove(&mut self, name: &str) {
        for key in self.by_name.remove(name).unwrap_or_default() {
            let (shelf, subject) = self.shelf(&key);
            if let Some(entries) = shelf.get_mut(subject) {
                entries.retain(|(binding, _)| binding.name != name);
                if entries.is_empty() {
                    shelf.remove(subject);
                }
            }
        }
    }

    /// The bindings of a user and of the user's groups.
    pub(super) fn of<'a>(&'a self, user: &'a UserInfo) -> impl Iterator<Item = &'a Entry> {
        let groups = user.groups.iter().filter_map(|group| self.groups.get(group));
        self.users.get(&user.name).into_iter().chain(groups).flatten()
    }

    fn shelf<'k>(&mut self, key: &'k SubjectKey) -> (&mut HashMap<String, Vec<Entry>>, &'k str) {
        match key {
            SubjectKey::User(name) => (&mut self.users, name),
            SubjectKey::Group(name) => (&mut self.groups, name),
        }
    }
}

impl SubjectKey {
    /// `None` for a subject that can match nobody.
    fn of(subject: &Subject) -> Option<Self> {
        match subject.kind.as_str() {
            "User" => Some(Self::User(subject.name.clone())),
            "Group" => Some(Self::Group(subject.name.clone())),
            "ServiceAccount" if !subject.namespace.is_empty() => Some(Self::User(format!(
                "{}{}:{}",
                names::SERVICE_ACCOUNT_USER_PREFIX,
                subject.namespace,
                subject.name
            ))),
            _ => None,
        }
    }
}
