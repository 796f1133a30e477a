//! Routes in the kernel: ours are known by their protocol number, and no others are touched.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol,
};
use rtnetlink::{Handle, RouteMessageBuilder};

use crate::plan::{HostAddress, Route};

/// `proto` of our routes; not in /etc/iproute2/rt_protos.
pub const PROTOCOL: u8 = 213;

/// Why routes are not as they should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no netlink socket.
    #[error("cannot open a route netlink socket")]
    Open(#[source] std::io::Error),
    /// The kernel did not answer.
    #[error("cannot list {0}")]
    List(&'static str, #[source] Box<rtnetlink::Error>),
    /// A route was refused.
    #[error("cannot {action} the route to {} via {}", route.to, route.via)]
    Change {
        /// `add` or `delete`.
        action: &'static str,
        /// Which.
        route: Route,
        /// Why.
        source: Box<rtnetlink::Error>,
    },
}

/// A connection to the kernel's routing.
#[derive(Clone, Debug)]
pub struct Routes(Handle);

impl Routes {
    /// Connects, in the network namespace of the calling thread; needs a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn open() -> Result<Self, Error> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(Error::Open)?;
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// Addresses of this host but loopback's and those of the interface `except`.
    ///
    /// # Errors
    /// [`Error::List`].
    pub async fn host_addresses(&self, except: &str) -> Result<Vec<HostAddress>, Error> {
        let failed = |source| Error::List("the addresses of this host", Box::new(source));
        let skipped = self.interface(except).await?;
        let mut addresses = Vec::new();
        let mut messages = self.0.address().get().execute();
        while let Some(message) = messages.try_next().await.map_err(failed)? {
            if Some(message.header.index) == skipped {
                continue;
            }
            let find = |local: bool| {
                message.attributes.iter().find_map(|attribute| match attribute {
                    AddressAttribute::Local(ip) if local => Some(*ip),
                    AddressAttribute::Address(ip) if !local => Some(*ip),
                    _ => None,
                })
            };
            // On point-to-point links the address attribute is the peer's.
            let Some(ip) = find(true).or_else(|| find(false)) else { continue };
            if let Ok(network) = IpNet::new(ip, message.header.prefix_len)
                && !ip.is_loopback()
                && !is_link_local(ip)
            {
                addresses.push(HostAddress { interface: message.header.index, network });
            }
        }
        addresses.sort_unstable();
        Ok(addresses)
    }

    /// Number of an interface, `None` when there is none of that name.
    async fn interface(&self, name: &str) -> Result<Option<u32>, Error> {
        match self.0.link().get().match_name(name.to_owned()).execute().try_next().await {
            Ok(link) => Ok(link.map(|link| link.header.index)),
            Err(error) if is_errno(&error, nix::errno::Errno::ENODEV) => Ok(None),
            Err(source) => Err(Error::List("interfaces", Box::new(source))),
        }
    }

    /// Our routes in the main table.
    ///
    /// # Errors
    /// [`Error::List`].
    pub async fn present(&self) -> Result<BTreeSet<Route>, Error> {
        let mut routes = BTreeSet::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            let mut messages = self.0.route().get(request).execute();
            while let Some(message) =
                messages.try_next().await.map_err(|source| Error::List("routes", Box::new(source)))?
            {
                routes.extend(ours(&message));
            }
        }
        Ok(routes)
    }

    /// Adds a route.
    ///
    /// # Errors
    /// [`Error::Change`], also when a route of somebody else is there.
    pub async fn add(&self, route: Route) -> Result<(), Error> {
        let failed = |source| Error::Change { action: "add", route, source: Box::new(source) };
        self.0.route().add(message(route)?).execute().await.map_err(failed)
    }

    /// Deletes a route; one that is gone already is no error.
    ///
    /// # Errors
    /// [`Error::Change`].
    pub async fn delete(&self, route: Route) -> Result<(), Error> {
        match self.0.route().del(message(route)?).execute().await {
            Err(error) if is_errno(&error, nix::errno::Errno::ESRCH) => Ok(()),
            other => {
                other.map_err(|source| Error::Change { action: "delete", route, source: Box::new(source) })
            }
        }
    }
}

fn message(route: Route) -> Result<RouteMessage, Error> {
    let invalid =
        |_| Error::Change { action: "encode", route, source: Box::new(rtnetlink::Error::RequestFailed) };
    Ok(RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(route.to.network(), route.to.prefix_len())
        .map_err(invalid)?
        .gateway(route.via)
        .map_err(invalid)?
        .output_interface(route.interface)
        .protocol(RouteProtocol::Other(PROTOCOL))
        .build())
}

/// A route of ours, from the kernel's message.
fn ours(message: &RouteMessage) -> Option<Route> {
    if message.header.protocol != RouteProtocol::Other(PROTOCOL)
        || message.header.table != RouteHeader::RT_TABLE_MAIN
    {
        return None;
    }
    let (mut to, mut via, mut interface) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = ip(address),
            RouteAttribute::Gateway(address) => via = ip(address),
            RouteAttribute::Oif(index) => interface = Some(*index),
            _ => {}
        }
    }
    Some(Route {
        to: IpNet::new(to?, message.header.destination_prefix_length).ok()?,
        via: via?,
        interface: interface?,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

fn is_errno(error: &rtnetlink::Error, errno: nix::errno::Errno) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message) if message.raw_code().abs() == errno as i32)
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}
