//! Client-IP affinity: notes `client . front end → number of the backend`, which rules write and the kernel expires.
//!
//! Numbers move when backends come and go, so the transaction that moves them also moves the notes, and drops those whose
//! backend is gone.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use nfnetlink::nft::{Batch, Element, Stored};
use nfnetlink::{Error, Family, Socket};

use super::TABLE;
use super::element::{Frontend, Slot, Value, parse_backend, parse_frontend, parse_number};
use super::plan::Programmed;
use super::state::{Change, State};

/// The map of notes; clients from elsewhere under policy Local have their own, since they have their own backends.
pub fn affinity_map(local: bool) -> &'static str {
    if local { "local-affinity" } else { "affinity" }
}

/// A note.
#[derive(Debug)]
pub struct Note {
    at: Frontend,
    local: bool,
    number: u32,
    stored: Stored,
}

/// Backends as the kernel has them; read only while there are notes.
#[derive(Debug, Default)]
pub struct Numbers(HashMap<(Frontend, bool), BTreeMap<u32, SocketAddr>>);

impl Numbers {
    /// The backend of a number.
    pub fn get(&self, at: &Frontend, local: bool, number: u32) -> Option<SocketAddr> {
        self.0.get(&(*at, local))?.get(&number).copied()
    }

    /// Reads them.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn read(socket: &mut Socket, family: Family) -> Result<Self, Error> {
        let mut numbers = Self::default();
        for (map, local) in [("endpoints", false), ("local-endpoints", true)] {
            for stored in socket.elements(family, TABLE, map)? {
                if let Some((at, Some(number))) = parse_frontend(family, &stored.key)
                    && let Some(backend) = parse_backend(family, &stored.value)
                {
                    numbers.0.entry((at, local)).or_default().insert(number, backend);
                }
            }
        }
        Ok(numbers)
    }
}

impl Programmed for Numbers {
    fn backends(&self, at: &Frontend, local: bool) -> Vec<SocketAddr> {
        self.0.get(&(*at, local)).into_iter().flat_map(|numbers| numbers.values().copied()).collect()
    }
}

/// All notes.
///
/// # Errors
/// When the kernel refuses.
pub fn read(socket: &mut Socket, family: Family) -> Result<Vec<Note>, Error> {
    let mut notes = Vec::new();
    for local in [false, true] {
        for stored in socket.elements(family, TABLE, affinity_map(local))? {
            let at = stored.key.get(family.address_len()..).and_then(|key| parse_frontend(family, key));
            if let (Some((at, _)), Some(number)) = (at, parse_number(&stored.value)) {
                notes.push(Note { at, local, number, stored });
            }
        }
    }
    Ok(notes)
}

/// Whether a change moves or removes a number that a client may have noted.
pub fn moves(change: &Change, state: &State) -> bool {
    let sticky = |slot| matches!(state.get(&slot), Some(Value::Chain(chain)) if chain.affinity.is_some());
    change.before.is_some()
        && match &change.slot {
            Slot::Endpoint(at, _) => sticky(Slot::Service(*at)),
            Slot::LocalEndpoint(at, _) => sticky(Slot::LocalService(*at)),
            _ => false,
        }
}

/// Writes what has to happen to `notes` into the transaction, when `before` gives the backends of the old numbers.
pub fn renumber(
    batch: &mut Batch,
    notes: &[Note],
    before: impl Fn(&Frontend, bool, u32) -> Option<SocketAddr>,
    state: &State,
) {
    let mut gone: [Vec<&[u8]>; 2] = Default::default();
    let mut moved: [Vec<(&Stored, [u8; 4])>; 2] = Default::default();
    for note in notes {
        let backend = before(&note.at, note.local, note.number);
        let now = backend.and_then(|backend| {
            let backends = state.backends(&note.at, note.local);
            backends.iter().position(|candidate| *candidate == backend)
        });
        let now = now.and_then(|number| u32::try_from(number).ok());
        if now == Some(note.number) {
            continue;
        }
        gone[usize::from(note.local)].push(&note.stored.key);
        moved[usize::from(note.local)].extend(now.map(|number| (&note.stored, number.to_ne_bytes())));
    }
    for local in [false, true] {
        let map = affinity_map(local);
        batch.delete_elements(map, gone[usize::from(local)].iter().map(|key| Element::key(key)));
        batch.add_elements(
            map,
            moved[usize::from(local)].iter().map(|(stored, number)| Element {
                timeout: stored.timeout,
                ..Element::value(&stored.key, number)
            }),
        );
    }
}
