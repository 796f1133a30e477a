//! What is programmed in one table, for whom, and how it differs from what is wanted.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use super::element::{Frontend, Slot, Value};
use super::plan::Programmed;
use crate::index::ServiceName;

/// Elements by slot, with the Service that each belongs to.
///
/// Two Services may want the same slot: the same pod behind both, or, by mistake, the same external address and port. The
/// one whose name sorts first has it; the other takes over when that one goes.
#[derive(Debug, Default)]
pub struct State {
    slots: HashMap<Slot, Held>,
    /// The slots of each Service, sorted.
    services: HashMap<ServiceName, Box<[Slot]>>,
    /// Claims that lost, by slot.
    contested: HashMap<Slot, BTreeMap<ServiceName, Value>>,
}

#[derive(Clone, Debug)]
struct Held {
    owner: ServiceName,
    value: Value,
}

/// A slot whose value changes. Neither side is `None` when a value replaces another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub slot: Slot,
    /// What the kernel has.
    pub before: Option<Value>,
    /// What it shall have.
    pub after: Option<Value>,
    /// For whom, for the comment.
    pub owner: ServiceName,
}

impl Change {
    /// A guarded front end has gone from one Service to another, so that other ranges count from now on.
    pub fn changes_guard(&self) -> bool {
        matches!(self.slot, Slot::Guarded(_)) && self.before.is_some() && self.after.is_some()
    }
}

impl State {
    /// Takes over what a Service wants now (sorted, each slot once; empty when it is gone) and gives the difference.
    pub fn replace(&mut self, service: &ServiceName, wanted: &[(Slot, Value)]) -> Vec<Change> {
        let mut changes = Vec::new();
        let before = self.services.remove(service).unwrap_or_default();
        for slot in &before {
            if wanted.binary_search_by_key(slot, |(slot, _)| *slot).is_err() {
                changes.extend(self.release(service, *slot));
            }
        }
        for (slot, value) in wanted {
            changes.extend(self.claim(service, *slot, *value));
        }
        if !wanted.is_empty() {
            self.services.insert(service.clone(), wanted.iter().map(|(slot, _)| *slot).collect());
        }
        changes
    }

    /// Everything that shall be programmed.
    pub fn all(&self) -> impl Iterator<Item = (&Slot, Value, &ServiceName)> {
        self.slots.iter().map(|(slot, held)| (slot, held.value, &held.owner))
    }

    /// Elements programmed.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing is programmed.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// What a slot has.
    pub fn get(&self, slot: &Slot) -> Option<Value> {
        self.slots.get(slot).map(|held| held.value)
    }

    /// Whether an element is to be in the kernel. Ranges of several Services behind one guarded front end might overlap,
    /// which the kernel refuses, so only those of the Service that has the front end count.
    pub fn counts(&self, slot: &Slot, owner: &ServiceName) -> bool {
        match slot {
            Slot::Admitted(at, _) => {
                self.slots.get(&Slot::Guarded(*at)).is_none_or(|held| held.owner == *owner)
            }
            _ => true,
        }
    }

    fn claim(&mut self, service: &ServiceName, slot: Slot, value: Value) -> Option<Change> {
        let Some(held) = self.slots.get_mut(&slot) else {
            self.slots.insert(slot, Held { owner: service.clone(), value });
            return Some(Change { slot, before: None, after: Some(value), owner: service.clone() });
        };
        let inherits = held.owner != *service && matches!(slot, Slot::Guarded(_));
        if held.owner != *service {
            if held.owner < *service {
                if value != Value::Present && value != held.value {
                    tracing::warn!(?slot, %service, owner = %held.owner, "two Services want the same address and port; the first by name has it");
                }
                self.contested.entry(slot).or_default().insert(service.clone(), value);
                return None;
            }
            let loser = std::mem::replace(&mut held.owner, service.clone());
            let losers = self.contested.entry(slot).or_default();
            losers.insert(loser, held.value);
            losers.remove(service);
        }
        let before = std::mem::replace(&mut held.value, value);
        (before != value || inherits).then(|| Change {
            slot,
            before: Some(before),
            after: Some(value),
            owner: service.clone(),
        })
    }

    fn release(&mut self, service: &ServiceName, slot: Slot) -> Option<Change> {
        let held = self.slots.get(&slot)?.clone();
        let losers = self.contested.get_mut(&slot);
        if held.owner != *service {
            if let Some(losers) = losers {
                losers.remove(service);
                if losers.is_empty() {
                    self.contested.remove(&slot);
                }
            }
            return None;
        }
        let heir = losers.and_then(BTreeMap::pop_first);
        if self.contested.get(&slot).is_some_and(BTreeMap::is_empty) {
            self.contested.remove(&slot);
        }
        let before = Some(held.value);
        match heir {
            Some((owner, value)) => {
                self.slots.insert(slot, Held { owner: owner.clone(), value });
                (held.value != value || matches!(slot, Slot::Guarded(_))).then_some(Change {
                    slot,
                    before,
                    after: Some(value),
                    owner,
                })
            }
            None => {
                self.slots.remove(&slot);
                Some(Change { slot, before, after: None, owner: held.owner })
            }
        }
    }
}

impl Programmed for State {
    fn backends(&self, at: &Frontend, local: bool) -> Vec<SocketAddr> {
        let slot =
            |number| if local { Slot::LocalEndpoint(*at, number) } else { Slot::Endpoint(*at, number) };
        (0..)
            .map_while(|number| match self.get(&slot(number)) {
                Some(Value::Backend(backend)) => Some(backend),
                _ => None,
            })
            .collect()
    }
}
