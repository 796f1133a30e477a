//! Which objects a node's pods lead to.
//!
//! ```text
//!  pod ──► node          secret, configmap, claim, service account ◄── pod
//!  volume ──► claim      secret ◄── volume          attachment, slice ──► node
//! ```
//!
//! Upstream walks a general graph. The questions asked are few, so each has its own map here, and every
//! answer costs a constant number of look-ups however many pods a node has.

use std::collections::HashMap;
use std::sync::Arc;

/// A kind of object that a kubelet may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Vertex {
    Secret,
    ConfigMap,
    Claim,
    Volume,
    ServiceAccount,
    ResourceClaim,
    Attachment,
    Slice,
    Pod,
}

/// An object by kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(pub(super) Vertex, pub(super) String, pub(super) String);

/// What one stored object contributes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Links {
    /// The node the object is on, when it is on one.
    pub(super) node: Option<String>,
    /// The claim a volume is bound to: namespace and name.
    pub(super) claim: Option<(String, String)>,
    /// What the object refers to.
    pub(super) refers: Vec<Key>,
}

/// How often each node leads to an object. Few nodes share one object, so a list beats a map.
type Nodes = Vec<(Arc<str>, u32)>;

#[derive(Default)]
pub(super) struct Graph {
    sources: HashMap<Key, Links>,
    nodes: HashMap<Key, Nodes>,
    volumes_of_secret: HashMap<Key, Vec<String>>,
    names: HashMap<Arc<str>, usize>,
}

impl Graph {
    /// Whether the node, through any of its pods, leads to the object.
    pub(super) fn reaches(&self, node: &str, vertex: Vertex, namespace: &str, name: &str) -> bool {
        let key = Key(vertex, namespace.to_owned(), name.to_owned());
        let direct =
            |key: &Key| self.nodes.get(key).is_some_and(|nodes| nodes.iter().any(|(n, _)| **n == *node));
        let through_claim = |volume: &str| {
            let volume = Key(Vertex::Volume, String::new(), volume.to_owned());
            let claim = self.sources.get(&volume).and_then(|links| links.claim.clone());
            claim.is_some_and(|(namespace, name)| direct(&Key(Vertex::Claim, namespace, name)))
        };
        match vertex {
            Vertex::Volume => through_claim(name),
            Vertex::Secret => {
                direct(&key)
                    || self
                        .volumes_of_secret
                        .get(&key)
                        .is_some_and(|volumes| volumes.iter().any(|v| through_claim(v)))
            }
            _ => direct(&key),
        }
    }

    pub(super) fn insert(&mut self, resource: &str, namespace: &str, name: &str, links: Links) {
        let Some(key) = source_key(resource, namespace, name) else { return };
        if let Some(node) = &links.node {
            let node = self.intern(node);
            for target in links.refers.iter().chain([&key]) {
                let nodes = self.nodes.entry(target.clone()).or_default();
                match nodes.iter_mut().find(|(n, _)| *n == node) {
                    Some((_, count)) => *count += 1,
                    None => nodes.push((node.clone(), 1)),
                }
            }
        } else if key.0 == Vertex::Volume {
            for secret in &links.refers {
                self.volumes_of_secret.entry(secret.clone()).or_default().push(name.to_owned());
            }
        }
        self.sources.insert(key, links);
    }

    pub(super) fn remove(&mut self, resource: &str, namespace: &str, name: &str) {
        let Some(key) = source_key(resource, namespace, name) else { return };
        let Some(links) = self.sources.remove(&key) else { return };
        if let Some(node) = &links.node {
            for target in links.refers.iter().chain([&key]) {
                let Some(nodes) = self.nodes.get_mut(target) else { continue };
                if let Some((_, count)) = nodes.iter_mut().find(|(n, _)| **n == **node) {
                    *count -= 1;
                }
                nodes.retain(|(_, count)| *count > 0);
                if nodes.is_empty() {
                    self.nodes.remove(target);
                }
            }
            self.release(node);
        } else {
            for secret in &links.refers {
                if let Some(volumes) = self.volumes_of_secret.get_mut(secret) {
                    volumes.retain(|v| v != name);
                    if volumes.is_empty() {
                        self.volumes_of_secret.remove(secret);
                    }
                }
            }
        }
    }

    /// All sources of a resource: namespace and name.
    pub(super) fn keys(&self, resource: &str) -> Vec<(String, String)> {
        let wanted = vertex_of(resource);
        let sources = self.sources.keys().filter(|Key(vertex, ..)| Some(*vertex) == wanted);
        sources.map(|Key(_, namespace, name)| (namespace.clone(), name.clone())).collect()
    }

    /// One shared copy of each node name, counted by the sources on the node.
    fn intern(&mut self, node: &str) -> Arc<str> {
        let shared = match self.names.get_key_value(node) {
            Some((shared, _)) => shared.clone(),
            None => Arc::from(node),
        };
        *self.names.entry(shared.clone()).or_default() += 1;
        shared
    }

    fn release(&mut self, node: &str) {
        if let Some(count) = self.names.get_mut(node) {
            *count -= 1;
            if *count == 0 {
                self.names.remove(node);
            }
        }
    }
}

fn source_key(resource: &str, namespace: &str, name: &str) -> Option<Key> {
    Some(Key(vertex_of(resource)?, namespace.to_owned(), name.to_owned()))
}

fn vertex_of(resource: &str) -> Option<Vertex> {
    Some(match resource {
        "pods" => Vertex::Pod,
        "persistentvolumes" => Vertex::Volume,
        "volumeattachments" => Vertex::Attachment,
        "resourceslices" => Vertex::Slice,
        _ => return None,
    })
}
