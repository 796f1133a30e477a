//! Follows the definitions: serves what they define, and writes their status.
//!
//! ```text
//!  watch ─► Definitions ─► changed names ─► rows into the registry, all of a batch at once ─► status of each
//! ```
//!
//! Every apiserver runs it. The rows are each server's own; the status is written by whoever is first, and a plan made
//! from an older state is dropped when it meets a newer one.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use access::authz::ObjectKey;
use parking_lot::Mutex;
use serde_json::{Value, json};
use storage::{Event, EventKind};
use tokio::sync::Notify;

use super::conditions::{self, Plan};
use super::conversion::Webhook;
use super::definition::{Definition, Names};
use super::names::Claims;
use super::{cleanup, rows};
use crate::error::{Error, Result};
use crate::feeds::Follower;
use crate::loopback::Target;
use crate::outbound::Resolve;
use crate::registry::{CustomChange, meta};
use crate::server::Server;

/// The group of the definitions.
pub const GROUP: &str = "apiextensions.k8s.io";
/// Their plural name.
pub const PLURAL: &str = "customresourcedefinitions";

/// All definitions as this server knows them.
#[derive(Default)]
pub struct Definitions {
    state: Mutex<State>,
    changed: Notify,
    /// The first rows of all definitions are in the registry.
    served: AtomicBool,
}

#[derive(Default)]
struct State {
    known: BTreeMap<String, Known>,
    changed: BTreeSet<String>,
    /// All definitions that were there at the start have come in.
    complete: bool,
}

/// A definition, and what is served of it.
struct Known {
    /// `None` once it is deleted.
    definition: Option<Arc<Definition>>,
    /// What the rows in the registry were made from.
    served: Option<Served>,
    terminating: Arc<AtomicBool>,
    cleaning: bool,
}

/// What rows are made from; rows stay when it stays.
#[derive(PartialEq, Eq)]
struct Served {
    uid: String,
    generation: i64,
    names: Names,
}

impl Definitions {
    /// Whether all definitions that were stored when the server started are served.
    pub fn ready(&self) -> bool {
        self.served.load(Ordering::Acquire)
    }

    fn note(&self, name: &str, definition: Option<Arc<Definition>>) {
        let mut state = self.state.lock();
        let known = state.known.entry(name.to_owned()).or_insert_with(|| Known {
            definition: None,
            served: None,
            terminating: Arc::default(),
            cleaning: false,
        });
        let terminating = definition.as_ref().is_some_and(|d| d.is_true("Terminating"));
        known.terminating.store(terminating, Ordering::Release);
        known.definition = definition;
        state.changed.insert(name.to_owned());
        let complete = state.complete;
        drop(state);
        // At the start the rows of all definitions go into the registry together.
        if complete {
            self.changed.notify_one();
        }
    }

    /// The definition of a name as it is now.
    fn get(&self, name: &str) -> Option<Arc<Definition>> {
        self.state.lock().known.get(name)?.definition.clone()
    }
}

impl Follower for Definitions {
    fn take_in(&self, _resource: &str, event: &Event) {
        let name = event.object.name();
        if event.kind == EventKind::Deleted {
            return self.note(name, None);
        }
        match Definition::parse(event.object.json()) {
            Ok(definition) => self.note(name, Some(Arc::new(definition))),
            Err(error) => tracing::error!(name, %error, "a definition cannot be read; it is not served"),
        }
    }

    fn retain(&self, _resource: &str, present: &HashSet<ObjectKey>) {
        let mut state = self.state.lock();
        state.complete = true;
        let State { known, changed, .. } = &mut *state;
        for (name, known) in known {
            if known.definition.is_some() && !present.contains(&(String::new(), name.clone())) {
                known.definition = None;
                changed.insert(name.clone());
            }
        }
        drop(state);
        self.changed.notify_one();
    }
}

/// After this long what failed is tried again.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// Serves and writes until the server stops.
pub async fn run(server: Arc<Server>) {
    let definitions = &server.definitions;
    let mut failed = BTreeSet::new();
    loop {
        tokio::select! {
            () = definitions.changed.notified() => {}
            // Others are served meanwhile.
            () = tokio::time::sleep(RETRY), if !failed.is_empty() => {}
            () = server.shutdown.cancelled() => return,
        }
        let mut changed = std::mem::take(&mut definitions.state.lock().changed);
        changed.append(&mut failed);
        serve(&server, &changed);
        definitions.served.store(true, Ordering::Release);
        for name in with_neighbours(definitions, changed) {
            if let Err(error) = settle(&server, &name).await {
                tracing::warn!(name, %error, "writing the status of a definition; trying again");
                failed.insert(name);
            }
        }
    }
}

/// Puts the rows of changed definitions into the registry, and takes out those of deleted ones.
fn serve(server: &Server, changed: &BTreeSet<String>) {
    let definitions = &server.definitions;
    let resolver: Arc<dyn Resolve> = server.resolver.clone();
    let mut changes = Vec::new();
    let mut state = definitions.state.lock();
    for name in changed {
        let Some(known) = state.known.get_mut(name) else { continue };
        let definition = known.definition.as_ref().filter(|definition| definition.is_served());
        let wanted = definition.map(|definition| Served {
            uid: definition.metadata.uid.clone(),
            generation: definition.metadata.generation,
            names: definition.status.accepted_names.clone(),
        });
        if wanted != known.served {
            // `widgets.example.com` is the plural and the group, of which only the group has dots.
            let (plural, group) = name.split_once('.').unwrap_or((name, ""));
            let versions =
                definition.map(|definition| rows::of(definition, &known.terminating)).unwrap_or_default();
            let webhook = definition.and_then(|definition| Webhook::of(definition, &resolver));
            changes.push(CustomChange { group: group.into(), plural: plural.into(), versions, webhook });
            known.served = wanted;
        }
    }
    if !changes.is_empty() {
        server.registry.replace_custom(changes);
    }
}

/// The changed definitions, and those of the same groups that wait for a name: it may be free now.
fn with_neighbours(definitions: &Definitions, changed: BTreeSet<String>) -> BTreeSet<String> {
    let state = definitions.state.lock();
    let groups: HashSet<&str> = changed.iter().filter_map(|name| Some(name.split_once('.')?.1)).collect();
    let waiting = state.known.iter().filter(|(name, known)| {
        let refused = known.definition.as_ref().is_some_and(|definition| {
            definition.condition("NamesAccepted").is_some_and(|condition| condition.status == "False")
        });
        refused && name.split_once('.').is_some_and(|(_, group)| groups.contains(group))
    });
    let mut all: BTreeSet<String> = waiting.map(|(name, _)| name.clone()).collect();
    all.extend(changed);
    all
}

/// Brings the status of a definition up to date, and starts the deletion of its objects when it is being deleted.
async fn settle(server: &Arc<Server>, name: &str) -> Result<()> {
    let definitions = &server.definitions;
    let Some((definition, plan)) = plan_for(definitions, name) else { return Ok(()) };
    if definition.wants_cleanup() {
        begin_cleanup(server, &definition);
    }
    let Some(plan) = plan else { return Ok(()) };
    let change = |object: &mut Value| {
        if meta::text(object, "resourceVersion") != definition.metadata.resource_version {
            return Err(Error::conflict(GROUP, PLURAL, name, "it has changed; the change is looked at next"));
        }
        write_plan(object, &plan)
    };
    match server.registry.modify(status_of(name), change).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

fn plan_for(definitions: &Definitions, name: &str) -> Option<(Arc<Definition>, Option<Plan>)> {
    let mut state = definitions.state.lock();
    let known = state.known.get(name)?;
    let Some(definition) = known.definition.clone() else {
        if !known.cleaning {
            state.known.remove(name);
        }
        return None;
    };
    let served = known.served.is_some();
    let group = &definition.spec.group;
    let others = state.known.values().filter_map(|known| known.definition.as_deref());
    let claims = Claims::of(others.filter(|other| other.spec.group == *group));
    let plan = conditions::plan(&definition, &claims, served);
    Some((definition, plan))
}

fn write_plan(object: &mut Value, plan: &Plan) -> Result<()> {
    let names = serde_json::to_value(&plan.names).map_err(Error::internal)?;
    if !object["status"].is_object() {
        object["status"] = json!({});
    }
    object["status"]["acceptedNames"] = names;
    let now = meta::now();
    plan.conditions.iter().for_each(|condition| conditions::set(object, condition, &now));
    Ok(())
}

/// One deletion of objects at a time for each definition.
fn begin_cleanup(server: &Arc<Server>, definition: &Arc<Definition>) {
    let name = definition.metadata.name.clone();
    {
        let mut state = server.definitions.state.lock();
        let Some(known) = state.known.get_mut(&name) else { return };
        if std::mem::replace(&mut known.cleaning, true) {
            return;
        }
    }
    let (server, definition) = (Arc::clone(server), Arc::clone(definition));
    tokio::spawn(async move {
        let outcome = tokio::select! {
            outcome = cleanup::run(&server, &definition) => outcome,
            () = server.shutdown.cancelled() => return,
        };
        if let Err(error) = &outcome {
            tracing::warn!(name, %error, "deleting the objects of a definition; trying again");
            tokio::time::sleep(cleanup::RETRY).await;
        }
        let definitions = &server.definitions;
        if let Some(known) = definitions.state.lock().known.get_mut(&name) {
            known.cleaning = false;
        }
        if definitions.get(&name).is_some() || outcome.is_err() {
            definitions.state.lock().changed.insert(name);
            definitions.changed.notify_one();
        }
    });
}

/// The status of a definition.
pub fn status_of(name: &str) -> Target<'_> {
    Target { group: GROUP, resource: PLURAL, namespace: "", name, subresource: "status" }
}
