//! Tracked connections: listing them and deleting those that lead nowhere any more.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;

use crate::wire::{ACK, Buffer, CONNTRACK, DUMP, REQUEST, find};
use crate::{Error, Family, Socket};

const GET: u16 = 1;
const DELETE: u16 = 2;

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Sender's port.
    pub source_port: u16,
    /// Receiver's port.
    pub destination_port: u16,
}

/// A tracked connection. After destination NAT, the reply's source is where the packets really go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// As the client sent it.
    pub original: Tuple,
    /// As the answers come back.
    pub reply: Tuple,
}

impl Socket {
    /// Hands each tracked connection of `protocol` to `each`.
    ///
    /// # Errors
    /// [`Error`] when the kernel refuses the dump.
    pub fn flows(&mut self, family: Family, protocol: u8, mut each: impl FnMut(Flow)) -> Result<(), Error> {
        self.request(
            "list tracked connections",
            |b, seq| b.message(CONNTRACK << 8 | GET, REQUEST | DUMP, seq, family.into(), |_| {}),
            |message| {
                let (mut original, mut reply) = (None, None);
                for (kind, payload) in message.attributes() {
                    match kind {
                        TUPLE_ORIGINAL => original = parse_tuple(payload),
                        TUPLE_REPLY => reply = parse_tuple(payload),
                        _ => {}
                    }
                }
                if let (Some(original), Some(reply)) = (original, reply)
                    && original.protocol == protocol
                {
                    each(Flow { original, reply });
                }
            },
        )
    }

    /// Forgets a connection. One that is gone already is no error.
    ///
    /// # Errors
    /// [`Error`] when the kernel refuses.
    pub fn delete_flow(&mut self, flow: &Flow) -> Result<(), Error> {
        let family = Family::of(flow.original.source);
        let outcome = self.request(
            "delete a tracked connection",
            |b, seq| {
                b.message(CONNTRACK << 8 | DELETE, REQUEST | ACK, seq, family.into(), |b| {
                    put_tuple(b, TUPLE_ORIGINAL, &flow.original);
                });
            },
            |_| {},
        );
        match outcome {
            Err(error) if error.is(Errno::ENOENT) => Ok(()),
            other => other,
        }
    }
}

fn put_tuple(b: &mut Buffer, kind: u16, tuple: &Tuple) {
    b.nested(kind, |b| {
        b.nested(1, |b| {
            put_address(b, 1, tuple.source);
            put_address(b, 2, tuple.destination);
        });
        b.nested(2, |b| {
            b.attr(1, &[tuple.protocol]);
            b.attr(2, &tuple.source_port.to_be_bytes());
            b.attr(3, &tuple.destination_port.to_be_bytes());
        });
    });
}

/// Attribute numbers of IPv6 addresses follow those of IPv4.
fn put_address(b: &mut Buffer, kind: u16, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => b.attr(kind, &ip.octets()),
        IpAddr::V6(ip) => b.attr(kind + 2, &ip.octets()),
    }
}

fn parse_tuple(bytes: &[u8]) -> Option<Tuple> {
    let addresses = find(bytes, 1)?;
    let address = |kind| {
        let v4 = find(addresses, kind).and_then(|b| b.first_chunk::<4>()).map(|b| Ipv4Addr::from(*b).into());
        let v6 = || {
            find(addresses, kind + 2).and_then(|b| b.first_chunk::<16>()).map(|b| Ipv6Addr::from(*b).into())
        };
        v4.or_else(v6)
    };
    let protocol = find(bytes, 2)?;
    let port =
        |kind| find(protocol, kind).and_then(|b| b.first_chunk::<2>()).map_or(0, |b| u16::from_be_bytes(*b));
    Some(Tuple {
        source: address(1)?,
        destination: address(2)?,
        protocol: *find(protocol, 1)?.first()?,
        source_port: port(2),
        destination_port: port(3),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuples_round_trip() {
        for (source, destination) in [("10.0.0.1", "10.96.0.10"), ("fd00::1", "fd00::a")] {
            let tuple = Tuple {
                source: source.parse().unwrap(),
                destination: destination.parse().unwrap(),
                protocol: 17,
                source_port: 4242,
                destination_port: 53,
            };
            let mut buffer = Buffer::default();
            put_tuple(&mut buffer, TUPLE_ORIGINAL, &tuple);
            assert_eq!(parse_tuple(find(&buffer.bytes, TUPLE_ORIGINAL).unwrap()), Some(tuple));
        }
    }
}
