//! Rules in nftables' expressions: which registers hold what, and the few matches that all chains are made of.

use ipnet::IpNet;
use nfnetlink::Family;
use nfnetlink::nft::{Cmp, CtKey, Expr, FibSide, Header, MetaKey, Reg, Verdict};

use super::affinity::affinity_map;
use super::element::{ChainKey, put_address};
use crate::program::LocalDetector;

/// Bit of `ct state` for the first packet of a connection.
const STATE_NEW: u32 = 8;
/// Bit of `ct status` for a connection whose destination was translated (`IPS_DST_NAT`).
const STATUS_DNAT: u32 = 1 << 5;
/// `RTN_LOCAL`: an address of this host.
const LOCAL: u32 = 2;

/// Builds rules for one family. Registers from 0: client address, then the front end (address, protocol, port), then the
/// number of the backend, then the backend. Keys are runs of registers, so that one loading serves several look-ups.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Family of the table.
    pub family: Family,
}

/// What stands for the destination address in a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The packet's.
    Packet,
    /// The unspecified address, for node ports.
    NodePort,
}

impl Rules {
    /// Registers that an address takes.
    fn words(self) -> u8 {
        (self.family.address_len() / 4) as u8
    }

    fn client(self) -> Reg {
        Reg(0)
    }

    fn frontend(self) -> Reg {
        Reg(self.words())
    }

    fn number(self) -> Reg {
        Reg(2 * self.words() + 2)
    }

    fn backend(self) -> Reg {
        Reg(2 * self.words() + 3)
    }

    fn load_source(self, dreg: Reg) -> Expr {
        let offset = if self.family == Family::V4 { 12 } else { 8 };
        Expr::Payload { header: Header::Network, offset, len: self.family.address_len() as u32, dreg }
    }

    fn load_destination(self, dreg: Reg) -> Expr {
        let offset = if self.family == Family::V4 { 16 } else { 24 };
        Expr::Payload { header: Header::Network, offset, len: self.family.address_len() as u32, dreg }
    }

    /// Loads the front end that the packet is for.
    pub fn load_frontend(self, destination: Destination) -> Vec<Expr> {
        let at = self.frontend().0;
        let mut loads = vec![self.load_destination(Reg(at))];
        if destination == Destination::NodePort {
            // Masked to nothing rather than loaded as a constant, which `nft list` cannot name.
            let zero = vec![0; self.family.address_len()];
            loads.push(Expr::Bitwise { reg: Reg(at), mask: zero.clone(), xor: zero });
        }
        let at = at + self.words();
        loads.push(Expr::Meta(MetaKey::L4Protocol, Reg(at)));
        loads.push(Expr::Payload { header: Header::Transport, offset: 2, len: 2, dreg: Reg(at + 1) });
        loads
    }

    /// The front end is in `set`.
    pub fn frontend_in(self, destination: Destination, set: &str) -> Vec<Expr> {
        let mut rule = self.load_frontend(destination);
        rule.push(Expr::Contains { set: set.to_owned(), sreg: self.frontend(), invert: false });
        rule
    }

    /// The front end's verdict in `map`.
    pub fn frontend_verdict(self, destination: Destination, map: &str) -> Vec<Expr> {
        let mut rule = self.load_frontend(destination);
        rule.push(Expr::VerdictMap { map: map.to_owned(), sreg: self.frontend() });
        rule
    }

    /// The front end is in `guarded`, and it with the client is not in `admitted`.
    pub fn not_admitted(self, guarded: &str, admitted: &str) -> Vec<Expr> {
        let mut rule = self.frontend_in(Destination::Packet, guarded);
        rule.extend(self.load_frontend(Destination::Packet));
        rule.push(self.load_source(self.number()));
        rule.push(Expr::Contains { set: admitted.to_owned(), sreg: self.frontend(), invert: true });
        rule
    }

    /// The destination address is in `set`.
    pub fn destination_in(self, set: &str) -> Vec<Expr> {
        vec![
            self.load_destination(Reg(0)),
            Expr::Contains { set: set.to_owned(), sreg: Reg(0), invert: false },
        ]
    }

    /// Source and destination together are in `set`.
    pub fn pair_in(self, set: &str) -> Vec<Expr> {
        vec![
            self.load_source(Reg(0)),
            self.load_destination(Reg(self.words())),
            Expr::Contains { set: set.to_owned(), sreg: Reg(0), invert: false },
        ]
    }

    /// The destination is an address of this host, loopback excepted.
    pub fn to_this_host(self) -> Vec<Expr> {
        let mut rule = vec![
            Expr::AddressType(FibSide::Destination, Reg(0)),
            Expr::Cmp(Cmp::Eq, Reg(0), LOCAL.to_ne_bytes().to_vec()),
        ];
        match self.family {
            Family::V4 => {
                rule.push(Expr::Payload { header: Header::Network, offset: 16, len: 1, dreg: Reg(0) });
                rule.push(Expr::Cmp(Cmp::Ne, Reg(0), vec![127]));
            }
            Family::V6 => {
                rule.push(self.load_destination(Reg(0)));
                let loopback = std::net::Ipv6Addr::LOCALHOST;
                rule.push(Expr::Cmp(Cmp::Ne, Reg(0), loopback.octets().to_vec()));
            }
        }
        rule
    }

    /// The source is (or is not) an address of this host.
    pub fn source_is_host(self, cmp: Cmp) -> Vec<Expr> {
        vec![Expr::AddressType(FibSide::Source, Reg(0)), Expr::Cmp(cmp, Reg(0), LOCAL.to_ne_bytes().to_vec())]
    }

    /// The source is not local; `None` when the detector cannot tell.
    pub fn source_elsewhere(self, local: &LocalDetector) -> Option<Vec<Expr>> {
        match local {
            LocalDetector::None => None,
            LocalDetector::Ranges(ranges) => {
                let ours = ranges.iter().filter(|range| Family::of(range.addr()) == self.family);
                let rule: Vec<Expr> = ours.flat_map(|range| self.source_outside(range)).collect();
                (!rule.is_empty()).then_some(rule)
            }
            LocalDetector::Bridge(name) => {
                let mut padded = name.as_bytes().to_vec();
                padded.resize(16, 0);
                Some(vec![Expr::Meta(MetaKey::InputName, Reg(0)), Expr::Cmp(Cmp::Ne, Reg(0), padded)])
            }
            LocalDetector::InterfacePrefix(prefix) => {
                let prefix = prefix.as_bytes().to_vec();
                Some(vec![Expr::Meta(MetaKey::InputName, Reg(0)), Expr::Cmp(Cmp::Ne, Reg(0), prefix)])
            }
        }
    }

    fn source_outside(self, range: &IpNet) -> Vec<Expr> {
        let mask = self.address_bytes(range.netmask());
        let xor = vec![0; mask.len()];
        vec![
            self.load_source(Reg(0)),
            Expr::Bitwise { reg: Reg(0), mask, xor },
            Expr::Cmp(Cmp::Ne, Reg(0), self.address_bytes(range.network())),
        ]
    }

    /// The first packet of a connection.
    pub fn new_connection(self) -> Vec<Expr> {
        self.connection_has(CtKey::State, STATE_NEW)
    }

    /// The connection was sent to a backend.
    pub fn sent_to_backend(self) -> Vec<Expr> {
        self.connection_has(CtKey::Status, STATUS_DNAT)
    }

    fn connection_has(self, key: CtKey, bit: u32) -> Vec<Expr> {
        vec![
            Expr::Ct(key, Reg(0)),
            Expr::Bitwise { reg: Reg(0), mask: bit.to_ne_bytes().to_vec(), xor: vec![0; 4] },
            Expr::Cmp(Cmp::Ne, Reg(0), vec![0; 4]),
        ]
    }

    /// The packet's mark has `bit`.
    pub fn marked(self, bit: u32) -> Vec<Expr> {
        vec![
            Expr::Meta(MetaKey::Mark, Reg(0)),
            Expr::Bitwise { reg: Reg(0), mask: bit.to_ne_bytes().to_vec(), xor: vec![0; 4] },
            Expr::Cmp(Cmp::Ne, Reg(0), vec![0; 4]),
        ]
    }

    /// Sets (or, where it is set, clears) `bit` of the packet's mark.
    pub fn set_mark(self, bit: u32, on: bool) -> Vec<Expr> {
        let mask = if on { !bit } else { u32::MAX };
        vec![
            Expr::Meta(MetaKey::Mark, Reg(0)),
            Expr::Bitwise { reg: Reg(0), mask: mask.to_ne_bytes().to_vec(), xor: bit.to_ne_bytes().to_vec() },
            Expr::SetMeta(MetaKey::Mark, Reg(0)),
        ]
    }

    /// The rules of a chain that chooses a backend.
    ///
    /// With affinity, the first rule notes a random number for a client that has none yet, or renews the client's time; the
    /// second sends the client to the backend of its number. The last is also what remains when the map of notes is full.
    pub fn choose_backend(self, key: &ChainKey) -> Vec<Vec<Expr>> {
        let destination = if key.node_port { Destination::NodePort } else { Destination::Packet };
        let random = Expr::Random { modulus: key.count, dreg: self.number() };
        let endpoints = if key.local { "local-endpoints" } else { "endpoints" };
        let go = [
            Expr::Map { map: endpoints.to_owned(), sreg: self.frontend(), dreg: self.backend() },
            Expr::Dnat {
                family: self.family,
                address: self.backend(),
                port: Reg(self.backend().0 + self.words()),
            },
        ];
        let frontend = self.load_frontend(destination);
        let plain = [&frontend[..], std::slice::from_ref(&random), &go].concat();
        let Some(seconds) = key.affinity else { return vec![plain] };
        let map = affinity_map(key.local).to_owned();
        let client = [self.load_source(self.client())];
        let timeout = u64::from(seconds) * 1000;
        let note = Expr::Update { map: map.clone(), key: self.client(), value: self.number(), timeout };
        // By way of the mark, which gets its value back at once: nft 1.0.6 aborts on `nft list` where a map's value is part
        // of another map's key.
        let spare = Reg(15);
        let noted = [
            Expr::Map { map, sreg: self.client(), dreg: self.number() },
            Expr::Meta(MetaKey::Mark, spare),
            Expr::SetMeta(MetaKey::Mark, self.number()),
            Expr::Meta(MetaKey::Mark, self.number()),
            Expr::SetMeta(MetaKey::Mark, spare),
        ];
        vec![
            [&client[..], &frontend, &[random, note]].concat(),
            [&client[..], &frontend, &noted, &go].concat(),
            plain,
        ]
    }

    fn address_bytes(self, ip: std::net::IpAddr) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16);
        put_address(&mut bytes, ip);
        bytes
    }
}

/// `conditions`, then a jump.
pub fn jump(mut conditions: Vec<Expr>, chain: &str) -> Vec<Expr> {
    conditions.push(Expr::Verdict(Verdict::Jump(chain.to_owned())));
    conditions
}
