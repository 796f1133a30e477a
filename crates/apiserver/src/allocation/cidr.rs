//! Ranges of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 or IPv6, as `spec.ipFamilies` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `IPv4`
    V4,
    /// `IPv6`
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// Reads `IPv4` or `IPv6`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "IPv4" => Some(Family::V4),
            "IPv6" => Some(Family::V6),
            _ => None,
        }
    }

    /// `IPv4` or `IPv6`.
    pub fn as_str(self) -> &'static str {
        match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Family::V4 => Family::V6,
            Family::V6 => Family::V4,
        }
    }
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    base: u128,
    /// Bits of the host part.
    host_bits: u32,
    family: Family,
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = if self.family == Family::V4 { 32 } else { 128 };
        write!(f, "{}/{}", self.at(0), width - self.host_bits)
    }
}

impl Cidr {
    /// Reads `10.96.0.0/16`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let (address, prefix): (IpAddr, u32) = (address.parse().ok()?, prefix.parse().ok()?);
        let (number, width) = match address {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
            IpAddr::V6(v6) => (u128::from(v6), 128),
        };
        let host_bits = u32::checked_sub(width, prefix)?;
        let base = if host_bits >= 128 { 0 } else { number >> host_bits << host_bits };
        Some(Cidr { base, host_bits, family: Family::of(address) })
    }

    /// The family of its addresses.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Whether the address may be given to a service: inside, and neither the first nor (IPv4) the last.
    pub fn contains(&self, ip: IpAddr) -> bool {
        if Family::of(ip) != self.family {
            return false;
        }
        let number = match ip {
            IpAddr::V4(v4) => u128::from(u32::from(v4)),
            IpAddr::V6(v6) => u128::from(v6),
        };
        number.checked_sub(self.base).is_some_and(|offset| (1..=self.last()).contains(&offset))
    }

    /// The greatest usable offset; offsets begin at 1. Ranges are used up to 2^48 addresses.
    pub fn last(&self) -> u128 {
        let size = 1u128 << self.host_bits.min(48);
        match self.family {
            Family::V4 => size.saturating_sub(2),
            Family::V6 => size - 1,
        }
    }

    /// The offset below which addresses are kept for services that ask for one (KEP-3070).
    pub fn reserved_below(&self) -> u128 {
        let size = self.last() + 1;
        match size {
            0..=16 => 0,
            size => (size / 16).clamp(16, 256),
        }
    }

    /// The address at an offset.
    pub fn at(&self, offset: u128) -> IpAddr {
        let number = self.base + offset;
        match self.family {
            // The base and the offset of an IPv4 range fit into 32 bits.
            Family::V4 => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let cidr = Cidr::parse("10.96.0.0/16").unwrap();
        assert_eq!(cidr.at(1).to_string(), "10.96.0.1");
        assert_eq!(cidr.at(cidr.last()).to_string(), "10.96.255.254");
        assert_eq!(cidr.reserved_below(), 256);
        assert!(cidr.contains("10.96.0.1".parse().unwrap()));
        assert!(!cidr.contains("10.96.0.0".parse().unwrap()));
        assert!(!cidr.contains("10.96.255.255".parse().unwrap()));
        assert!(!cidr.contains("10.97.0.1".parse().unwrap()));
        assert_eq!(Cidr::parse("fd00::/108").unwrap().at(1).to_string(), "fd00::1");
        assert_eq!(Cidr::parse("10.96.0.0/33"), None);
        assert_eq!(Cidr::parse("10.96.0.0"), None);
    }
}
