//! IP addresses and CIDR ranges.

use std::fmt;
use std::net::IpAddr;

use super::opaque::Opaque;
use super::{Outcome, Row, mismatch};
use crate::Error;
use crate::cost::Cost::{Text, TextTwice, Unit};
use crate::value::Value;

pub(super) const TABLE: &[Row] = &[
    ("ip(string): net.IP", Text, ip),
    ("isIP(string): bool", Text, is_ip),
    (":ip.isCanonical(string): bool", TextTwice, is_canonical),
    ("net.IP.family(): int", Unit, |a| of_ip(a, |ip| Value::Int(if ip.is_ipv4() { 4 } else { 6 }))),
    ("net.IP.isUnspecified(): bool", Unit, |a| of_ip(a, |ip| Value::Bool(ip.is_unspecified()))),
    ("net.IP.isLoopback(): bool", Unit, |a| of_ip(a, |ip| Value::Bool(ip.is_loopback()))),
    ("net.IP.isLinkLocalMulticast(): bool", Unit, |a| of_ip(a, |ip| Value::Bool(link_local_multicast(ip)))),
    ("net.IP.isLinkLocalUnicast(): bool", Unit, |a| of_ip(a, |ip| Value::Bool(link_local_unicast(ip)))),
    ("net.IP.isGlobalUnicast(): bool", Unit, |a| of_ip(a, |ip| Value::Bool(global_unicast(ip)))),
    ("cidr(string): net.CIDR", Text, cidr),
    ("isCIDR(string): bool", Text, is_cidr),
    ("net.CIDR.containsIP(string): bool", Text, contains_ip),
    ("net.CIDR.containsIP(net.IP): bool", Text, contains_ip),
    ("net.CIDR.containsCIDR(string): bool", Text, contains_cidr),
    ("net.CIDR.containsCIDR(net.CIDR): bool", Text, contains_cidr),
    ("net.CIDR.ip(): net.IP", Unit, |a| of_cidr(a, |c| Value::Opaque(Opaque::Ip(c.ip)))),
    ("net.CIDR.masked(): net.CIDR", Unit, |a| of_cidr(a, |c| Value::Opaque(Opaque::Cidr(c.masked())))),
    ("net.CIDR.prefixLength(): int", Unit, |a| of_cidr(a, |c| Value::Int(c.length.into()))),
];

/// An address with the length of its network's prefix; the bits after the prefix are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub(crate) ip: IpAddr,
    pub(crate) length: u8,
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.length)
    }
}

impl Cidr {
    fn network(self) -> Option<ipnet::IpNet> {
        ipnet::IpNet::new(self.ip, self.length).ok()
    }

    fn masked(self) -> Self {
        Self { ip: self.network().map_or(self.ip, |net| net.network()), ..self }
    }
}

fn read_ip(text: &str) -> Result<IpAddr, Error> {
    let fault = |why: &str| {
        Error::new(format!("IP Address {text:?} parse error during conversion from string: {why}"))
    };
    if text.contains('%') {
        return Err(Error::new(format!("IP address {text:?} with zone value is not allowed")));
    }
    match text.parse() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            Err(Error::new(format!("IPv4-mapped IPv6 address {text:?} is not allowed")))
        }
        Ok(ip) => Ok(ip),
        Err(_) => Err(fault(&format!("ParseAddr({text:?}): unable to parse IP"))),
    }
}

fn read_cidr(text: &str) -> Result<Cidr, Error> {
    let fault = |why: &str| {
        Error::new(format!(
            "network address parse error during conversion from string: netip.ParsePrefix({text:?}): {why}"
        ))
    };
    let (ip, length) = text.rsplit_once('/').ok_or_else(|| fault("no '/'"))?;
    if ip.contains('%') {
        return Err(Error::new(format!("CIDR {text:?} with zone value is not allowed")));
    }
    let address: IpAddr = ip.parse().map_err(|_| fault(&format!("ParseAddr({ip:?}): unable to parse IP")))?;
    if let IpAddr::V6(v6) = address
        && v6.to_ipv4_mapped().is_some()
    {
        return Err(Error::new(format!("IPv4-mapped IPv6 address {text:?} is not allowed")));
    }
    let plain = !length.is_empty()
        && length.bytes().all(|b| b.is_ascii_digit())
        && (length == "0" || !length.starts_with('0'));
    let bits: Option<u8> = if plain { length.parse().ok() } else { None };
    let most = if address.is_ipv4() { 32 } else { 128 };
    match bits {
        Some(bits) if bits <= most => Ok(Cidr { ip: address, length: bits }),
        Some(_) => Err(fault("prefix length out of range")),
        None => Err(fault(&format!("bad bits after slash: {length:?}"))),
    }
}

fn ip<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => read_ip(text).map(|ip| Value::Opaque(Opaque::Ip(ip))),
        _ => mismatch(),
    }
}

fn is_ip<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(read_ip(text).is_ok())),
        _ => mismatch(),
    }
}

fn is_canonical<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => read_ip(text).map(|ip| Value::Bool(ip.to_string() == **text)),
        _ => mismatch(),
    }
}

fn of_ip<'a>(args: &[Value<'a>], get: fn(&IpAddr) -> Value<'a>) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Ip(ip))] => Ok(get(ip)),
        _ => mismatch(),
    }
}

fn of_cidr<'a>(args: &[Value<'a>], get: fn(&Cidr) -> Value<'a>) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Cidr(cidr))] => Ok(get(cidr)),
        _ => mismatch(),
    }
}

fn link_local_multicast(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
    }
}

fn link_local_unicast(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn global_unicast(ip: &IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !(broadcast || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || link_local_unicast(ip))
}

fn cidr<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => read_cidr(text).map(|cidr| Value::Opaque(Opaque::Cidr(cidr))),
        _ => mismatch(),
    }
}

fn is_cidr<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(read_cidr(text).is_ok())),
        _ => mismatch(),
    }
}

fn contains_ip<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (cidr, ip) = match args {
        [Value::Opaque(Opaque::Cidr(cidr)), Value::String(text)] => (cidr, read_ip(text)?),
        [Value::Opaque(Opaque::Cidr(cidr)), Value::Opaque(Opaque::Ip(ip))] => (cidr, *ip),
        _ => return mismatch(),
    };
    Ok(Value::Bool(cidr.network().is_some_and(|net| net.contains(&ip))))
}

fn contains_cidr<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (cidr, other) = match args {
        [Value::Opaque(Opaque::Cidr(cidr)), Value::String(text)] => (cidr, read_cidr(text)?),
        [Value::Opaque(Opaque::Cidr(cidr)), Value::Opaque(Opaque::Cidr(other))] => (cidr, *other),
        _ => return mismatch(),
    };
    let contained = match (cidr.network(), other.network()) {
        (Some(net), Some(other)) => net.contains(&other),
        _ => false,
    };
    Ok(Value::Bool(contained))
}
