//! Address ranges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 or IPv6 range, such as `10.244.0.0/16`. The address is the first of the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// First address.
    pub address: IpAddr,
    /// Prefix length.
    pub prefix: u8,
}

impl Cidr {
    /// Reads `address/prefix`; host bits are cleared.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix: u8 = prefix.parse().ok()?;
        (prefix <= width(address)).then(|| Self { address, prefix }.masked())
    }

    /// The `index`-th range of length `prefix` inside this one; `None` beyond its end.
    pub fn subnet(&self, prefix: u8, index: u128) -> Option<Self> {
        if prefix < self.prefix || prefix > width(self.address) || index >= self.subnets(prefix) {
            return None;
        }
        let shift = width(self.address) - prefix;
        let offset = if shift >= 128 { 0 } else { index << shift };
        let address = from_bits(bits(self.address) + offset, self.address.is_ipv4());
        Some(Self { address, prefix })
    }

    /// How many ranges of length `prefix` fit.
    pub fn subnets(&self, prefix: u8) -> u128 {
        1u128.checked_shl(u32::from(prefix.saturating_sub(self.prefix))).unwrap_or(u128::MAX)
    }

    /// Which of this range's subnets of length `other.prefix` contains `other`.
    pub fn index_of(&self, other: &Self) -> Option<u128> {
        if !self.contains(other.address) || other.prefix < self.prefix {
            return None;
        }
        let shift = u32::from(width(self.address) - other.prefix);
        Some((bits(other.address) - bits(self.address)).checked_shr(shift).unwrap_or(0))
    }

    /// Whether an address lies inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && Self { address, prefix: self.prefix }.masked() == *self
    }

    /// Whether two ranges share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    fn masked(self) -> Self {
        let shift = u32::from(width(self.address) - self.prefix);
        let kept =
            bits(self.address).checked_shr(shift).and_then(|high| high.checked_shl(shift)).unwrap_or(0);
        Self { address: from_bits(kept, self.address.is_ipv4()), ..self }
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn from_bits(bits: u128, v4: bool) -> IpAddr {
    // The value came from an address of that family plus an offset inside its range, so it fits.
    if v4 { Ipv4Addr::from(bits as u32).into() } else { Ipv6Addr::from(bits).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_and_found_again() {
        let all = Cidr::parse("10.244.0.0/16").unwrap();
        let third = all.subnet(24, 2).unwrap();
        assert_eq!(third.to_string(), "10.244.2.0/24");
        assert_eq!(all.index_of(&third), Some(2));
        assert_eq!(all.subnets(24), 256);
        assert!(all.subnet(24, 256).is_none());
        assert!(all.overlaps(&third) && third.overlaps(&all));
        assert!(!third.overlaps(&all.subnet(24, 3).unwrap()));
        let six = Cidr::parse("fd00::/48").unwrap();
        assert_eq!(six.subnet(64, 1).unwrap().to_string(), "fd00:0:0:1::/64");
        assert!(Cidr::parse("10.0.0.0/33").is_none() && Cidr::parse("10.0.0.0").is_none());
    }
}
