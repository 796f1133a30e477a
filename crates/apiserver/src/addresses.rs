//! Addresses of this host and of the cluster's ranges.

use std::net::{IpAddr, UdpSocket};

/// The address from which packets to the outside world leave, without sending any.
pub fn outbound() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Connecting a datagram socket only chooses the route.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}

/// The first usable address of the first range: that of the `kubernetes` service.
pub fn first_of_range(ranges: &[String]) -> Option<IpAddr> {
    let (base, _) = ranges.first()?.split_once('/')?;
    match base.parse().ok()? {
        IpAddr::V4(base) => Some(IpAddr::V4((u32::from(base) + 1).into())),
        IpAddr::V6(base) => Some(IpAddr::V6((u128::from(base) + 1).into())),
    }
}
