//! The hooks of all configurations of one kind, kept by a watch and found by resource.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use access::authz::{ObjectKey, Replica};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

use super::Hook;
use crate::outbound::Resolve;

/// How long a request waits at start for the configurations to be read, as upstream.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// The resource of hooks that change objects.
pub const MUTATING: &str = "mutatingwebhookconfigurations";
/// The resource of hooks that only judge.
pub const VALIDATING: &str = "validatingwebhookconfigurations";

/// All hooks of one kind.
pub struct Index {
    resource: &'static str,
    resolver: Arc<dyn Resolve>,
    configurations: Mutex<BTreeMap<String, Vec<Arc<Hook>>>>,
    table: ArcSwap<Table>,
    read: watch::Sender<bool>,
}

/// The hooks in their order, and where to look for those of a resource.
#[derive(Default)]
struct Table {
    hooks: Vec<Arc<Hook>>,
    by_plural: HashMap<Box<str>, Vec<usize>>,
    /// Hooks with a rule for every resource.
    of_all: Vec<usize>,
}

impl Index {
    /// An index that knows nothing yet.
    pub fn new(resource: &'static str, resolver: Arc<dyn Resolve>) -> Arc<Self> {
        Arc::new(Self {
            resource,
            resolver,
            configurations: Mutex::default(),
            table: ArcSwap::default(),
            read: watch::Sender::new(false),
        })
    }

    /// The resource whose objects the index takes in.
    pub fn resource(&self) -> &'static str {
        self.resource
    }

    /// The hooks with a rule about the resource, in their order. Waits at the start of the server until all
    /// configurations have been read; `None` when they still have not after a while.
    pub async fn about(&self, plural: &str) -> Option<Vec<Arc<Hook>>> {
        if !*self.read.borrow() {
            let mut read = self.read.subscribe();
            let ready = tokio::time::timeout(READ_WITHIN, read.wait_for(|read| *read)).await;
            ready.ok()?.ok()?;
        }
        Some(self.table.load().about(plural))
    }

    fn rebuild(&self, configurations: &BTreeMap<String, Vec<Arc<Hook>>>) {
        self.table.store(Arc::new(Table::of(configurations.values().flatten().cloned().collect())));
    }
}

impl Table {
    fn of(hooks: Vec<Arc<Hook>>) -> Self {
        let mut table = Table::default();
        for (at, hook) in hooks.iter().enumerate() {
            let mut plurals = HashSet::new();
            let mut all = false;
            for rule in &hook.rules {
                match rule.plurals() {
                    Some(named) => plurals.extend(named),
                    None => all = true,
                }
            }
            if all {
                table.of_all.push(at);
                continue;
            }
            for plural in plurals {
                table.by_plural.entry(plural.into()).or_default().push(at);
            }
        }
        table.hooks = hooks;
        table
    }

    fn about(&self, plural: &str) -> Vec<Arc<Hook>> {
        let named = self.by_plural.get(plural).map(Vec::as_slice).unwrap_or_default();
        if named.is_empty() && self.of_all.is_empty() {
            return Vec::new();
        }
        let mut places: Vec<usize> = named.iter().chain(&self.of_all).copied().collect();
        places.sort_unstable();
        places.into_iter().map(|at| Arc::clone(&self.hooks[at])).collect()
    }
}

impl Replica for Index {
    fn upsert(&self, _: &str, _: &str, name: &str, json: &[u8]) -> Result<(), serde_json::Error> {
        let mut configurations = self.configurations.lock();
        let object: Value = match serde_json::from_slice(json) {
            Ok(object) => object,
            Err(error) => {
                configurations.remove(name);
                self.rebuild(&configurations);
                return Err(error);
            }
        };
        let known = configurations.get(name).cloned().unwrap_or_default();
        let mut count: HashMap<&str, usize> = HashMap::new();
        let hooks = object["webhooks"].as_array().into_iter().flatten().map(|hook| {
            let hook_name = hook["name"].as_str().unwrap_or_default();
            let number = count.entry(hook_name).or_default();
            let id = format!("{name}/{hook_name}/{number}");
            *number += 1;
            let known = known.iter().find(|known| known.id == id).map(|known| &**known);
            Arc::new(Hook::read(name, id, hook, &self.resolver, known))
        });
        let hooks = hooks.collect();
        configurations.insert(name.to_owned(), hooks);
        self.rebuild(&configurations);
        Ok(())
    }

    fn remove(&self, _: &str, _: &str, name: &str) {
        let mut configurations = self.configurations.lock();
        configurations.remove(name);
        self.rebuild(&configurations);
    }

    fn retain(&self, _: &str, present: &HashSet<ObjectKey>) {
        let mut configurations = self.configurations.lock();
        configurations.retain(|name, _| present.contains(&(String::new(), name.clone())));
        self.rebuild(&configurations);
        self.read.send_replace(true);
    }
}
