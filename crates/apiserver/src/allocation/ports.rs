//! Node ports: one bit each in the RangeAllocation `servicenodeports`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::RngExt as _;
use serde_json::{Value, json};
use storage::{Freshness, ResourceStore};

use crate::error::{Error, Result};
use crate::registry::endpoint::storage_error;

const NAME: &str = "servicenodeports";
const CONFLICT_ATTEMPTS: usize = 64;

/// `--service-node-port-range`, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl PortRange {
    /// Reads `30000-32767` or `30000+2767`.
    pub fn parse(text: &str) -> Option<Self> {
        let range = match text.split_once('+') {
            Some((first, size)) => {
                let first: u16 = first.parse().ok()?;
                PortRange { first, last: first.checked_add(size.parse().ok()?)? }
            }
            None => {
                let (first, last) = text.split_once('-')?;
                PortRange { first: first.parse().ok()?, last: last.parse().ok()? }
            }
        };
        (range.first > 0 && range.first <= range.last).then_some(range)
    }

    /// Whether the port is inside.
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    fn text(&self) -> String {
        format!("{}-{}", self.first, self.last)
    }
}

/// Gives out node ports.
pub struct Ports {
    store: ResourceStore,
    /// The range of the flag.
    pub range: PortRange,
}

impl Ports {
    /// Ports of a range, kept in a store.
    pub fn new(store: ResourceStore, range: PortRange) -> Self {
        Ports { store, range }
    }

    /// Takes ports in one step: each of `wanted`, and `any` more. `None` tells which wanted one is taken.
    ///
    /// # Errors
    /// Storage fails, or nothing is left.
    pub async fn take(&self, wanted: &[u16], any: usize) -> Result<std::result::Result<Vec<u16>, u16>> {
        let mut taken = Ok(Vec::new());
        self.change(|bits| {
            taken = Ok(Vec::new());
            if let Some(port) = wanted.iter().find(|port| bits.get(*port - self.range.first)) {
                taken = Err(*port);
                return Ok(false);
            }
            for port in wanted {
                bits.set(port - self.range.first, true);
            }
            let mut free = Vec::with_capacity(any);
            for _ in 0..any {
                let offset = bits
                    .free(self.range)
                    .ok_or_else(|| Error::internal("failed to allocate a nodePort: range is full"))?;
                bits.set(offset, true);
                free.push(self.range.first + offset);
            }
            taken = Ok(free);
            Ok(true)
        })
        .await?;
        Ok(taken)
    }

    /// Gives ports back.
    pub async fn release(&self, ports: &[u16]) {
        let released = self
            .change(|bits| {
                for port in ports.iter().filter(|port| self.range.contains(**port)) {
                    bits.set(port - self.range.first, false);
                }
                Ok(true)
            })
            .await;
        if let Err(error) = released {
            tracing::warn!(?ports, %error, "cannot release node ports");
        }
    }

    /// Changes the bits by compare-and-swap until nobody else was quicker. The function says whether to store.
    async fn change(&self, mut change: impl FnMut(&mut Bits) -> Result<bool>) -> Result<()> {
        let mut current = self.store.get("", NAME, Freshness::Any).await.map_err(storage_error)?;
        for _ in 0..CONFLICT_ATTEMPTS {
            let mut bits = Bits::read(current.as_ref().map(|object| object.value()).as_ref(), self.range);
            if !change(&mut bits)? {
                return Ok(());
            }
            let stored = match &current {
                Some(object) => {
                    let mut value = object.value();
                    bits.write(&mut value, self.range);
                    self.store.update(object, &value).await
                }
                None => {
                    let mut value = json!({ "metadata": { "name": NAME } });
                    bits.write(&mut value, self.range);
                    self.store.create("", NAME, &value).await
                }
            };
            match stored {
                Ok(_) => return Ok(()),
                Err(storage::Error::Conflict(now)) => current = Some(now),
                Err(storage::Error::AlreadyExists { .. } | storage::Error::NotFound { .. }) => {
                    current = self.store.get("", NAME, Freshness::Latest).await.map_err(storage_error)?;
                }
                Err(other) => return Err(storage_error(other)),
            }
        }
        Err(Error::internal("too many others change the allocated node ports at the same time"))
    }
}

/// A bit per port, in the form of upstream's bitmap: one big number, most significant byte first.
struct Bits(Vec<u8>);

impl Bits {
    /// A range that changed since keeps the ports that are in both.
    fn read(stored: Option<&Value>, range: PortRange) -> Self {
        let mut bits = Bits(vec![0; usize::from(range.last - range.first) / 8 + 1]);
        let Some(stored) = stored else { return bits };
        let Some(old) = stored["range"].as_str().and_then(PortRange::parse) else { return bits };
        let Ok(mut data) = STANDARD.decode(stored["data"].as_str().unwrap_or_default()) else { return bits };
        data.reverse();
        let old_bits = Bits(data);
        for port in old.first..=old.last {
            if range.contains(port) && old_bits.get(port - old.first) {
                bits.set(port - range.first, true);
            }
        }
        bits
    }

    fn write(&self, value: &mut Value, range: PortRange) {
        let mut data = self.0.clone();
        while data.last() == Some(&0) {
            data.pop();
        }
        data.reverse();
        value["range"] = range.text().into();
        value["data"] = STANDARD.encode(data).into();
    }

    fn get(&self, offset: u16) -> bool {
        self.0.get(usize::from(offset / 8)).is_some_and(|byte| byte & (1 << (offset % 8)) != 0)
    }

    fn set(&mut self, offset: u16, on: bool) {
        if let Some(byte) = self.0.get_mut(usize::from(offset / 8)) {
            let bit = 1 << (offset % 8);
            *byte = if on { *byte | bit } else { *byte & !bit };
        }
    }

    /// A free offset, from a random place on; low ports are left to services that ask for one (KEP-3668).
    fn free(&self, range: PortRange) -> Option<u16> {
        let last = range.last - range.first;
        let reserved = if last < 16 { 0 } else { (last / 32).clamp(16, 128) };
        let start = rand::rng().random_range(reserved..=last);
        (start..=last).chain(reserved..start).chain(0..reserved).find(|offset| !self.get(*offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_survive_storage_and_another_range() {
        let range = PortRange::parse("30000-32767").unwrap();
        let mut bits = Bits::read(None, range);
        bits.set(0, true);
        bits.set(777, true);
        let mut value = json!({});
        bits.write(&mut value, range);
        let again = Bits::read(Some(&value), range);
        assert!(again.get(0) && again.get(777) && !again.get(1));
        let moved = Bits::read(Some(&value), PortRange { first: 30700, last: 31000 });
        assert!(moved.get(77) && !moved.get(0));
        assert_eq!(PortRange::parse("5-4"), None);
        assert_eq!(PortRange::parse("30000+10"), Some(PortRange { first: 30000, last: 30010 }));
    }
}
