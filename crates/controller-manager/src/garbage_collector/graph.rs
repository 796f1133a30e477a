//! The graph of owners and dependents, kept from watch events.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use api_types::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use client::Key;
use client::kube::api::ApiResource;

pub(super) const FOREGROUND: &str = "foregroundDeletion";
pub(super) const ORPHAN: &str = "orphan";

/// An object's uid.
pub(super) type Uid = Arc<str>;

/// What the graph knows of an object.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub resource: Arc<ApiResource>,
    pub namespaced: bool,
    pub key: Key,
    pub owners: Vec<OwnerReference>,
    /// Being deleted.
    pub deleting: bool,
    /// Being deleted after its dependents.
    pub foreground: bool,
    /// Being deleted with its dependents let go.
    pub orphaning: bool,
    /// Known only from references of others.
    pub virtual_: bool,
}

/// Work that a change asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Work {
    /// See whether this object has to be deleted.
    Delete(Uid),
    /// Let go of this object's dependents.
    Orphan(Uid),
}

/// The graph.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: HashMap<Uid, Node>,
    dependents: HashMap<Uid, HashSet<Uid>>,
}

impl Graph {
    /// What is known of an object.
    pub(super) fn node(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// The objects that name this one as owner.
    pub(super) fn dependents<'a>(&'a self, uid: &str) -> impl Iterator<Item = (&'a Uid, &'a Node)> {
        self.dependents.get(uid).into_iter().flatten().filter_map(|uid| self.nodes.get_key_value(uid))
    }

    /// Dependents whose reference blocks the owner's deletion.
    pub(super) fn blockers(&self, uid: &str) -> Vec<Uid> {
        let blocks = |node: &Node| {
            node.owners.iter().any(|owner| owner.uid == uid && owner.block_owner_deletion == Some(true))
        };
        self.dependents(uid).filter(|(_, node)| blocks(node)).map(|(uid, _)| Uid::clone(uid)).collect()
    }

    /// An object appeared or changed.
    pub(super) fn upsert(
        &mut self,
        resource: &Arc<ApiResource>,
        namespaced: bool,
        meta: &ObjectMeta,
        owner_resource: impl Fn(&OwnerReference) -> Option<(Arc<ApiResource>, bool)>,
    ) -> Vec<Work> {
        let Some(uid) = meta.uid.as_deref().map(Uid::from) else { return Vec::new() };
        let has = |name: &str| meta.finalizers.iter().flatten().any(|finalizer| finalizer == name);
        let deleting = meta.deletion_timestamp.is_some();
        let node = Node {
            resource: Arc::clone(resource),
            namespaced,
            key: Key::new(
                meta.namespace.as_deref().unwrap_or_default(),
                meta.name.as_deref().unwrap_or_default(),
            ),
            owners: meta.owner_references.clone().unwrap_or_default(),
            deleting,
            foreground: deleting && has(FOREGROUND),
            orphaning: deleting && has(ORPHAN),
            virtual_: false,
        };
        let mut work = Vec::new();
        let old = self.nodes.insert(Uid::clone(&uid), node.clone());
        let before = old.as_ref().map(|old| old.owners.clone()).unwrap_or_default();
        for gone in before.iter().filter(|owner| !node.owners.iter().any(|kept| kept.uid == owner.uid)) {
            self.unlink(&gone.uid, &uid);
        }
        for owner in &node.owners {
            self.link(owner, &uid, &node.key, &owner_resource, &mut work);
        }
        // A reference that stopped blocking may let its owner go.
        for owner in before.iter().filter(|owner| owner.block_owner_deletion == Some(true)) {
            let still = node
                .owners
                .iter()
                .any(|kept| kept.uid == owner.uid && kept.block_owner_deletion == Some(true));
            if !still && self.node(&owner.uid).is_some_and(|owner| owner.foreground) {
                work.push(Work::Delete(owner.uid.as_str().into()));
            }
        }
        let was = |test: fn(&Node) -> bool| old.as_ref().is_some_and(test);
        if node.orphaning && !was(|old| old.orphaning) {
            work.push(Work::Orphan(Uid::clone(&uid)));
        }
        if node.foreground && !was(|old| old.foreground) {
            work.extend(self.dependents(&uid).map(|(uid, _)| Work::Delete(Uid::clone(uid))));
            work.push(Work::Delete(Uid::clone(&uid)));
        } else if !node.owners.is_empty()
            && (old.is_none() || was(|old| old.virtual_) || before != node.owners)
        {
            work.push(Work::Delete(uid));
        }
        work
    }

    /// An object is gone.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<Work> {
        let Some(node) = self.nodes.remove(uid) else { return Vec::new() };
        let mut work = Vec::new();
        for owner in &node.owners {
            self.unlink(&owner.uid, uid);
            // Whoever waited for this dependent looks again.
            if self.node(&owner.uid).is_some_and(|owner| owner.foreground) {
                work.push(Work::Delete(owner.uid.as_str().into()));
            }
        }
        work.extend(self.dependents(uid).map(|(uid, _)| Work::Delete(Uid::clone(uid))));
        work
    }

    fn link(
        &mut self,
        owner: &OwnerReference,
        dependent: &Uid,
        key: &Key,
        owner_resource: &impl Fn(&OwnerReference) -> Option<(Arc<ApiResource>, bool)>,
        work: &mut Vec<Work>,
    ) {
        let owner_uid: Uid = owner.uid.as_str().into();
        self.dependents.entry(Uid::clone(&owner_uid)).or_default().insert(Uid::clone(dependent));
        if self.nodes.contains_key(&owner_uid) {
            return;
        }
        let Some((resource, namespaced)) = owner_resource(owner) else { return };
        let namespace = if namespaced { &*key.namespace } else { "" };
        let node = Node {
            resource,
            namespaced,
            key: Key::new(namespace, &owner.name),
            owners: Vec::new(),
            deleting: false,
            foreground: false,
            orphaning: false,
            virtual_: true,
        };
        self.nodes.insert(Uid::clone(&owner_uid), node);
        // Whether it exists has to be asked.
        work.push(Work::Delete(owner_uid));
    }

    fn unlink(&mut self, owner: &str, dependent: &str) {
        if let Some(dependents) = self.dependents.get_mut(owner) {
            dependents.remove(dependent);
            if dependents.is_empty() {
                self.dependents.remove(owner);
                if self.nodes.get(owner).is_some_and(|node| node.virtual_) {
                    self.nodes.remove(owner);
                }
            }
        }
    }
}
