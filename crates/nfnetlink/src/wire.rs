//! Netlink messages as bytes: building with nested attributes, and walking what comes back.

use crate::Family;

/// `NFNL_SUBSYS_NFTABLES`.
pub(crate) const NFTABLES: u16 = 10;
/// `NFNL_SUBSYS_CTNETLINK`.
pub(crate) const CONNTRACK: u16 = 1;

/// `NLM_F_REQUEST`.
pub(crate) const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`.
pub(crate) const ACK: u16 = 0x4;
/// `NLM_F_DUMP`.
pub(crate) const DUMP: u16 = 0x300;
/// `NLM_F_CREATE`.
pub(crate) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`.
pub(crate) const APPEND: u16 = 0x800;

/// `NLMSG_ERROR`.
pub(crate) const ERROR: u16 = 2;
/// `NLMSG_DONE`.
pub(crate) const DONE: u16 = 3;

const HEADER: usize = 16;
const NESTED: u16 = 0x8000;

/// Messages being built, one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
}

impl Buffer {
    /// Appends one message: netlink header, `nfgenmsg`, and the attributes that `body` writes.
    pub(crate) fn message(
        &mut self,
        kind: u16,
        flags: u16,
        seq: u32,
        head: GenericHeader,
        body: impl FnOnce(&mut Self),
    ) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&seq.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&[head.family, 0]);
        self.bytes.extend_from_slice(&head.resource.to_be_bytes());
        body(self);
        let len = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&len.to_ne_bytes());
    }

    /// An attribute with `payload`, padded to four bytes.
    pub(crate) fn attr(&mut self, kind: u16, payload: &[u8]) {
        let len = (4 + payload.len()) as u16;
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(payload);
        self.pad();
    }

    /// A big-endian 32-bit number, as all of nf_tables uses.
    pub(crate) fn u32(&mut self, kind: u16, value: u32) {
        self.attr(kind, &value.to_be_bytes());
    }

    /// A big-endian 64-bit number.
    pub(crate) fn u64(&mut self, kind: u16, value: u64) {
        self.attr(kind, &value.to_be_bytes());
    }

    /// A NUL-terminated string.
    pub(crate) fn str(&mut self, kind: u16, value: &str) {
        let len = (4 + value.len() + 1) as u16;
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.pad();
    }

    /// An attribute that holds the attributes that `body` writes. The kernel counts its length in 16 bits.
    pub(crate) fn nested(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        body(self);
        let len = self.bytes.len() - start;
        debug_assert!(len <= usize::from(u16::MAX), "a nested attribute of {len} bytes");
        self.bytes[start..start + 2].copy_from_slice(&(len as u16).to_ne_bytes());
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

/// `struct nfgenmsg`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GenericHeader {
    family: u8,
    resource: u16,
}

impl From<Family> for GenericHeader {
    fn from(family: Family) -> Self {
        Self { family: family.number(), resource: 0 }
    }
}

impl GenericHeader {
    /// The header of a batch delimiter, which names the subsystem.
    pub(crate) const fn batch() -> Self {
        Self { family: 0, resource: NFTABLES }
    }
}

/// A message read back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) seq: u32,
    payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes behind `nfgenmsg`.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        attributes(self.payload.get(4..).unwrap_or_default())
    }

    /// The error number of an `NLMSG_ERROR` (0 acknowledges) or `NLMSG_DONE`, positive.
    pub(crate) fn errno(&self) -> i32 {
        let code = self.payload.first_chunk::<4>().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
        code.saturating_neg()
    }
}

/// Splits what one receive gave into messages; stops at the first that is cut short.
pub(crate) fn messages(bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header: &[u8; HEADER] = rest.first_chunk()?;
        let len = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let payload = rest.get(HEADER..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Message {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            seq: u32::from_ne_bytes([header[8], header[9], header[10], header[11]]),
            payload,
        })
    })
}

/// Walks attributes; kinds come without the nested and byte-order flags.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header: &[u8; 4] = rest.first_chunk()?;
        let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let payload = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([header[2], header[3]]) & 0x3fff, payload))
    })
}

/// The payload of the first attribute `kind`.
pub(crate) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(k, _)| *k == kind).map(|(_, payload)| payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote() {
        let mut buffer = Buffer::default();
        buffer.message(0xa00, REQUEST, 7, Family::V4.into(), |b| {
            b.str(1, "kube-proxy");
            b.nested(2, |b| b.u32(3, 0x4000));
        });
        buffer.message(0xa01, REQUEST, 8, Family::V6.into(), |_| {});
        let read: Vec<_> = messages(&buffer.bytes).collect();
        assert_eq!(read.iter().map(|m| (m.kind, m.seq)).collect::<Vec<_>>(), [(0xa00, 7), (0xa01, 8)]);
        let attrs: Vec<_> = read[0].attributes().collect();
        assert_eq!(attrs[0], (1, &b"kube-proxy\0"[..]));
        assert_eq!(find(attrs[1].1, 3), Some(&[0, 0, 0x40, 0][..]));
    }

    #[test]
    fn stops_at_cut_messages() {
        let mut buffer = Buffer::default();
        buffer.message(1, 0, 1, Family::V4.into(), |b| b.u32(1, 1));
        assert_eq!(messages(&buffer.bytes[..buffer.bytes.len() - 1]).count(), 0);
        assert_eq!(attributes(&[9, 0, 1, 0, 1]).count(), 0);
    }
}
