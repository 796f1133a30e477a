//! The address behind a service: its cluster IP, or one of its ready endpoints.

use std::net::SocketAddr;
use std::sync::Weak;

use api_types::field::quote;
use async_trait::async_trait;
use rand::seq::IteratorRandom as _;
use serde_json::Value;

use crate::admission::Reader;

/// Finds host and port of a service's port.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// Host and port to connect to.
    ///
    /// # Errors
    /// Why there is none, as the client of an extension reads it.
    async fn resolve(&self, namespace: &str, name: &str, port: u16) -> Result<(String, u16), String>;
}

/// Resolves services from the server's own cache.
pub struct Resolver {
    /// The objects.
    pub objects: Weak<dyn Reader>,
    /// `--enable-aggregator-routing`: endpoints instead of cluster IPs.
    pub by_endpoint: bool,
    /// Where `kubernetes.default` is: this server itself.
    pub own: SocketAddr,
}

#[async_trait]
impl Resolve for Resolver {
    async fn resolve(&self, namespace: &str, name: &str, port: u16) -> Result<(String, u16), String> {
        if (namespace, name, port) == ("default", "kubernetes", 443) {
            return Ok((self.own.ip().to_string(), self.own.port()));
        }
        let objects = self.objects.upgrade().ok_or("the server is stopping")?;
        let service = objects.get("", "services", namespace, name, false).await;
        let service = service.map_err(|error| error.to_string())?;
        let service = service.ok_or_else(|| format!("service {} not found", quote(name)))?;
        let service: Value = serde_json::from_slice(&service).map_err(|error| error.to_string())?;
        if !self.by_endpoint {
            return by_cluster_ip(name, &service, port);
        }
        let slices = objects.list("discovery.k8s.io", "endpointslices", namespace).await;
        let slices = slices.map_err(|error| error.to_string())?;
        // The bytes are searched first: parsing every slice of a namespace for one service would cost too much.
        let slices = slices.iter().filter(|json| contains(json, name.as_bytes()));
        let slices: Vec<Value> = slices.filter_map(|json| serde_json::from_slice(json).ok()).collect();
        by_endpoint(name, &service, &slices, port)
    }
}

/// For destinations that are URLs: finds no service.
pub struct NoServices;

#[async_trait]
impl Resolve for NoServices {
    async fn resolve(&self, _: &str, name: &str, _: u16) -> Result<(String, u16), String> {
        Err(format!("service {} not found", quote(name)))
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}

fn by_cluster_ip(name: &str, service: &Value, port: u16) -> Result<(String, u16), String> {
    let spec = &service["spec"];
    let cluster_ip = spec["clusterIP"].as_str().unwrap_or_default();
    match spec["type"].as_str().unwrap_or("ClusterIP") {
        "ExternalName" => Ok((spec["externalName"].as_str().unwrap_or_default().to_owned(), port)),
        "ClusterIP" if cluster_ip == "None" => {
            Err("cannot route to service with ClusterIP \"None\"".to_owned())
        }
        "ClusterIP" | "NodePort" | "LoadBalancer" => {
            service_port(name, service, port)?;
            Ok((cluster_ip.to_owned(), port))
        }
        other => Err(format!("unsupported service type {}", quote(other))),
    }
}

fn by_endpoint(name: &str, service: &Value, slices: &[Value], port: u16) -> Result<(String, u16), String> {
    if service["spec"]["type"] == "ExternalName" {
        return by_cluster_ip(name, service, port);
    }
    let port_name = service_port(name, service, port)?["name"].as_str().unwrap_or_default();
    let mut candidates = Vec::new();
    for slice in slices {
        if slice["metadata"]["labels"]["kubernetes.io/service-name"] != name {
            continue;
        }
        let mut ports = slice["ports"].as_array().into_iter().flatten();
        let Some(number) = ports
            .find(|port| port["name"].as_str().unwrap_or_default() == port_name)
            .and_then(|port| u16::try_from(port["port"].as_u64()?).ok())
        else {
            continue;
        };
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            if endpoint["conditions"]["ready"].as_bool().unwrap_or(true)
                && let Some(address) = endpoint["addresses"][0].as_str()
            {
                candidates.push((address.to_owned(), number));
            }
        }
    }
    let chosen = candidates.into_iter().choose(&mut rand::rng());
    chosen.ok_or_else(|| format!("no endpoints available for service {}", quote(name)))
}

fn service_port<'a>(name: &str, service: &'a Value, port: u16) -> Result<&'a Value, String> {
    let mut ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let found = ports.find(|candidate| candidate["port"] == u64::from(port));
    found.ok_or_else(|| format!("no service port {port} found for service {}", quote(name)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn services_lead_to_addresses() {
        let spec = |spec: Value| json!({"spec": spec});
        let ports = json!([{"port": 443, "name": "https"}]);
        for (service, port, wanted) in [
            (json!({"clusterIP": "10.0.0.5", "ports": ports}), 443, Ok("10.0.0.5")),
            (json!({"clusterIP": "10.0.0.5", "ports": ports, "type": "NodePort"}), 443, Ok("10.0.0.5")),
            (json!({"type": "ExternalName", "externalName": "a.b"}), 8443, Ok("a.b")),
            (
                json!({"clusterIP": "None", "ports": ports}),
                443,
                Err("cannot route to service with ClusterIP \"None\""),
            ),
            (
                json!({"clusterIP": "10.0.0.5", "ports": ports}),
                80,
                Err("no service port 80 found for service \"s\""),
            ),
        ] {
            let found = by_cluster_ip("s", &spec(service), port);
            let wanted = wanted.map(|host| (host.to_owned(), port)).map_err(str::to_owned);
            assert_eq!(found, wanted);
        }
    }

    #[test]
    fn only_ready_endpoints_of_the_service_are_used() {
        let service = json!({"spec": {"ports": [{"port": 443, "name": "https"}]}});
        let slice = |name: &str, ready: bool| {
            json!({
                "metadata": {"labels": {"kubernetes.io/service-name": name}},
                "ports": [{"name": "https", "port": 8443}],
                "endpoints": [{"addresses": ["10.1.0.1"], "conditions": {"ready": ready}}],
            })
        };
        let found = |slices: &[Value]| by_endpoint("s", &service, slices, 443);
        assert_eq!(found(&[slice("other", true), slice("s", true)]), Ok(("10.1.0.1".to_owned(), 8443)));
        let none = Err("no endpoints available for service \"s\"".to_owned());
        assert_eq!(found(&[slice("other", true), slice("s", false)]), none);
    }
}
