//! `pods/NAME/proxy`, `services/NAME/proxy` and `nodes/NAME/proxy`: HTTP to what runs there.

use std::sync::Arc;

use http::header::LOCATION;
use http::{HeaderValue, Method, Response, StatusCode};
use rand::seq::IteratorRandom;
use serde_json::Value;

use super::dial::Identity;
use super::location::{self, Location};
use super::relay;
use crate::error::{Error, Result};
use crate::filters::Call;
use crate::http::body::{self, Body};
use crate::loopback::{Objects, Target};
use crate::server::Server;

/// Serves a proxied request.
///
/// # Errors
/// When the object does not exist, has no address that may be connected to, or cannot be reached.
pub async fn serve(server: &Arc<Server>, call: Call, plural: &str) -> Result<Response<Body>> {
    let (scheme, name, port) = location::split_name(&call.info.name).ok_or_else(|| {
        Error::bad_request(format!("invalid {} request {:?}", plural.trim_end_matches('s'), call.info.name))
    })?;
    let target =
        Target { group: "", resource: plural, namespace: &call.info.namespace, name, subresource: "" };
    let target = if plural == "nodes" { Target { namespace: "", ..target } } else { target };
    let object =
        Objects::get(&*server.registry, target).await?.ok_or_else(|| Error::not_found("", plural, name))?;
    let rest = rest_of(call.parts.uri.path());
    if rest.is_empty() && matches!(call.parts.method, Method::GET | Method::HEAD) {
        return redirect(&call);
    }
    let path = match call.parts.uri.query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    };
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    if plural == "nodes" {
        let (host, default) =
            location::kubelet(&object, &server.options.cluster.kubelet_preferred_address_types)?;
        let kubelet = port.is_empty() || port == default.to_string();
        let port = if kubelet { default } else { parse_port(port)? };
        let location = Location { tls: kubelet || scheme == "https", host, port, path };
        let identity = if kubelet { Identity::Kubelet(&server.options.cluster) } else { Identity::Anonymous };
        return relay::pass(call, &location, &identity).await;
    }
    let (host, port) = match plural {
        "pods" => pod_address(&object, port)?,
        _ => service_address(server, &call.info.namespace, name, &object, port).await?,
    };
    let location = Location { tls: scheme == "https", host, port, path };
    relay::pass(call, &location, &Identity::Anonymous).await
}

/// What follows `/proxy` in the path, as the client wrote it.
fn rest_of(path: &str) -> &str {
    path.find("/proxy").map_or("", |index| &path[index + "/proxy".len()..])
}

/// Relative links of a page only work below a path that ends with a slash.
fn redirect(call: &Call) -> Result<Response<Body>> {
    let query = call.parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let target =
        HeaderValue::from_str(&format!("{}/{query}", call.parts.uri.path())).map_err(Error::internal)?;
    response.headers_mut().insert(LOCATION, target);
    Ok(response)
}

fn parse_port(text: &str) -> Result<u16> {
    text.parse().map_err(|_| Error::bad_request(format!("invalid port {text:?}")))
}

/// The pod's address, and the port asked for or else the first that a container declares.
fn pod_address(pod: &Value, port: &str) -> Result<(String, u16)> {
    let address = location::proxyable(pod["status"]["podIP"].as_str().unwrap_or_default())?;
    if !port.is_empty() {
        return Ok((address.to_string(), parse_port(port)?));
    }
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let mut ports = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
    let first =
        ports.find_map(|port| port["containerPort"].as_u64()).and_then(|port| u16::try_from(port).ok());
    Ok((address.to_string(), first.unwrap_or(80)))
}

/// One ready endpoint of a service, by the port's name or number.
async fn service_address(
    server: &Server,
    namespace: &str,
    name: &str,
    service: &Value,
    port: &str,
) -> Result<(String, u16)> {
    let target = Target { group: "", resource: "endpoints", namespace, name, subresource: "" };
    // Without endpoints the service is not there for whoever wants to be connected to it.
    let endpoints = Objects::get(&*server.registry, target)
        .await?
        .ok_or_else(|| Error::not_found("", "services", name))?;
    let port_name = port_name(service, port).ok_or_else(|| {
        Error::service_unavailable(format!("no service port {port:?} found for service {name:?}"))
    })?;
    let none = || Error::service_unavailable(format!("no endpoints available for service {name:?}"));
    let mut candidates = Vec::new();
    for subset in endpoints["subsets"].as_array().into_iter().flatten() {
        let ports = subset["ports"].as_array().into_iter().flatten();
        let fitting = ports.filter(|port| port["name"].as_str().unwrap_or_default() == port_name);
        for number in
            fitting.filter_map(|port| port["port"].as_u64()).filter_map(|port| u16::try_from(port).ok())
        {
            let addresses = subset["addresses"].as_array().into_iter().flatten();
            candidates
                .extend(addresses.filter_map(|address| Some((address["ip"].as_str()?.to_owned(), number))));
        }
    }
    let (address, number) = candidates.into_iter().choose(&mut rand::rng()).ok_or_else(none)?;
    Ok((location::proxyable(&address)?.to_string(), number))
}

/// The name of a service's port, by which its endpoints list it; a port may be asked for by name or by number.
fn port_name<'a>(service: &'a Value, asked: &str) -> Option<&'a str> {
    let ports = service["spec"]["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = match (asked, ports) {
        ("", [only]) => only,
        _ => {
            let number = asked.parse::<u64>().ok();
            ports.iter().find(|port| {
                port["name"].as_str().unwrap_or_default() == asked
                    || number.is_some() && port["port"].as_u64() == number
            })?
        }
    };
    Some(found["name"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_by_name_number_or_none() {
        let service =
            json!({"spec": {"ports": [{"name": "http", "port": 80}, {"name": "admin", "port": 81}]}});
        assert_eq!(port_name(&service, "admin"), Some("admin"));
        assert_eq!(port_name(&service, "80"), Some("http"));
        assert_eq!(port_name(&service, ""), None);
        assert_eq!(port_name(&json!({"spec": {"ports": [{"port": 80}]}}), ""), Some(""));
    }

    #[test]
    fn what_follows_proxy_is_kept_as_written() {
        assert_eq!(rest_of("/api/v1/namespaces/a/pods/p/proxy/x%20y/"), "/x%20y/");
        assert_eq!(rest_of("/api/v1/namespaces/a/pods/p/proxy"), "");
    }

    #[test]
    fn a_pods_first_port_is_its_default() {
        let pod = json!({"status": {"podIP": "10.0.0.9"}, "spec": {"containers": [{"ports": [{"containerPort": 8080}]}]}});
        assert_eq!(pod_address(&pod, "").unwrap(), ("10.0.0.9".into(), 8080));
        assert_eq!(pod_address(&pod, "81").unwrap(), ("10.0.0.9".into(), 81));
        assert!(pod_address(&json!({}), "").is_err());
    }
}
