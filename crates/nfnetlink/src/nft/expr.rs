//! Rule expressions: the small machine that nftables runs per packet.

use super::batch::{Verdict, put_verdict};
use crate::Family;
use crate::wire::Buffer;

/// One of the sixteen 32-bit registers, counted from 0. Longer values take several in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reg(pub u8);

impl Reg {
    fn number(self) -> u32 {
        u32::from(self.0) + 8 // NFT_REG32_00
    }
}

/// A packet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// IP header.
    Network,
    /// TCP, UDP or SCTP header.
    Transport,
}

/// Packet metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaKey {
    /// `meta mark`, host byte order.
    Mark,
    /// `meta iifname`, 16 bytes.
    InputName,
    /// `meta l4proto`, one byte.
    L4Protocol,
}

/// Connection data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtKey {
    /// `ct state`, a bit set in host byte order.
    State,
    /// `ct status`, a bit set in host byte order.
    Status,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
}

/// Which address a routing lookup is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FibSide {
    /// Source.
    Source,
    /// Destination.
    Destination,
}

/// How a packet is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// ICMP or ICMPv6 port unreachable.
    PortUnreachable(Family),
    /// TCP reset; only for TCP packets.
    TcpReset,
}

/// One expression. A rule's expressions run in order until one says that the rule does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// Loads `len` bytes of a header.
    Payload {
        /// Which header.
        header: Header,
        /// First byte.
        offset: u32,
        /// Bytes.
        len: u32,
        /// Where to.
        dreg: Reg,
    },
    /// Loads metadata.
    Meta(MetaKey, Reg),
    /// Stores a register as metadata.
    SetMeta(MetaKey, Reg),
    /// Loads connection data.
    Ct(CtKey, Reg),
    /// Goes on only when the register compares so.
    Cmp(Cmp, Reg, Vec<u8>),
    /// `reg = (reg & mask) ^ xor`.
    Bitwise {
        /// The register, read and written.
        reg: Reg,
        /// Bits kept.
        mask: Vec<u8>,
        /// Bits flipped.
        xor: Vec<u8>,
    },
    /// Ends or leaves the rule.
    Verdict(Verdict),
    /// Goes on only when the key that begins at the register is in the set (or, inverted, is not).
    Contains {
        /// Set.
        set: String,
        /// Key.
        sreg: Reg,
        /// `!=`.
        invert: bool,
    },
    /// Loads the map's value for the key; does not match when there is none.
    Map {
        /// Map.
        map: String,
        /// Key.
        sreg: Reg,
        /// Where the value goes.
        dreg: Reg,
    },
    /// Takes the verdict that the map has for the key; goes on when there is none.
    VerdictMap {
        /// Map.
        map: String,
        /// Key.
        sreg: Reg,
    },
    /// Inserts key and value into a dynamic map, or renews the timeout of the key when it is there already, leaving its
    /// value as it is.
    Update {
        /// Map.
        map: String,
        /// Key.
        key: Reg,
        /// Value.
        value: Reg,
        /// Milliseconds until the entry goes.
        timeout: u64,
    },
    /// Loads a random number below `modulus`, host byte order.
    Random {
        /// Exclusive upper bound.
        modulus: u32,
        /// Where to.
        dreg: Reg,
    },
    /// Loads the type of an address, `RTN_LOCAL` (2) for this host's own.
    AddressType(FibSide, Reg),
    /// Destination NAT to address and port.
    Dnat {
        /// Family of the address.
        family: Family,
        /// Address.
        address: Reg,
        /// Port.
        port: Reg,
    },
    /// Masquerades, with fully random source ports when so asked.
    Masquerade {
        /// `fully-random`.
        random: bool,
    },
    /// Turns the packet away.
    Reject(Reject),
}

impl Expr {
    /// Writes the expression as one list element.
    pub(super) fn put(&self, buffer: &mut Buffer) {
        buffer.nested(1, |b| {
            b.str(1, self.name());
            b.nested(2, |b| self.put_data(b));
        });
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Payload { .. } => "payload",
            Self::Meta(..) | Self::SetMeta(..) => "meta",
            Self::Ct(..) => "ct",
            Self::Cmp(..) => "cmp",
            Self::Bitwise { .. } => "bitwise",
            Self::Verdict(_) => "immediate",
            Self::Contains { .. } | Self::Map { .. } | Self::VerdictMap { .. } => "lookup",
            Self::Update { .. } => "dynset",
            Self::Random { .. } => "numgen",
            Self::AddressType(..) => "fib",
            Self::Dnat { .. } => "nat",
            Self::Masquerade { .. } => "masq",
            Self::Reject(_) => "reject",
        }
    }

    fn put_data(&self, b: &mut Buffer) {
        match self {
            Self::Payload { header, offset, len, dreg } => {
                b.u32(1, dreg.number());
                b.u32(2, if *header == Header::Network { 1 } else { 2 });
                b.u32(3, *offset);
                b.u32(4, *len);
            }
            Self::Meta(key, dreg) => {
                b.u32(2, key.number());
                b.u32(1, dreg.number());
            }
            Self::SetMeta(key, sreg) => {
                b.u32(2, key.number());
                b.u32(3, sreg.number());
            }
            Self::Ct(key, dreg) => {
                b.u32(2, if *key == CtKey::State { 0 } else { 2 });
                b.u32(1, dreg.number());
            }
            Self::Cmp(op, sreg, value) => {
                b.u32(1, sreg.number());
                b.u32(2, u32::from(*op == Cmp::Ne));
                b.nested(3, |b| b.attr(1, value));
            }
            Self::Bitwise { reg, mask, xor } => {
                b.u32(1, reg.number());
                b.u32(2, reg.number());
                b.u32(3, mask.len() as u32);
                b.nested(4, |b| b.attr(1, mask));
                b.nested(5, |b| b.attr(1, xor));
            }
            Self::Verdict(verdict) => {
                b.u32(1, 0);
                b.nested(2, |b| put_verdict(b, verdict));
            }
            _ => self.put_stateful(b),
        }
    }

    /// Expressions that use a set, the routing table or NAT.
    fn put_stateful(&self, b: &mut Buffer) {
        match self {
            Self::Contains { set, sreg, invert } => {
                b.str(1, set);
                b.u32(2, sreg.number());
                if *invert {
                    b.u32(5, 1);
                }
            }
            Self::Map { map, sreg, dreg } => {
                b.str(1, map);
                b.u32(2, sreg.number());
                b.u32(3, dreg.number());
            }
            Self::VerdictMap { map, sreg } => {
                b.str(1, map);
                b.u32(2, sreg.number());
                b.u32(3, 0);
            }
            Self::Update { map, key, value, timeout } => {
                b.str(1, map);
                b.u32(3, 1);
                b.u32(4, key.number());
                b.u32(5, value.number());
                b.u64(6, *timeout);
            }
            Self::Random { modulus, dreg } => {
                b.u32(1, dreg.number());
                b.u32(2, *modulus);
                b.u32(3, 1);
                b.u32(4, 0);
            }
            Self::AddressType(side, dreg) => {
                b.u32(1, dreg.number());
                b.u32(2, 3);
                b.u32(3, if *side == FibSide::Source { 1 } else { 2 });
            }
            Self::Dnat { family, address, port } => {
                b.u32(1, 1);
                b.u32(2, u32::from(family.number()));
                b.u32(3, address.number());
                b.u32(5, port.number());
            }
            Self::Masquerade { random } => {
                if *random {
                    b.u32(1, 0x10);
                }
            }
            Self::Reject(Reject::PortUnreachable(family)) => {
                b.u32(1, 0);
                b.attr(2, &[if *family == Family::V4 { 3 } else { 4 }]);
            }
            Self::Reject(Reject::TcpReset) => {
                b.u32(1, 1);
                b.attr(2, &[0]);
            }
            _ => unreachable!("put_data writes the others"),
        }
    }
}

impl MetaKey {
    fn number(self) -> u32 {
        match self {
            Self::Mark => 3,
            Self::InputName => 6,
            Self::L4Protocol => 16,
        }
    }
}
