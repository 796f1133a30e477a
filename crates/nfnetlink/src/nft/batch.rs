//! A transaction: the kernel does all of its operations or none.

use super::expr::Expr;
use crate::Family;
use crate::wire::{APPEND, Buffer, CREATE, GenericHeader, NFTABLES, REQUEST};

const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const DELETE_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const NEW_ELEMENTS: u16 = 12;
const DELETE_ELEMENTS: u16 = 14;
const BEGIN: u16 = 16;
const END: u16 = 17;

/// Element bytes per message: attribute lengths have 16 bits, and the largest element takes under 512 bytes.
const ELEMENT_ROOM: usize = 60 * 1024;

/// Where a packet or a rule goes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ends this hook's chain for the packet.
    Accept,
    /// Drops the packet.
    Drop,
    /// Back to the calling chain.
    Return,
    /// To a chain, and back after it.
    Jump(String),
    /// To a chain for good.
    Goto(String),
}

/// What a base chain is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookType {
    /// Sees every packet.
    Filter,
    /// Sees the first packet of a connection.
    Nat,
}

/// A netfilter hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Before routing.
    Prerouting = 0,
    /// To this host.
    Input = 1,
    /// Through this host.
    Forward = 2,
    /// From this host.
    Output = 3,
    /// After routing.
    Postrouting = 4,
}

/// A chain; a base chain when it has a hook. Base chains made here accept by default, so that they never decide alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Name.
    pub name: String,
    /// Type, hook and priority of a base chain.
    pub hook: Option<(HookType, Hook, i32)>,
}

/// Kind of set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetFlags {
    /// Keys are ranges; with several fields each is a range.
    pub interval: bool,
    /// Rules insert elements, which expire.
    pub dynamic: bool,
}

/// A set, or a map when it has data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Name.
    pub name: String,
    /// Type numbers (see [`super::types`]) and byte lengths of the key's fields.
    pub key: Vec<(u32, u32)>,
    /// The same for a map's values; empty for a set.
    pub data: Vec<(u32, u32)>,
    /// Values are verdicts.
    pub verdicts: bool,
    /// Flags.
    pub flags: SetFlags,
    /// Most elements, 0 for no limit.
    pub size: u32,
}

/// The value of a map's element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// A set's element has none.
    None,
    /// Bytes.
    Value(&'a [u8]),
    /// A chain to go to.
    Goto(&'a str),
}

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Key, each field padded to four bytes.
    pub key: &'a [u8],
    /// Upper end of a range.
    pub key_end: Option<&'a [u8]>,
    /// Value.
    pub data: Data<'a>,
    /// Milliseconds that the element lives when it is renewed, and those that are left, in a set with timeouts.
    pub timeout: Option<(u64, u64)>,
    /// Comment for who reads `nft list`, at most 128 bytes.
    pub comment: Option<&'a str>,
}

impl<'a> Element<'a> {
    /// An element of a set, with nothing but its key.
    pub fn key(key: &'a [u8]) -> Self {
        Self { key, key_end: None, data: Data::None, timeout: None, comment: None }
    }

    /// An element of a map.
    pub fn value(key: &'a [u8], value: &'a [u8]) -> Self {
        Self { data: Data::Value(value), ..Self::key(key) }
    }
}

/// Operations to be done together, in order.
#[derive(Clone, Debug)]
pub struct Batch {
    family: Family,
    table: String,
    buffer: Buffer,
    done: Vec<(&'static str, String)>,
}

impl Batch {
    /// An empty transaction on `table`.
    pub fn new(family: Family, table: &str) -> Self {
        let mut buffer = Buffer::default();
        buffer.message(BEGIN, REQUEST, 0, GenericHeader::batch(), |_| {});
        Self { family, table: table.to_owned(), buffer, done: Vec::new() }
    }

    /// Operations so far.
    pub fn len(&self) -> usize {
        self.done.len()
    }

    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Makes the table unless it exists.
    pub fn add_table(&mut self) {
        self.push("add table", "", NEW_TABLE, CREATE, |b, table| b.str(1, table));
    }

    /// Deletes the table with all that is in it. Fails when there is none, so add it first.
    pub fn delete_table(&mut self) {
        self.push("delete table", "", DELETE_TABLE, 0, |b, table| b.str(1, table));
    }

    /// Makes a chain unless it exists.
    pub fn add_chain(&mut self, chain: &Chain) {
        self.push("add chain", &chain.name, NEW_CHAIN, CREATE, |b, table| {
            b.str(1, table);
            b.str(3, &chain.name);
            if let Some((kind, hook, priority)) = chain.hook {
                b.nested(4, |b| {
                    b.u32(1, hook as u32);
                    b.u32(2, priority as u32);
                });
                b.u32(5, 1);
                b.str(7, if kind == HookType::Nat { "nat" } else { "filter" });
            }
        });
    }

    /// Appends a rule to a chain.
    pub fn add_rule(&mut self, chain: &str, rule: &[Expr]) {
        self.push("add rule to", chain, NEW_RULE, CREATE | APPEND, |b, table| {
            b.str(1, table);
            b.str(2, chain);
            b.nested(4, |b| rule.iter().for_each(|expr| expr.put(b)));
        });
    }

    /// Removes all rules of the table; chains stay.
    pub fn flush_rules(&mut self) {
        self.push("flush rules of", "all chains", DELETE_RULE, 0, |b, table| b.str(1, table));
    }

    /// Makes a set or map unless it exists. Fails when one of another shape has the name.
    pub fn add_set(&mut self, set: &Set) {
        let id = self.done.len() as u32 + 1;
        self.push("add set", &set.name, NEW_SET, CREATE, |b, table| {
            b.str(1, table);
            b.str(2, &set.name);
            b.u32(3, set.flag_bits());
            b.u32(4, type_number(&set.key));
            b.u32(5, padded_len(&set.key));
            if set.verdicts {
                b.u32(6, 0xffff_ff00);
                b.u32(7, 0);
            } else if !set.data.is_empty() {
                b.u32(6, type_number(&set.data));
                b.u32(7, padded_len(&set.data));
            }
            b.u32(10, id);
            b.nested(9, |b| set.put_description(b));
            b.attr(13, &set.byte_order_note());
        });
    }

    /// Removes all elements of a set.
    pub fn flush_set(&mut self, set: &str) {
        self.push("flush set", set, DELETE_ELEMENTS, 0, |b, table| {
            b.str(1, table);
            b.str(2, set);
        });
    }

    /// Adds elements. One that is there already with the same value is left; with another value the transaction fails.
    pub fn add_elements<'a>(&mut self, set: &str, elements: impl IntoIterator<Item = Element<'a>>) {
        self.elements("add element to", NEW_ELEMENTS, CREATE, set, elements);
    }

    /// Deletes elements by key. The transaction fails when one is not there.
    pub fn delete_elements<'a>(&mut self, set: &str, elements: impl IntoIterator<Item = Element<'a>>) {
        self.elements("delete element of", DELETE_ELEMENTS, 0, set, elements);
    }

    /// The operation that the kernel's error number points to.
    pub(crate) fn describe(&self, index: usize) -> String {
        let table = format!("table {} {}", if self.family == Family::V4 { "ip" } else { "ip6" }, self.table);
        match self.done.get(index) {
            Some((operation, object)) if object.is_empty() => format!("\"{operation}\" of {table}"),
            Some((operation, object)) => format!("\"{operation} {object}\" of {table}"),
            None => format!("commit of {table}"),
        }
    }

    /// The transaction as it goes over the wire; sequence numbers count operations from 1.
    pub(crate) fn finish(mut self) -> (Vec<u8>, Outline) {
        let seq = self.done.len() as u32 + 1;
        self.buffer.message(END, REQUEST, seq, GenericHeader::batch(), |_| {});
        let bytes = std::mem::take(&mut self.buffer.bytes);
        (bytes, Outline(self))
    }

    fn push(
        &mut self,
        operation: &'static str,
        object: &str,
        kind: u16,
        flags: u16,
        body: impl FnOnce(&mut Buffer, &str),
    ) {
        self.done.push((operation, object.to_owned()));
        let seq = self.done.len() as u32;
        let table = &self.table;
        self.buffer
            .message(NFTABLES << 8 | kind, REQUEST | flags, seq, self.family.into(), |b| body(b, table));
    }

    fn elements<'a>(
        &mut self,
        operation: &'static str,
        kind: u16,
        flags: u16,
        set: &str,
        elements: impl IntoIterator<Item = Element<'a>>,
    ) {
        let mut elements = elements.into_iter().peekable();
        while elements.peek().is_some() {
            self.push(operation, set, kind, flags, |b, table| {
                b.str(1, table);
                b.str(2, set);
                b.nested(3, |b| {
                    let start = b.bytes.len();
                    while b.bytes.len() - start < ELEMENT_ROOM
                        && let Some(element) = elements.next()
                    {
                        element.put(b);
                    }
                });
            });
        }
    }
}

/// What remains of a batch that was sent: enough to say what failed.
#[derive(Debug)]
pub(crate) struct Outline(Batch);

impl Outline {
    pub(crate) fn describe(&self, seq: u32) -> String {
        self.0.describe((seq as usize).wrapping_sub(1))
    }
}

impl Set {
    fn flag_bits(&self) -> u32 {
        let mut bits = 0;
        if self.flags.interval {
            bits |= 0x4;
            if self.key.len() > 1 {
                bits |= 0x80;
            }
        }
        if self.verdicts || !self.data.is_empty() {
            bits |= 0x8;
        }
        if self.flags.dynamic {
            bits |= 0x10 | 0x20;
        }
        bits
    }

    fn put_description(&self, b: &mut Buffer) {
        if self.size > 0 {
            b.u32(1, self.size);
        }
        if self.flags.interval && self.key.len() > 1 {
            b.nested(2, |b| {
                for (_, len) in &self.key {
                    b.nested(1, |b| b.u32(1, *len));
                }
            });
        }
    }

    /// `nft list` reads here in which byte order to print single-field keys: 2 is network order, 1 the host's.
    fn byte_order_note(&self) -> [u8; 6] {
        let order: u32 = if matches!(self.key.as_slice(), [(super::types::MARK, _)]) { 1 } else { 2 };
        let [a, b, c, d] = order.to_ne_bytes();
        [0, 4, a, b, c, d]
    }
}

impl Element<'_> {
    fn put(&self, buffer: &mut Buffer) {
        buffer.nested(1, |b| {
            b.nested(1, |b| b.attr(1, self.key));
            if let Some(end) = self.key_end {
                b.nested(10, |b| b.attr(1, end));
            }
            match self.data {
                Data::None => {}
                Data::Value(value) => b.nested(2, |b| b.attr(1, value)),
                Data::Goto(chain) => b.nested(2, |b| put_verdict(b, &Verdict::Goto(chain.to_owned()))),
            }
            if let Some((timeout, left)) = self.timeout {
                b.u64(4, timeout);
                b.u64(5, left);
            }
            if let Some(comment) = self.comment {
                let comment = &comment.as_bytes()[..comment.len().min(126)];
                let mut note = vec![0, comment.len() as u8 + 1];
                note.extend_from_slice(comment);
                note.push(0);
                b.attr(6, &note);
            }
        });
    }
}

/// Writes a verdict as nf_tables data.
pub(super) fn put_verdict(b: &mut Buffer, verdict: &Verdict) {
    let (code, chain) = match verdict {
        Verdict::Drop => (0, None),
        Verdict::Accept => (1, None),
        Verdict::Jump(chain) => (-3, Some(chain)),
        Verdict::Goto(chain) => (-4, Some(chain)),
        Verdict::Return => (-5, None),
    };
    b.nested(2, |b| {
        b.u32(1, code as u32);
        if let Some(chain) = chain {
            b.str(2, chain);
        }
    });
}

fn type_number(fields: &[(u32, u32)]) -> u32 {
    fields.iter().fold(0, |number, (kind, _)| number << 6 | kind)
}

fn padded_len(fields: &[(u32, u32)]) -> u32 {
    match fields {
        [(_, len)] => *len,
        _ => fields.iter().map(|(_, len)| len.next_multiple_of(4)).sum(),
    }
}
