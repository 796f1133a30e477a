//! An EndpointSlice, cut down to what packets depend on.

use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use api_types::k8s::api::discovery::v1::EndpointSlice;
use nfnetlink::Family;

use super::Port;
use super::model::Protocol;

/// Label of an EndpointSlice with the name of its Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// What the proxy keeps of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Family of all its addresses.
    pub family: Family,
    ports: Vec<(Box<str>, Protocol, u16)>,
    endpoints: Vec<Endpoint>,
}

/// One endpoint of a slice. An absent condition counts as upstream counts it: ready and serving, not terminating.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Pod address.
    pub ip: IpAddr,
    /// Takes new connections.
    pub ready: bool,
    /// Could still take new connections.
    pub serving: bool,
    /// On its way out.
    pub terminating: bool,
    /// On this proxy's node.
    pub local: bool,
    /// Maybe on this proxy's node: nobody says where it is.
    pub unplaced: bool,
    /// Zones that should use it (KEP-2433).
    pub zones: Box<[Box<str>]>,
    /// Nodes that should use it (KEP-3015).
    pub nodes: Box<[Box<str>]>,
}

impl Slice {
    /// Cuts a slice down; gives the name of the Service with it. `None` when it belongs to no Service or holds names.
    pub fn of(slice: &EndpointSlice, node_name: &str) -> Option<(String, Self)> {
        let owner = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?.clone();
        let family = match slice.address_type.as_str() {
            "IPv4" => Family::V4,
            "IPv6" => Family::V6,
            _ => return None,
        };
        let ports = slice
            .ports
            .iter()
            .flatten()
            .filter_map(|port| {
                Some((
                    port.name.as_deref().unwrap_or("").into(),
                    Protocol::parse(port.protocol.as_deref().unwrap_or("TCP"))?,
                    u16::try_from(port.port?).ok()?,
                ))
            })
            .collect();
        let endpoints = slice.endpoints.iter().flatten().filter_map(|endpoint| {
            let conditions = endpoint.conditions.as_ref();
            let ready = conditions.and_then(|c| c.ready).unwrap_or(true);
            let hints = endpoint.hints.as_ref();
            let zones = hints.and_then(|hints| hints.for_zones.as_deref()).unwrap_or_default();
            let nodes = hints.and_then(|hints| hints.for_nodes.as_deref()).unwrap_or_default();
            Some(Endpoint {
                // All addresses of an endpoint are the same pod; the first one is used.
                ip: endpoint.addresses.first()?.parse().ok().filter(|ip| Family::of(*ip) == family)?,
                ready,
                serving: conditions.and_then(|c| c.serving).unwrap_or(ready),
                terminating: conditions.and_then(|c| c.terminating).unwrap_or(false),
                local: endpoint.node_name.as_deref() == Some(node_name),
                unplaced: endpoint.node_name.is_none(),
                zones: zones.iter().map(|zone| zone.name.as_str().into()).collect(),
                nodes: nodes.iter().map(|node| node.name.as_str().into()).collect(),
            })
        });
        Some((owner, Self { family, ports, endpoints: endpoints.collect() }))
    }

    /// The endpoints that serve a Service port, with the address that each listens on.
    pub fn endpoints_of<'a>(
        &'a self,
        port: &Port,
    ) -> impl Iterator<Item = (SocketAddr, &'a Endpoint)> + use<'a> {
        let target =
            self.ports.iter().find(|(name, protocol, _)| *name == port.name && *protocol == port.protocol);
        let number = target.map(|(_, _, number)| *number);
        let endpoints = if number.is_some() { self.endpoints.as_slice() } else { &[] };
        endpoints.iter().map(move |endpoint| (SocketAddr::new(endpoint.ip, number.unwrap_or(0)), endpoint))
    }
}

/// When the change that led to this version of the slice happened.
pub(super) fn trigger_time(slice: &EndpointSlice) -> Option<SystemTime> {
    let text = slice.metadata.annotations.as_ref()?.get(TRIGGER_TIME)?;
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}
