//! Policies of one kind with their bindings, kept by two watches and found by resource.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use access::authz::{ObjectKey, Replica};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

use super::constraints::Constraints;
use super::definition::Policy;

/// How long a request waits at start for the policies to be read.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// The resources of validating policies and their bindings.
pub const VALIDATING: [&str; 2] = ["validatingadmissionpolicies", "validatingadmissionpolicybindings"];
/// The resources of mutating policies and their bindings.
pub const MUTATING: [&str; 2] = ["mutatingadmissionpolicies", "mutatingadmissionpolicybindings"];

/// A binding: where a policy holds, and with which parameters.
#[derive(Debug)]
pub struct Binding {
    /// The object's name.
    pub name: String,
    /// The policy.
    pub policy: String,
    /// Which of the policy's requests are meant; `None` for all.
    pub constraints: Option<Constraints>,
    /// `paramRef`, or null.
    pub param_ref: Value,
    /// `validationActions`
    pub actions: Vec<String>,
}

/// A policy that is bound.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Its bindings, by name.
    pub bindings: Vec<Arc<Binding>>,
}

/// All policies of one kind.
pub struct Index {
    resources: [&'static str; 2],
    objects: Mutex<Objects>,
    table: ArcSwap<Table>,
    /// Whether policies and bindings have been read.
    read: watch::Sender<[bool; 2]>,
}

#[derive(Default)]
struct Objects {
    policies: BTreeMap<String, Arc<Policy>>,
    bindings: BTreeMap<String, Arc<Binding>>,
}

/// The bound policies in the order of their names, and where to look for those of a resource.
#[derive(Default)]
struct Table {
    bound: Vec<Bound>,
    by_plural: HashMap<Box<str>, Vec<usize>>,
    /// Policies with a rule for every resource.
    of_all: Vec<usize>,
}

impl Index {
    /// An index that knows nothing yet, of these resources.
    pub fn new(resources: [&'static str; 2]) -> Arc<Self> {
        Arc::new(Self {
            resources,
            objects: Mutex::default(),
            table: ArcSwap::default(),
            read: watch::Sender::new([false; 2]),
        })
    }

    /// The resources whose objects the index takes in.
    pub fn resources(&self) -> [&'static str; 2] {
        self.resources
    }

    /// The bound policies with a rule about the resource, in their order. Waits at the start of the server until all
    /// have been read; `None` when they still have not after a while.
    pub async fn about(&self, plural: &str) -> Option<Vec<Bound>> {
        if *self.read.borrow() != [true; 2] {
            let mut read = self.read.subscribe();
            let ready = tokio::time::timeout(READ_WITHIN, read.wait_for(|read| *read == [true; 2])).await;
            ready.ok()?.ok()?;
        }
        Some(self.table.load().about(plural))
    }

    fn change(&self, change: impl FnOnce(&mut Objects)) {
        let mut objects = self.objects.lock();
        change(&mut objects);
        self.table.store(Arc::new(Table::of(&objects)));
    }

    fn is_policy(&self, resource: &str) -> bool {
        resource == self.resources[0]
    }
}

impl Table {
    fn of(objects: &Objects) -> Self {
        let mut table = Table::default();
        for (name, policy) in &objects.policies {
            let bindings: Vec<Arc<Binding>> =
                objects.bindings.values().filter(|binding| binding.policy == *name).cloned().collect();
            if bindings.is_empty() {
                continue;
            }
            let at = table.bound.len();
            match policy.constraints.plurals() {
                None => table.of_all.push(at),
                Some(plurals) => {
                    for plural in plurals.into_iter().collect::<HashSet<_>>() {
                        table.by_plural.entry(plural.into()).or_default().push(at);
                    }
                }
            }
            table.bound.push(Bound { policy: Arc::clone(policy), bindings });
        }
        table
    }

    fn about(&self, plural: &str) -> Vec<Bound> {
        let named = self.by_plural.get(plural).map(Vec::as_slice).unwrap_or_default();
        if named.is_empty() && self.of_all.is_empty() {
            return Vec::new();
        }
        let mut places: Vec<usize> = named.iter().chain(&self.of_all).copied().collect();
        places.sort_unstable();
        places.into_iter().map(|at| self.bound[at].clone()).collect()
    }
}

impl Binding {
    fn read(name: &str, object: &Value) -> Self {
        let spec = &object["spec"];
        let actions = spec["validationActions"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Self {
            name: name.to_owned(),
            policy: spec["policyName"].as_str().unwrap_or_default().to_owned(),
            constraints: spec.get("matchResources").filter(|m| !m.is_null()).map(Constraints::read),
            param_ref: spec.get("paramRef").cloned().unwrap_or_default(),
            actions: actions.map(str::to_owned).collect(),
        }
    }
}

impl Replica for Index {
    fn upsert(&self, resource: &str, _: &str, name: &str, json: &[u8]) -> Result<(), serde_json::Error> {
        let object: Value = match serde_json::from_slice(json) {
            Ok(object) => object,
            Err(error) => {
                self.remove(resource, "", name);
                return Err(error);
            }
        };
        if self.is_policy(resource) {
            // Compiled before the lock is taken: requests are judged by the old table meanwhile.
            let policy = Policy::read(&object);
            self.change(|objects| {
                objects.policies.insert(name.to_owned(), policy);
            });
        } else {
            let binding = Arc::new(Binding::read(name, &object));
            self.change(|objects| {
                objects.bindings.insert(name.to_owned(), binding);
            });
        }
        Ok(())
    }

    fn remove(&self, resource: &str, _: &str, name: &str) {
        let policy = self.is_policy(resource);
        self.change(|objects| {
            if policy {
                objects.policies.remove(name);
            } else {
                objects.bindings.remove(name);
            }
        });
    }

    fn retain(&self, resource: &str, present: &HashSet<ObjectKey>) {
        let policy = self.is_policy(resource);
        let there = |name: &String| present.contains(&(String::new(), name.clone()));
        self.change(|objects| {
            if policy {
                objects.policies.retain(|name, _| there(name));
            } else {
                objects.bindings.retain(|name, _| there(name));
            }
        });
        self.read.send_modify(|read| read[usize::from(!policy)] = true);
    }
}
