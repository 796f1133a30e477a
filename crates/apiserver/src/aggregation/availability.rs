//! Whether a remote group version can be reached, and the status of its APIService that says so.

use std::sync::Arc;
use std::time::Duration;

use api_types::field::quote;
use futures::FutureExt as _;
use futures::future::select_ok;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::{Remote, discovery, watches};
use crate::admission::Reader;
use crate::error::Result;
use crate::loopback::Target;
use crate::registry::{Registry, meta};
use crate::server::Server;

/// How often a service that is available is looked at again, as on upstream.
const CHECK_AGAIN: Duration = Duration::from_secs(30);
/// How soon one that is not, at first.
const RETRY: Duration = Duration::from_secs(1);
/// Requests that one check sends; a service may have several endpoints, and one that answers is enough.
const ATTEMPTS: usize = 5;
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// The condition `Available`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Condition {
    fn not(reason: &'static str, message: String) -> Self {
        Self { status: "False", reason, message }
    }

    fn passed() -> Self {
        Self { status: "True", reason: "Passed", message: "all checks passed".to_owned() }
    }

    fn local() -> Self {
        Self { status: "True", reason: "Local", message: "Local APIServices are always available".to_owned() }
    }
}

/// Checks a remote for as long as it is registered.
pub async fn tend(server: Arc<Server>, remote: Arc<Remote>) {
    let _watching = watches::of_service(&server, &remote);
    let stopped = remote.stopped();
    let mut retry = RETRY;
    loop {
        let condition = check(&server.registry, &remote).await;
        let available = condition.status == "True";
        if let Err(error) = write(&server.registry, &remote.name, &condition).await {
            tracing::warn!(apiservice = remote.name, %error, "cannot write the status");
        }
        if available {
            discovery::refresh(&remote).await;
        }
        retry = if available { RETRY } else { (retry * 2).min(CHECK_AGAIN) };
        let pause = if available { CHECK_AGAIN } else { retry };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = remote.nudge.notified() => {}
            () = stopped.cancelled() => return,
            () = server.shutdown.cancelled() => return,
        }
    }
}

/// Says of a local APIService that it is available.
pub async fn settle_local(server: &Server, name: &str) {
    if let Err(error) = write(&server.registry, name, &Condition::local()).await {
        tracing::debug!(apiservice = name, %error, "cannot write the status");
    }
}

async fn check(registry: &Registry, remote: &Remote) -> Condition {
    let (namespace, name, _) = &remote.service;
    let access_error = |error: crate::error::Error| Condition {
        status: "Unknown",
        reason: "ServiceAccessError",
        message: format!("service/{name} in {} cannot be checked due to: {error}", quote(namespace)),
    };
    let parse = |bytes: &bytes::Bytes| serde_json::from_slice::<Value>(bytes).ok();
    let service = match Reader::get(registry, "", "services", namespace, name, false).await {
        Ok(service) => service.as_ref().and_then(parse),
        Err(error) => return access_error(error),
    };
    let slices = match Reader::list(registry, "discovery.k8s.io", "endpointslices", namespace).await {
        Ok(slices) => slices.iter().filter_map(parse).collect::<Vec<_>>(),
        Err(error) => return access_error(error),
    };
    if let Some(missing) = missing(remote, service.as_ref(), &slices) {
        return missing;
    }
    match ask(remote).await {
        Ok(()) => Condition::passed(),
        Err(why) => Condition::not("FailedDiscoveryCheck", why),
    }
}

/// What the objects lack for the service to be reachable; `None` when they lack nothing.
fn missing(remote: &Remote, service: Option<&Value>, slices: &[Value]) -> Option<Condition> {
    let (namespace, name, port) = &remote.service;
    let at = quote(namespace);
    let Some(service) = service else {
        let message = format!("service/{name} in {at} is not present");
        return Some(Condition::not("ServiceNotFound", message));
    };
    if service["spec"]["type"].as_str().unwrap_or("ClusterIP") != "ClusterIP" {
        return None;
    }
    let mut ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let Some(found) = ports.find(|found| found["port"] == u64::from(*port)) else {
        let message = format!("service/{name} in {at} is not listening on port {port}");
        return Some(Condition::not("ServicePortError", message));
    };
    let port_name = found["name"].as_str().unwrap_or_default();
    let own: Vec<&Value> = slices
        .iter()
        .filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == name.as_str())
        .collect();
    if own.is_empty() {
        let message = format!("cannot find endpointslices for service/{name} in {at}");
        return Some(Condition::not("EndpointsNotFound", message));
    }
    let serves = |slice: &&Value| {
        let mut ports = slice["ports"].as_array().into_iter().flatten();
        let mut endpoints = slice["endpoints"].as_array().into_iter().flatten();
        ports.any(|port| port["name"].as_str().unwrap_or_default() == port_name)
            && endpoints.any(|endpoint| endpoint["conditions"]["ready"].as_bool().unwrap_or(true))
    };
    if !own.iter().any(serves) {
        let message = format!(
            "endpointslices for service/{name} in {at} have no addresses with port name {}",
            quote(port_name)
        );
        return Some(Condition::not("MissingEndpoints", message));
    }
    None
}

/// Asks the server for its own discovery document, several times at once; one answer is enough.
async fn ask(remote: &Remote) -> std::result::Result<(), String> {
    let clients = remote.clients();
    let client = clients.checks.as_ref().map_err(Clone::clone)?;
    let path = match remote.group.as_str() {
        "" => format!("/api/{}", remote.version),
        group => format!("/apis/{group}/{}", remote.version),
    };
    let headers = identity_headers();
    let attempt = || {
        let (path, headers) = (&path, &headers);
        async move {
            let answered = client.fetch(path, headers, CHECK_TIMEOUT).await;
            let url = format!("{}{path}", client.origin());
            match answered {
                Ok((parts, _)) if parts.status.is_success() => Ok(()),
                Ok((parts, _)) => Err(format!(
                    "failing or missing response from {url}: bad status from {url}: {}",
                    parts.status.as_u16()
                )),
                Err(error) => Err(format!("failing or missing response from {url}: {error}")),
            }
        }
        .boxed()
    };
    select_ok((0..ATTEMPTS).map(|_| attempt())).await.map(drop)
}

/// Who this server is when it asks for itself.
pub fn identity_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-remote-user", HeaderValue::from_static("system:kube-aggregator"));
    headers.insert("x-remote-group", HeaderValue::from_static("system:masters"));
    headers
}

/// Writes the condition where it differs.
async fn write(registry: &Registry, name: &str, condition: &Condition) -> Result<()> {
    let (group, resource) = ("apiregistration.k8s.io", "apiservices");
    let found = Reader::get(registry, group, resource, "", name, false).await?;
    let Some(found) = found else { return Ok(()) };
    let mut object: Value = serde_json::from_slice(&found).map_err(crate::error::Error::internal)?;
    if !set(&mut object, condition) {
        return Ok(());
    }
    let change = |object: &mut Value| {
        set(object, condition);
        Ok(())
    };
    let Condition { reason, message, .. } = condition;
    match *reason {
        "Local" => tracing::debug!(apiservice = name, "is served here"),
        _ => tracing::info!(apiservice = name, reason, why = message, "availability has changed"),
    }
    let target = Target { group, resource, namespace: "", name, subresource: "status" };
    registry.modify(target, change).await.map(drop)
}

/// Sets the condition in an object; whether that changed anything.
fn set(object: &mut Value, condition: &Condition) -> bool {
    let Condition { status, reason, message } = condition;
    if !object["status"].is_object() {
        object["status"] = json!({});
    }
    if !object["status"]["conditions"].is_array() {
        object["status"]["conditions"] = json!([]);
    }
    let Some(conditions) = object["status"]["conditions"].as_array_mut() else { return false };
    let wanted = |since: Value| json!({"type": "Available", "status": status, "reason": reason, "message": message, "lastTransitionTime": since});
    match conditions.iter_mut().find(|known| known["type"] == "Available") {
        Some(known) => {
            let since = match known["status"] == *status {
                true => known["lastTransitionTime"].clone(),
                false => meta::now().into(),
            };
            let new = wanted(since);
            let differs = *known != new;
            *known = new;
            differs
        }
        None => {
            conditions.push(wanted(meta::now().into()));
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::Resolve;

    struct Nowhere;

    #[async_trait::async_trait]
    impl Resolve for Nowhere {
        async fn resolve(&self, _: &str, _: &str, _: u16) -> std::result::Result<(String, u16), String> {
            Err("nowhere".to_owned())
        }
    }

    #[test]
    fn what_a_service_lacks_is_named() {
        let resolver: Arc<dyn Resolve> = Arc::new(Nowhere);
        let object = json!({"metadata": {"name": "v1.g"}, "spec": {
            "group": "g", "version": "v1", "service": {"namespace": "n", "name": "s", "port": 443}}});
        let remote = Remote::read(&object, &None, &resolver).unwrap();
        let service = |port: u16| json!({"spec": {"ports": [{"port": port, "name": "https"}]}});
        let slice = |port: &str, ready: bool| {
            json!({
                "metadata": {"labels": {"kubernetes.io/service-name": "s"}}, "ports": [{"name": port}],
                "endpoints": [{"conditions": {"ready": ready}}],
            })
        };
        for (service, slices, reason) in [
            (None, vec![], Some("ServiceNotFound")),
            (Some(service(80)), vec![], Some("ServicePortError")),
            (Some(service(443)), vec![], Some("EndpointsNotFound")),
            (Some(service(443)), vec![slice("https", false)], Some("MissingEndpoints")),
            (Some(service(443)), vec![slice("other", true)], Some("MissingEndpoints")),
            (Some(service(443)), vec![slice("https", true)], None),
            (Some(json!({"spec": {"type": "ExternalName"}})), vec![], None),
        ] {
            assert_eq!(missing(&remote, service.as_ref(), &slices).map(|found| found.reason), reason);
        }
    }

    #[test]
    fn a_condition_keeps_its_time_while_it_holds() {
        let mut object = json!({});
        assert!(set(&mut object, &Condition::passed()) && !set(&mut object, &Condition::passed()));
        object["status"]["conditions"][0]["lastTransitionTime"] = "2020-01-01T00:00:00Z".into();
        assert!(!set(&mut object, &Condition::passed()));
        assert!(set(&mut object, &Condition::not("ServiceNotFound", "gone".to_owned())));
        assert_ne!(object["status"]["conditions"][0]["lastTransitionTime"], "2020-01-01T00:00:00Z");
    }
}
