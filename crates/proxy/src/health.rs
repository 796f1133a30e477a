//! What load balancers and probes ask: is the proxy alive, and has this node endpoints of a Service.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use component::CancellationToken;
use component::pages::{Pages, answer, not_found};
use http::{Response, StatusCode};
use http_body_util::Full;
use parking_lot::Mutex;

use crate::index::ServiceName;
use crate::metrics::METRICS;

/// Whether changes reach the kernel in time.
#[derive(Debug)]
pub struct ProxyHealth {
    /// How long a change may wait.
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    started: bool,
    waiting_since: Option<Instant>,
    last_updated: SystemTime,
    node_eligible: bool,
}

impl ProxyHealth {
    /// A proxy that has not programmed anything yet: alive, and not healthy until it has.
    pub fn new(patience: Duration) -> Self {
        let state = State {
            started: false,
            waiting_since: None,
            last_updated: SystemTime::now(),
            node_eligible: true,
        };
        Self { patience, state: Mutex::new(state) }
    }

    /// A change has arrived that is not programmed.
    pub fn queued(&self) {
        self.state.lock().waiting_since.get_or_insert_with(Instant::now);
    }

    /// Everything that has arrived is programmed.
    pub fn synced(&self) {
        let mut state = self.state.lock();
        (state.started, state.waiting_since, state.last_updated) = (true, None, SystemTime::now());
    }

    /// Whether load balancers may send traffic to this node.
    pub fn set_node_eligible(&self, eligible: bool) {
        self.state.lock().node_eligible = eligible;
    }

    /// No change has waited too long.
    fn alive(&self) -> bool {
        self.state.lock().waiting_since.is_none_or(|since| since.elapsed() < self.patience)
    }

    fn healthy(&self) -> bool {
        self.alive() && self.state.lock().started
    }

    /// `/healthz` (which also asks whether rules are written and the node stays, KEP-3836) and `/livez`.
    pub fn respond(&self, path: &str) -> Response<Full<Bytes>> {
        let eligible = self.state.lock().node_eligible;
        let (good, counter) = match path {
            "/healthz" => (self.healthy() && eligible, &METRICS.healthz),
            "/livez" => (self.alive(), &METRICS.livez),
            _ => return not_found(),
        };
        let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        counter.with_label_values(&[status.as_str()]).inc();
        let now = jiff::Timestamp::now();
        let updated = jiff::Timestamp::try_from(self.state.lock().last_updated).unwrap_or(now);
        let body = serde_json::json!({
            "lastUpdated": updated.to_string(),
            "currentTime": now.to_string(),
            "nodeEligible": eligible,
        });
        answer(status, "application/json", body.to_string())
    }
}

/// Servers on `spec.healthCheckNodePort`: 200 where this node has endpoints, else 503.
pub struct ServiceHealth {
    proxy: Arc<ProxyHealth>,
    address: std::net::IpAddr,
    shutdown: CancellationToken,
    running: BTreeMap<ServiceName, Running>,
}

struct Running {
    port: u16,
    endpoints: Arc<Mutex<usize>>,
    stop: CancellationToken,
}

impl ServiceHealth {
    /// No servers yet.
    pub fn new(proxy: Arc<ProxyHealth>, address: std::net::IpAddr, shutdown: CancellationToken) -> Self {
        Self { proxy, address, shutdown, running: BTreeMap::new() }
    }

    /// Takes over a Service's health-check node port and its endpoints here; `None` when it has none or is gone.
    pub fn set(&mut self, service: &ServiceName, wanted: Option<(u16, usize)>) {
        if let Some(running) = self.running.get(service) {
            if let Some((port, endpoints)) = wanted
                && port == running.port
            {
                *running.endpoints.lock() = endpoints;
                return;
            }
            running.stop.cancel();
            self.running.remove(service);
        }
        let Some((port, count)) = wanted else { return };
        let (endpoints, stop) = (Arc::new(Mutex::new(count)), self.shutdown.child_token());
        let (name, proxy, seen) = (service.clone(), Arc::clone(&self.proxy), Arc::clone(&endpoints));
        let pages = Pages::new(move |_| service_response(&name, *seen.lock(), proxy.healthy()));
        pages.spawn(SocketAddr::new(self.address, port), "a Service's health-check node port", stop.clone());
        self.running.insert(service.clone(), Running { port, endpoints, stop });
    }
}

fn service_response(service: &ServiceName, endpoints: usize, healthy: bool) -> Response<Full<Bytes>> {
    let status = if endpoints > 0 && healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let (namespace, name) = service.split_once('/').unwrap_or(("", service));
    let body = serde_json::json!({
        "service": {"namespace": namespace, "name": name},
        "localEndpoints": endpoints,
        "serviceProxyHealthy": healthy,
    });
    let mut response = answer(status, "application/json", body.to_string());
    response.headers_mut().insert("X-Load-Balancing-Endpoint-Weight", endpoints.into());
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn health_follows_the_rules_and_the_node() {
        let health = ProxyHealth::new(Duration::ZERO);
        let codes = |health: &ProxyHealth| {
            ["/healthz", "/livez", "/other"].map(|path| health.respond(path).status().as_u16())
        };
        assert_eq!(codes(&health), [503, 200, 404], "nothing is written yet");
        health.synced();
        assert_eq!(codes(&health), [200, 200, 404]);
        health.set_node_eligible(false);
        assert_eq!(codes(&health), [503, 200, 404], "the node is going away");
        health.set_node_eligible(true);
        health.queued();
        assert_eq!(codes(&health), [503, 503, 404], "a change waits longer than it may");
        health.synced();
        assert_eq!(codes(&health), [200, 200, 404]);
    }

    #[tokio::test]
    async fn load_balancers_learn_of_endpoints_here() {
        for (endpoints, healthy, code) in [(2, true, 200), (0, true, 503), (2, false, 503)] {
            let response = service_response(&"shop/web".into(), endpoints, healthy);
            assert_eq!(response.status().as_u16(), code);
            assert_eq!(response.headers()["X-Load-Balancing-Endpoint-Weight"], endpoints.to_string());
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let expected = json!({"service": {"namespace": "shop", "name": "web"},
                "localEndpoints": endpoints, "serviceProxyHealthy": healthy});
            assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
        }
    }
}
