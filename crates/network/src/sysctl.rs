//! Kernel parameters that pods' traffic needs.

use ipnet::IpNet;

/// A parameter that should be 1, why, and what to do when it is not there.
struct Setting {
    name: &'static str,
    why: &'static str,
    cure: &'static str,
}

const FORWARD_V4: Setting = Setting {
    name: "net/ipv4/ip_forward",
    why: "pods reach nothing beyond their node without it",
    cure: "set net.ipv4.ip_forward=1",
};
const FORWARD_V6: Setting = Setting {
    name: "net/ipv6/conf/all/forwarding",
    why: "pods reach nothing beyond their node over IPv6 without it",
    cure: "set net.ipv6.conf.all.forwarding=1",
};
const BRIDGE_V4: Setting = Setting {
    name: "net/bridge/bridge-nf-call-iptables",
    why: "answers between two pods of a node bypass the translation of Services without it",
    cure: "load the module: modprobe br_netfilter",
};
const BRIDGE_V6: Setting = Setting { name: "net/bridge/bridge-nf-call-ip6tables", ..BRIDGE_V4 };

/// Sets what the families of `ranges` need. What cannot be set is told with its cure; the rest of the network works without.
pub fn apply(ranges: &[IpNet]) {
    let has = |v4: bool| ranges.iter().any(|range| range.addr().is_ipv4() == v4);
    let v4 = [&FORWARD_V4, &BRIDGE_V4].into_iter().filter(|_| has(true));
    let v6 = [&FORWARD_V6, &BRIDGE_V6].into_iter().filter(|_| has(false));
    for setting in v4.chain(v6) {
        let path = format!("/proc/sys/{}", setting.name);
        let set = std::fs::read_to_string(&path).and_then(|present| match present.trim() {
            "1" => Ok(()),
            _ => std::fs::write(&path, "1"),
        });
        if let Err(error) = set {
            tracing::warn!(sysctl = setting.name, %error, why = setting.why, cure = setting.cure, "cannot set a kernel parameter");
        }
    }
}
