//! Reading nftables back, only where a daemon has to: what a dynamic map holds, and whether its rules are still there.

use super::Batch;
use crate::wire::{DUMP, NFTABLES, REQUEST, find};
use crate::{Error, Family, Socket};

const GET_TABLE: u16 = 1;
const GET_RULE: u16 = 7;
const GET_SET: u16 = 10;
const GET_ELEMENTS: u16 = 13;

/// An element as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Key, each field padded to four bytes.
    pub key: Vec<u8>,
    /// A map's value.
    pub value: Vec<u8>,
    /// Milliseconds of a full life and those that are left, in sets with timeouts.
    pub timeout: Option<(u64, u64)>,
}

impl Socket {
    /// Names of the tables of a family.
    ///
    /// # Errors
    /// [`Error`] when the kernel refuses the dump.
    pub fn tables(&mut self, family: Family) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        self.request(
            "list nftables tables",
            |b, seq| b.message(NFTABLES << 8 | GET_TABLE, REQUEST | DUMP, seq, family.into(), |_| {}),
            |message| {
                names.extend(message.attributes().find(|(kind, _)| *kind == 1).map(|(_, name)| text(name)))
            },
        )?;
        Ok(names)
    }

    /// Names of the sets of a table; empty when there is no such table.
    ///
    /// # Errors
    /// [`Error`] when the kernel refuses the dump.
    pub fn sets(&mut self, family: Family, table: &str) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        let outcome = self.request(
            "list nftables sets",
            |b, seq| {
                b.message(NFTABLES << 8 | GET_SET, REQUEST | DUMP, seq, family.into(), |b| b.str(1, table));
            },
            |message| {
                names.extend(message.attributes().find(|(kind, _)| *kind == 2).map(|(_, name)| text(name)))
            },
        );
        absent_is_empty(outcome)?;
        Ok(names)
    }

    /// How many rules a chain has; 0 when the chain or the table is not there.
    ///
    /// # Errors
    /// [`Error`] when the kernel refuses the dump.
    pub fn rule_count(&mut self, family: Family, table: &str, chain: &str) -> Result<usize, Error> {
        let mut count = 0;
        let outcome = self.request(
            "list nftables rules",
            |b, seq| {
                b.message(NFTABLES << 8 | GET_RULE, REQUEST | DUMP, seq, family.into(), |b| {
                    b.str(1, table);
                    b.str(2, chain);
                });
            },
            |_| count += 1,
        );
        absent_is_empty(outcome)?;
        Ok(count)
    }

    /// The elements of a set or map; empty when there is no such.
    ///
    /// # Errors
    /// [`Error`] when the kernel refuses the dump.
    pub fn elements(&mut self, family: Family, table: &str, map: &str) -> Result<Vec<Stored>, Error> {
        let mut elements = Vec::new();
        let outcome = self.request(
            "list the elements of an nftables map",
            |b, seq| {
                b.message(NFTABLES << 8 | GET_ELEMENTS, REQUEST | DUMP, seq, family.into(), |b| {
                    b.str(1, table);
                    b.str(2, map);
                });
            },
            |message| {
                let lists = message.attributes().filter(|(kind, _)| *kind == 3);
                for (_, element) in lists.flat_map(|(_, list)| crate::wire::attributes(list)) {
                    let bytes = |kind| {
                        find(element, kind).and_then(|data| find(data, 1)).unwrap_or_default().to_vec()
                    };
                    let number = |kind| find(element, kind)?.first_chunk().map(|b| u64::from_be_bytes(*b));
                    let timeout = number(4).zip(number(5));
                    elements.push(Stored { key: bytes(1), value: bytes(2), timeout });
                }
            },
        );
        absent_is_empty(outcome)?;
        Ok(elements)
    }

    /// Deletes a table when it is there.
    ///
    /// # Errors
    /// [`Error`] when the kernel refuses.
    pub fn remove_table(&mut self, family: Family, table: &str) -> Result<(), Error> {
        let mut batch = Batch::new(family, table);
        batch.add_table();
        batch.delete_table();
        self.commit(batch)
    }
}

fn absent_is_empty(outcome: Result<(), Error>) -> Result<(), Error> {
    match outcome {
        Err(error) if error.is(nix::errno::Errno::ENOENT) => Ok(()),
        other => other,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)).into_owned()
}
