//! The netlink socket: transactions, requests and dumps.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, setsockopt,
    socket, sockopt,
};

use crate::nft::Batch;
use crate::wire::{self, Buffer, Message};

/// Room for one receive; the kernel fills at most 32 KiB per dump message, and echoes a failed message in its error.
const RECEIVE: usize = 128 * 1024;

/// Why the kernel did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no socket to speak through.
    #[error("cannot open a netfilter netlink socket")]
    Open(#[source] io::Error),
    /// Sending or receiving failed.
    #[error("cannot {0} netfilter messages")]
    Transfer(&'static str, #[source] io::Error),
    /// The transaction was refused as a whole; nothing of it is in effect.
    #[error("the kernel refused the nftables transaction at {operation}")]
    Refused {
        /// The first operation that failed.
        operation: String,
        /// Why.
        source: io::Error,
    },
    /// A request outside a transaction was refused.
    #[error("the kernel refused to {0}")]
    Request(&'static str, #[source] io::Error),
}

impl Error {
    /// Whether the kernel's answer was `errno`.
    pub fn is(&self, errno: Errno) -> bool {
        let (Self::Open(source)
        | Self::Transfer(_, source)
        | Self::Refused { source, .. }
        | Self::Request(_, source)) = self;
        source.raw_os_error() == Some(errno as i32)
    }
}

/// A netfilter netlink socket. Calls block for as long as the kernel works: under a millisecond for a small transaction,
/// some hundred for one of 100,000 elements.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    seq: u32,
    send_room: usize,
    received: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`Error::Open`], without privilege for example.
    pub fn open() -> Result<Self, Error> {
        let open = || {
            let fd = socket(
                AddressFamily::Netlink,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                SockProtocol::NetlinkNetFilter,
            )?;
            bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
            Ok(fd)
        };
        let fd = open().map_err(|errno: Errno| Error::Open(errno.into()))?;
        Ok(Self { fd, seq: 0, send_room: 0, received: vec![0; RECEIVE] })
    }

    /// Does all of `batch`, or nothing.
    ///
    /// # Errors
    /// [`Error::Refused`] names the operation; [`Error::Transfer`] is about the socket itself.
    pub fn commit(&mut self, batch: Batch) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let (bytes, outline) = batch.finish();
        self.send(&bytes)?;
        // The kernel has done the whole batch when send returns, so what it has to say is there already.
        let mut refused = None;
        while let Some(len) = self.receive(MsgFlags::MSG_DONTWAIT)? {
            for message in wire::messages(&self.received[..len]) {
                if message.kind == wire::ERROR && message.errno() != 0 && refused.is_none() {
                    refused = Some(Error::Refused {
                        operation: outline.describe(message.seq),
                        source: io::Error::from_raw_os_error(message.errno()),
                    });
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Sends one request that `build` writes with the sequence number it is given, and hands each answer to `each`.
    pub(crate) fn request(
        &mut self,
        what: &'static str,
        build: impl FnOnce(&mut Buffer, u32),
        mut each: impl FnMut(Message<'_>),
    ) -> Result<(), Error> {
        self.seq = self.seq.wrapping_add(1);
        let seq = self.seq;
        let mut buffer = Buffer::default();
        build(&mut buffer, seq);
        self.send(&buffer.bytes)?;
        loop {
            let Some(len) = self.receive(MsgFlags::empty())? else { continue };
            for message in wire::messages(&self.received[..len]).filter(|message| message.seq == seq) {
                match message.kind {
                    wire::ERROR | wire::DONE if message.errno() != 0 => {
                        return Err(Error::Request(what, io::Error::from_raw_os_error(message.errno())));
                    }
                    wire::ERROR | wire::DONE => return Ok(()),
                    _ => each(message),
                }
            }
        }
    }

    /// One netlink message batch must fit into the send buffer as a whole.
    fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let failed = |errno: Errno| Error::Transfer("send", errno.into());
        let room = bytes.len() + 4096;
        if room > self.send_room.max(100 * 1024) {
            // Forcing needs CAP_NET_ADMIN in the first user namespace; elsewhere the plain limit has to do.
            setsockopt(&self.fd, sockopt::SndBufForce, &room)
                .or_else(|_| setsockopt(&self.fd, sockopt::SndBuf, &room))
                .map_err(failed)?;
            self.send_room = room;
        }
        sendto(self.fd.as_raw_fd(), bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty()).map_err(failed)?;
        Ok(())
    }

    /// Bytes received, or `None` when there is nothing to read now.
    fn receive(&mut self, flags: MsgFlags) -> Result<Option<usize>, Error> {
        loop {
            match recv(self.fd.as_raw_fd(), &mut self.received, flags) {
                Ok(len) => return Ok(Some(len)),
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::Transfer("receive", errno.into())),
            }
        }
    }
}
