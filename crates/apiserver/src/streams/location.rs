//! Which host, port and path a connection leads to: decisions over objects, without I/O.

use std::net::IpAddr;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::http::query::Query;

/// Port of kubelets that do not say another.
pub const KUBELET_PORT: u16 = 10250;

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query.
    pub path: String,
}

impl Location {
    /// `HOST:PORT` for the Host header.
    pub fn authority(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

/// The container that a request means: the one named, or the only one.
///
/// # Errors
/// `BadRequest` when there are several, or none of that name.
pub fn container(pod: &Value, asked: &str) -> Result<String> {
    let names = |field: &str| {
        let list = pod["spec"][field].as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(|container| container["name"].as_str()).collect::<Vec<_>>()
    };
    let (main, init, ephemeral) =
        (names("containers"), names("initContainers"), names("ephemeralContainers"));
    let all: Vec<&str> = init.iter().chain(&main).chain(&ephemeral).copied().collect();
    let pod_name = pod["metadata"]["name"].as_str().unwrap_or_default();
    if !asked.is_empty() {
        return match all.contains(&asked) {
            true => Ok(asked.to_owned()),
            false => Err(Error::bad_request(format!("container {asked} is not valid for pod {pod_name}"))),
        };
    }
    let marked = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str();
    match (main.as_slice(), marked.filter(|name| all.contains(name))) {
        (_, Some(name)) => Ok(name.to_owned()),
        ([only], None) if all.len() == 1 => Ok((*only).to_owned()),
        _ => Err(Error::bad_request(format!(
            "a container name must be specified for pod {pod_name}, choose one of: [{}]",
            all.join(" ")
        ))),
    }
}

/// Host and port of a node's kubelet: the first address of the first kind in `preferred` that it has.
///
/// # Errors
/// `InternalError` when it has none of them.
pub fn kubelet(node: &Value, preferred: &[String]) -> Result<(String, u16)> {
    let addresses = node["status"]["addresses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_kind = |kind: &String| addresses.iter().find(|address| address["type"] == kind.as_str());
    let address = preferred.iter().find_map(of_kind).and_then(|address| address["address"].as_str());
    let address = address.ok_or_else(|| {
        let name = node["metadata"]["name"].as_str().unwrap_or_default();
        Error::internal(format!("node {name} has no address of the kinds {preferred:?} in its status"))
    })?;
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    Ok((address.to_owned(), port.unwrap_or(KUBELET_PORT)))
}

/// The kubelet's query for exec and attach, from the API's.
pub fn exec_query(query: &Query) -> String {
    let mut pairs: Vec<(&str, &str)> = query.all("command").map(|word| ("command", word)).collect();
    for (ours, theirs) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")] {
        if query.flag(ours) {
            pairs.push((theirs, "1"));
        }
    }
    encode_query(&pairs)
}

/// `?a=b&c=d`, or nothing.
pub fn encode_query(pairs: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (key, value) in pairs {
        out.push(if out.is_empty() { '?' } else { '&' });
        escape(key, &mut out);
        out.push('=');
        escape(value, &mut out);
    }
    out
}

/// Percent-encodes all but unreserved characters (RFC 3986, 2.3).
fn escape(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// `[SCHEME:]NAME[:PORT]`, as the name of a proxied object may be written.
pub fn split_name(text: &str) -> Option<(&str, &str, &str)> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [name] => Some(("", name, "")),
        [name, port] => Some(("", name, port)),
        [scheme @ ("" | "http" | "https"), name, port] => Some((scheme, name, port)),
        _ => None,
    }
}

/// Whether pods' and endpoints' addresses may be connected to: a proxy must not become a way to the server's own host.
///
/// # Errors
/// `BadRequest` for an address that is none, or is loopback, link-local, multicast or unspecified.
pub fn proxyable(address: &str) -> Result<IpAddr> {
    let refused = || Error::bad_request("address not allowed");
    let address: IpAddr = address.parse().map_err(|_| refused())?;
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let bad = address.is_loopback() || address.is_unspecified() || address.is_multicast() || link_local;
    if bad { Err(refused()) } else { Ok(address) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_only_container_needs_no_name() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}]}});
        assert_eq!(container(&pod, "").unwrap(), "a");
        assert_eq!(container(&pod, "b").unwrap_err().to_string(), "container b is not valid for pod p");
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}});
        assert_eq!(
            container(&pod, "").unwrap_err().to_string(),
            "a container name must be specified for pod p, choose one of: [i a b]"
        );
        assert_eq!(container(&pod, "i").unwrap(), "i");
    }

    #[test]
    fn kubelets_are_reached_at_the_preferred_address() {
        let node = json!({"status": {
            "addresses": [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "10.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10350}},
        }});
        let kinds = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
        assert_eq!(kubelet(&node, &kinds(&["InternalIP", "Hostname"])).unwrap(), ("10.0.0.1".into(), 10350));
        assert_eq!(kubelet(&node, &kinds(&["ExternalIP", "Hostname"])).unwrap().0, "n1");
        assert!(kubelet(&node, &kinds(&["ExternalIP"])).is_err());
    }

    #[test]
    fn exec_parameters_are_renamed() {
        let query =
            Query::parse("command=sh&command=-c&command=a%20b&stdin=true&stdout=1&stderr=false&container=x");
        assert_eq!(exec_query(&query), "?command=sh&command=-c&command=a%20b&input=1&output=1");
    }

    #[test]
    fn names_of_proxied_objects() {
        assert_eq!(split_name("web"), Some(("", "web", "")));
        assert_eq!(split_name("web:80"), Some(("", "web", "80")));
        assert_eq!(split_name("https:web:443"), Some(("https", "web", "443")));
        assert_eq!(split_name("ftp:web:21"), None);
    }

    #[test]
    fn addresses_of_the_host_itself_are_refused() {
        for address in ["", "127.0.0.1", "::1", "169.254.1.1", "0.0.0.0", "224.0.0.1", "localhost"] {
            assert!(proxyable(address).is_err(), "{address}");
        }
        assert!(proxyable("10.244.0.5").is_ok());
    }
}
