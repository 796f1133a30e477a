//! One family's table, and the transactions that keep it right.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Instant;

use nfnetlink::nft::{Batch, Data, Element};
use nfnetlink::{Error, Family, Socket};

use super::affinity::{self, Numbers, affinity_map};
use super::element::{ChainKey, Frontend, SETS, Slot, Value, put_backend};
use super::plan::{self, Programmed};
use super::state::{Change, State};
use super::{TABLE, layout};
use crate::index::ServiceName;
use crate::program::{Environment, Program, Report, ServiceChange};

/// nftables behind [`Program`].
#[derive(Debug)]
pub struct NfTables {
    family: Family,
    socket: Socket,
    environment: Environment,
    state: State,
    /// Choosing chains that the kernel has. They are few, so they stay until everything is written anew.
    chains: BTreeSet<ChainKey>,
    /// Whether the kernel holds `state` and only differences need writing.
    in_step: bool,
    /// Whether what a predecessor left has been looked at.
    started: bool,
    predecessor: Numbers,
}

impl NfTables {
    /// A table of the family in the network namespace of the calling thread; nothing is written yet.
    ///
    /// # Errors
    /// When there is no netlink socket to be had.
    pub fn new(family: Family, environment: Environment) -> Result<Self, Error> {
        let socket = Socket::open()?;
        Ok(Self {
            family,
            socket,
            environment,
            state: State::default(),
            chains: BTreeSet::new(),
            in_step: false,
            started: false,
            predecessor: Numbers::default(),
        })
    }

    /// Writes everything, keeping the notes on affinity where the table is ours already.
    fn write_all(&mut self) -> Result<Report, Error> {
        // Upstream's kube-proxy has a table of the same name, but no such map in it.
        let keep = self.socket.sets(self.family, TABLE)?.iter().any(|name| name == affinity_map(false));
        let outcome = match self.commit_all(keep) {
            Err(error @ Error::Refused { .. }) if keep => {
                tracing::info!(family = ?self.family, %error, "cannot take over the nftables table; replacing it");
                self.commit_all(false)
            }
            other => other,
        };
        outcome?;
        self.in_step = true;
        Ok(Report { full: true, elements: self.state.len() })
    }

    fn commit_all(&mut self, keep: bool) -> Result<(), Error> {
        let notes = if keep { affinity::read(&mut self.socket, self.family)? } else { Vec::new() };
        let numbers =
            if notes.is_empty() { Numbers::default() } else { Numbers::read(&mut self.socket, self.family)? };
        let mut batch = Batch::new(self.family, TABLE);
        batch.add_table();
        if !keep {
            batch.delete_table();
            batch.add_table();
        }
        layout::write(&mut batch, self.family, &self.environment);
        let mut writer = Writer::default();
        let mut chains = BTreeSet::new();
        for (slot, value, owner) in self.state.all().filter(|(slot, _, owner)| self.state.counts(slot, owner))
        {
            if let Value::Chain(chain) = value {
                chains.insert(chain);
            }
            writer.add(slot, value, owner);
        }
        for chain in &chains {
            layout::write_choice(&mut batch, self.family, chain);
        }
        writer.write(&mut batch);
        affinity::renumber(
            &mut batch,
            &notes,
            |at, local, number| numbers.get(at, local, number),
            &self.state,
        );
        self.socket.commit(batch)?;
        self.chains = chains;
        Ok(())
    }

    /// Writes the difference.
    fn write_changes(&mut self, changes: &BTreeMap<Slot, Change>) -> Result<Report, Error> {
        let mut batch = Batch::new(self.family, TABLE);
        let mut writer = Writer::default();
        let mut new_chains = BTreeSet::new();
        for (slot, change) in changes {
            if change.before.is_some() {
                writer.delete(slot);
            }
            if let Some(value) = change.after
                && self.state.counts(slot, &change.owner)
            {
                if let Value::Chain(chain) = value
                    && !self.chains.contains(&chain)
                {
                    new_chains.insert(chain);
                }
                writer.add(slot, value, &change.owner);
            }
        }
        for chain in &new_chains {
            layout::write_choice(&mut batch, self.family, chain);
        }
        writer.write(&mut batch);
        if changes.values().any(|change| affinity::moves(change, &self.state)) {
            let notes = affinity::read(&mut self.socket, self.family)?;
            affinity::renumber(
                &mut batch,
                &notes,
                |at, local, number| self.before(changes, at, local, number),
                &self.state,
            );
        }
        self.socket.commit(batch)?;
        self.chains.extend(new_chains);
        Ok(Report { full: false, elements: changes.len() })
    }

    /// The backend that a number stood for before `changes`.
    fn before(
        &self,
        changes: &BTreeMap<Slot, Change>,
        at: &Frontend,
        local: bool,
        number: u32,
    ) -> Option<SocketAddr> {
        let slot = if local { Slot::LocalEndpoint(*at, number) } else { Slot::Endpoint(*at, number) };
        let value = changes.get(&slot).map_or_else(|| self.state.get(&slot), |change| change.before);
        match value {
            Some(Value::Backend(backend)) => Some(backend),
            _ => None,
        }
    }

    /// At the start, numbers that a predecessor gave are kept where clients have noted some.
    fn read_predecessor(&mut self) -> Result<(), Error> {
        if !affinity::read(&mut self.socket, self.family)?.is_empty() {
            self.predecessor = Numbers::read(&mut self.socket, self.family)?;
        }
        self.started = true;
        Ok(())
    }
}

/// Numbers known: ours, or else a predecessor's.
struct Known<'a>(&'a State, &'a Numbers);

impl Programmed for Known<'_> {
    fn backends(&self, at: &Frontend, local: bool) -> Vec<SocketAddr> {
        let ours = self.0.backends(at, local);
        if ours.is_empty() { self.1.backends(at, local) } else { ours }
    }
}

impl Program for NfTables {
    fn family(&self) -> Family {
        self.family
    }

    fn sync(&mut self, services: &[ServiceChange]) -> Result<Report, Error> {
        let started = Instant::now();
        if !self.started {
            self.read_predecessor()?;
        }
        let mut changes: BTreeMap<Slot, Change> = BTreeMap::new();
        for (name, model) in services {
            let ports = model.iter().flat_map(|model| &model.ports).filter(|port| port.family == self.family);
            let wanted = plan::elements(ports, &Known(&self.state, &self.predecessor));
            for change in self.state.replace(name, &wanted) {
                fold(&mut changes, change);
            }
        }
        let planned = started.elapsed();
        let outcome = if self.in_step && !changes.values().any(Change::changes_guard) {
            match self.write_changes(&changes) {
                Err(error @ Error::Refused { .. }) => {
                    tracing::warn!(family = ?self.family, %error, "the nftables table is not as it was left; writing it anew");
                    self.write_all()
                }
                other => other,
            }
        } else {
            self.write_all()
        };
        self.in_step = outcome.is_ok();
        if self.in_step {
            self.predecessor = Numbers::default();
        }
        tracing::debug!(family = ?self.family, ?planned, total = ?started.elapsed(), ?outcome, "synced nftables");
        outcome
    }

    fn set_environment(&mut self, environment: Environment) {
        if environment != self.environment {
            self.environment = environment;
            self.in_step = false;
        }
    }

    fn verify(&mut self) -> Result<bool, Error> {
        if self.in_step && self.socket.rule_count(self.family, TABLE, layout::WITNESS)? == 0 {
            self.in_step = false;
        }
        Ok(self.in_step)
    }

    fn in_step(&self) -> bool {
        self.in_step
    }

    fn resync(&mut self) {
        self.in_step = false;
    }

    fn cleanup(&mut self) -> Result<(), Error> {
        self.in_step = false;
        self.socket.remove_table(self.family, TABLE)
    }
}

/// Adds a change to those collected; changes of one slot become one, and nothing where it ends as it began.
fn fold(changes: &mut BTreeMap<Slot, Change>, change: Change) {
    let slot = change.slot;
    match changes.remove(&slot) {
        None => {
            changes.insert(slot, change);
        }
        Some(earlier) if earlier.before != change.after || change.changes_guard() => {
            changes.insert(slot, Change { before: earlier.before, ..change });
        }
        Some(_) => {}
    }
}

/// Elements on their way into a batch, by set.
#[derive(Default)]
struct Writer {
    deleted: [Vec<Encoded>; SETS.len()],
    added: [Vec<Encoded>; SETS.len()],
    /// Chain names, made once.
    chains: HashMap<ChainKey, std::sync::Arc<str>>,
}

struct Encoded {
    key: Vec<u8>,
    end: Vec<u8>,
    value: EncodedValue,
    comment: Option<ServiceName>,
}

enum EncodedValue {
    None,
    Bytes(Vec<u8>),
    Goto(std::sync::Arc<str>),
}

impl Writer {
    fn delete(&mut self, slot: &Slot) {
        self.deleted[slot.set()].push(Encoded::of(slot, EncodedValue::None, None));
    }

    fn add(&mut self, slot: &Slot, value: Value, owner: &ServiceName) {
        let value = match value {
            Value::Present => EncodedValue::None,
            Value::Chain(chain) => {
                let name = self.chains.entry(chain).or_insert_with(|| chain.to_string().into());
                EncodedValue::Goto(name.clone())
            }
            Value::Backend(backend) => {
                let mut bytes = Vec::with_capacity(20);
                put_backend(&mut bytes, backend);
                EncodedValue::Bytes(bytes)
            }
        };
        let comment = slot.frontend().map(|_| owner.clone());
        self.added[slot.set()].push(Encoded::of(slot, value, comment));
    }

    /// Deletions first, so that a slot can get a new value.
    fn write(&self, batch: &mut Batch) {
        for (name, elements) in SETS.iter().zip(&self.deleted) {
            batch.delete_elements(name, elements.iter().map(Encoded::element));
        }
        for (name, elements) in SETS.iter().zip(&self.added) {
            batch.add_elements(name, elements.iter().map(Encoded::element));
        }
    }
}

impl Encoded {
    fn of(slot: &Slot, value: EncodedValue, comment: Option<ServiceName>) -> Self {
        let (mut key, mut end) = (Vec::new(), Vec::new());
        slot.put_key(&mut key, &mut end);
        Self { key, end, value, comment }
    }

    fn element(&self) -> Element<'_> {
        Element {
            key: &self.key,
            key_end: (!self.end.is_empty()).then_some(&self.end),
            data: match &self.value {
                EncodedValue::None => Data::None,
                EncodedValue::Bytes(bytes) => Data::Value(bytes),
                EncodedValue::Goto(chain) => Data::Goto(chain),
            },
            timeout: None,
            comment: self.comment.as_deref(),
        }
    }
}
