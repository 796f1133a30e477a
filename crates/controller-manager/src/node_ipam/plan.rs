//! Choosing a free range.

use crate::common::cidr::Cidr;

/// One cluster range, cut into node ranges that are given out in turn.
#[derive(Debug)]
pub(super) struct Pool {
    range: Cidr,
    prefix: u8,
    reserved: Vec<Cidr>,
    next: u128,
    /// Given out, but maybe not in the cache yet.
    recent: Vec<Cidr>,
}

/// How many recent choices are remembered besides what nodes are seen to have.
const RECENT: usize = 256;

impl Pool {
    /// `None` when no range of that size fits.
    pub(super) fn new(range: Cidr, prefix: u8, reserved: &[Cidr]) -> Option<Self> {
        range.subnet(prefix, 0)?;
        Some(Self { range, prefix, reserved: reserved.to_vec(), next: 0, recent: Vec::new() })
    }

    /// The next range that overlaps nothing in use; `None` when all are taken.
    pub(super) fn take(&mut self, used: &[Cidr]) -> Option<Cidr> {
        let total = self.range.subnets(self.prefix);
        let mut taken: Vec<Cidr> = used.iter().chain(&self.reserved).chain(&self.recent).copied().collect();
        taken.retain(|taken| taken.overlaps(&self.range));
        let mut fallback = None;
        for step in 0..total.min(1 << 20) {
            let index = (self.next + step) % total;
            let candidate = self.range.subnet(self.prefix, index)?;
            let free = !taken.iter().any(|taken| taken.overlaps(&candidate));
            if free {
                self.next = index + 1;
                self.recent.push(candidate);
                if self.recent.len() > RECENT {
                    self.recent.remove(0);
                }
                return Some(candidate);
            }
            // A range given to a node that is gone since may be used again, though not first.
            let only_recent = !used.iter().chain(&self.reserved).any(|taken| taken.overlaps(&candidate));
            if only_recent && fallback.is_none() {
                fallback = Some(candidate);
            }
        }
        fallback
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        Cidr::parse(text).unwrap()
    }

    #[test]
    fn ranges_are_given_once_and_come_back() {
        let mut pool = Pool::new(cidr("10.0.0.0/22"), 24, &[cidr("10.0.1.0/24")]).unwrap();
        let used = [cidr("10.0.2.0/24")];
        assert_eq!(pool.take(&used), Some(cidr("10.0.0.0/24")));
        assert_eq!(pool.take(&used), Some(cidr("10.0.3.0/24")));
        let all = [cidr("10.0.0.0/24"), cidr("10.0.2.0/24"), cidr("10.0.3.0/24")];
        assert_eq!(pool.take(&all), None);
        assert_eq!(pool.take(&all[1..]), Some(cidr("10.0.0.0/24")), "its node is gone");
        assert!(Pool::new(cidr("10.0.0.0/25"), 24, &[]).is_none());
    }
}
