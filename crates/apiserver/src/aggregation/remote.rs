//! One group version that another server serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use base64::Engine as _;
use component::CancellationToken;
use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::outbound::{Client, Destination, Resolve, tls};

/// The certificate by which this server is known to aggregated servers, and its key, in PEM.
pub type Identity = Option<(Vec<u8>, Vec<u8>)>;

/// A registered remote group version.
pub struct Remote {
    /// The APIService's name: `VERSION.GROUP`.
    pub name: String,
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// `groupPriorityMinimum`: the higher, the earlier its group.
    pub group_priority: i64,
    /// `versionPriority`: the higher, the earlier among the versions of its group.
    pub version_priority: i64,
    /// The service's namespace, name and port.
    pub service: (String, String, u16),
    /// The APIService's `spec`.
    pub spec: Value,
    /// What the server says that it serves: an entry of `versions` of the aggregated discovery document.
    pub discovery: ArcSwapOption<Value>,
    /// Where its OpenAPI v3 documents are: `paths` of its `/openapi/v3`.
    pub openapi: ArcSwapOption<Map<String, Value>>,
    /// Something has changed that may make the service available, or not.
    pub nudge: Notify,
    available: AtomicBool,
    clients: ArcSwap<Clients>,
    stopped: CancellationToken,
}

/// The clients of one server.
pub struct Clients {
    /// For requests: its certificate must be believed.
    pub requests: Result<Client, String>,
    /// For checks: any certificate will do, because nothing that matters is sent or read.
    pub checks: Result<Client, String>,
}

impl Remote {
    /// Reads an APIService that names a service; `None` for one that is served here.
    pub fn read(object: &Value, identity: &Identity, resolver: &Arc<dyn Resolve>) -> Option<Self> {
        let spec = &object["spec"];
        let service = spec.get("service").filter(|service| !service.is_null())?;
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let port = service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
        let remote = Self {
            name: text(&object["metadata"], "name"),
            group: text(spec, "group"),
            version: text(spec, "version"),
            group_priority: spec["groupPriorityMinimum"].as_i64().unwrap_or(0),
            version_priority: spec["versionPriority"].as_i64().unwrap_or(0),
            service: (text(service, "namespace"), text(service, "name"), port),
            spec: spec.clone(),
            discovery: ArcSwapOption::empty(),
            openapi: ArcSwapOption::empty(),
            nudge: Notify::new(),
            available: AtomicBool::new(is_available(object)),
            clients: ArcSwap::from_pointee(Clients {
                requests: Err(String::new()),
                checks: Err(String::new()),
            }),
            stopped: CancellationToken::new(),
        };
        remote.identify(identity, resolver);
        Some(remote)
    }

    /// Makes the clients anew with a certificate of this server.
    pub fn identify(&self, identity: &Identity, resolver: &Arc<dyn Resolve>) {
        let (namespace, name, port) = self.service.clone();
        let destination = Destination::Service { namespace, name, port, path: String::new() };
        let identity = identity.as_ref().map(|(certificate, key)| (&certificate[..], &key[..]));
        let make = |trust: tls::Trust<'_>| {
            let config = tls::config(trust, identity).map_err(|error| error.to_string())?;
            Ok(Client::new(destination.clone(), Arc::new(config), Arc::clone(resolver)))
        };
        let bundle = base64::engine::general_purpose::STANDARD
            .decode(self.spec["caBundle"].as_str().unwrap_or_default())
            .unwrap_or_default();
        let trust = match (self.spec["insecureSkipTLSVerify"] == true, bundle.is_empty()) {
            (true, _) => tls::Trust::Anybody,
            (false, true) => tls::Trust::Host,
            (false, false) => tls::Trust::Bundle(&bundle),
        };
        self.clients.store(Arc::new(Clients { requests: make(trust), checks: make(tls::Trust::Anybody) }));
    }

    /// The clients as they are now.
    pub fn clients(&self) -> Arc<Clients> {
        self.clients.load_full()
    }

    /// Whether requests can be sent there, as the APIService's status says.
    pub fn is_available(&self) -> bool {
        self.available.load(Ordering::Acquire)
    }

    /// Takes over what the APIService's status says.
    pub fn take_status(&self, object: &Value) {
        self.available.store(is_available(object), Ordering::Release);
    }

    /// Ends what was begun for it.
    pub fn stop(&self) {
        self.stopped.cancel();
    }

    /// Ends when the APIService is gone or has become another.
    pub fn stopped(&self) -> CancellationToken {
        self.stopped.clone()
    }
}

/// Whether the condition `Available` is true.
pub fn is_available(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.is_some_and(|list| list.iter().any(|c| c["type"] == "Available" && c["status"] == "True"))
}
