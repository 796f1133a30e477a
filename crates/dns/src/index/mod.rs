//! What DNS knows of the cluster: Services by namespace and name, their endpoints, and whose address is whose.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use api_types::k8s::api::core::v1 as core;
use api_types::k8s::api::discovery::v1::EndpointSlice;

/// Label of an EndpointSlice with the name of its Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// `namespace/name` of a Service.
type Key = Arc<str>;

/// A port, as SRV records give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name; unnamed ports have no SRV records.
    pub name: Box<str>,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: &'static str,
    /// Number.
    pub port: u16,
}

/// What the name of a Service leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its virtual addresses.
    Cluster(Vec<IpAddr>),
    /// Its endpoints, ready or (with `publishNotReadyAddresses`) not.
    Headless {
        /// `spec.publishNotReadyAddresses`.
        publish_not_ready: bool,
    },
    /// Another name.
    External(Box<str>),
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// What its name leads to.
    pub kind: Kind,
    /// Its ports.
    pub ports: Vec<Port>,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address.
    pub ip: IpAddr,
    /// Its label below the Service's name: the pod's hostname, else the address with dashes.
    pub label: Box<str>,
    /// Takes traffic.
    pub ready: bool,
    /// Ports it listens on.
    pub ports: Arc<[Port]>,
}

/// The picture that queries are answered from. No call does I/O.
#[derive(Debug, Default)]
pub struct Index {
    namespaces: HashMap<Box<str>, HashMap<Box<str>, Service>>,
    endpoints: HashMap<Key, BTreeMap<Box<str>, Vec<Endpoint>>>,
    /// Which Service a slice belonged to when last seen, by `namespace/name` of the slice.
    owners: HashMap<Key, Key>,
    cluster_ips: HashMap<IpAddr, Key>,
    /// Services whose endpoints have the address.
    endpoint_ips: HashMap<IpAddr, BTreeSet<Key>>,
}

impl Index {
    /// Takes in a Service.
    pub fn apply_service(&mut self, object: &core::Service) {
        let (namespace, name) = names(&object.metadata);
        self.delete_service(namespace, name);
        let Some(service) = Service::of(object) else { return };
        if let Kind::Cluster(ips) = &service.kind {
            let key = key(namespace, name);
            self.cluster_ips.extend(ips.iter().map(|ip| (*ip, Arc::clone(&key))));
        }
        self.namespaces.entry(namespace.into()).or_default().insert(name.into(), service);
    }

    /// Forgets a Service.
    pub fn delete_service(&mut self, namespace: &str, name: &str) {
        let Some(services) = self.namespaces.get_mut(namespace) else { return };
        let removed = services.remove(name);
        if services.is_empty() {
            self.namespaces.remove(namespace);
        }
        if let Some(Service { kind: Kind::Cluster(ips), .. }) = removed {
            let key = key(namespace, name);
            for ip in ips {
                // Another Service may have taken the address over before we heard that this one is gone.
                if self.cluster_ips.get(&ip) == Some(&key) {
                    self.cluster_ips.remove(&ip);
                }
            }
        }
    }

    /// Takes in an EndpointSlice.
    pub fn apply_slice(&mut self, slice: &EndpointSlice) {
        let (namespace, name) = names(&slice.metadata);
        self.delete_slice(namespace, name);
        let Some(owner) = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME)) else {
            return;
        };
        let owner = key(namespace, owner);
        let endpoints = endpoints(slice);
        for endpoint in &endpoints {
            self.endpoint_ips.entry(endpoint.ip).or_default().insert(Arc::clone(&owner));
        }
        self.owners.insert(key(namespace, name), Arc::clone(&owner));
        self.endpoints.entry(owner).or_default().insert(name.into(), endpoints);
    }

    /// Forgets an EndpointSlice.
    pub fn delete_slice(&mut self, namespace: &str, name: &str) {
        let Some(owner) = self.owners.remove(&key(namespace, name)) else { return };
        let Some(slices) = self.endpoints.get_mut(&owner) else { return };
        let gone = slices.remove(name).unwrap_or_default();
        let left: BTreeSet<IpAddr> = slices.values().flatten().map(|endpoint| endpoint.ip).collect();
        if slices.is_empty() {
            self.endpoints.remove(&owner);
        }
        for ip in gone.iter().map(|endpoint| endpoint.ip).filter(|ip| !left.contains(ip)) {
            if let Some(owners) = self.endpoint_ips.get_mut(&ip) {
                owners.remove(&owner);
                if owners.is_empty() {
                    self.endpoint_ips.remove(&ip);
                }
            }
        }
    }

    /// Whether the namespace has Services, so that names exist below its own.
    pub fn has_namespace(&self, namespace: &str) -> bool {
        self.namespaces.contains_key(namespace)
    }

    /// A Service.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.namespaces.get(namespace)?.get(name)
    }

    /// The endpoints of a Service that DNS tells of, each address once.
    pub fn endpoints(&self, namespace: &str, name: &str) -> Vec<&Endpoint> {
        let publish = matches!(
            self.service(namespace, name),
            Some(Service { kind: Kind::Headless { publish_not_ready: true }, .. })
        );
        let slices = self.endpoints.get(&*key(namespace, name));
        let all = slices.into_iter().flat_map(|slices| slices.values().flatten());
        let known: BTreeMap<(IpAddr, &str), &Endpoint> = all
            .filter(|endpoint| endpoint.ready || publish)
            .map(|endpoint| ((endpoint.ip, &*endpoint.label), endpoint))
            .collect();
        known.into_values().collect()
    }

    /// Names of an address, relative to the zone: of the Service that has it, else of the endpoints.
    pub fn names_of(&self, ip: IpAddr) -> Vec<String> {
        let split =
            |key: &Key| key.split_once('/').map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
        if let Some((namespace, name)) = self.cluster_ips.get(&ip).and_then(split) {
            return vec![format!("{name}.{namespace}.svc")];
        }
        let owners = self.endpoint_ips.get(&ip).into_iter().flatten();
        owners
            .filter_map(split)
            .flat_map(|(namespace, name)| {
                let endpoints = self.endpoints(&namespace, &name);
                let ours = endpoints.into_iter().filter(|endpoint| endpoint.ip == ip);
                ours.map(|endpoint| format!("{}.{name}.{namespace}.svc", endpoint.label)).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Services known.
    pub fn len(&self) -> usize {
        self.namespaces.values().map(HashMap::len).sum()
    }

    /// Whether no Service is known.
    pub fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }
}

impl Service {
    fn of(object: &core::Service) -> Option<Self> {
        let spec = object.spec.as_ref()?;
        let single = spec.cluster_ip.as_deref().unwrap_or("");
        let kind = match (spec.type_.as_deref(), &spec.external_name) {
            (Some("ExternalName"), Some(name)) => Kind::External(name.trim_end_matches('.').into()),
            (Some("ExternalName"), None) => return None,
            _ if single == "None" => {
                Kind::Headless { publish_not_ready: spec.publish_not_ready_addresses.unwrap_or(false) }
            }
            _ => {
                let listed = spec.cluster_ips.as_deref().unwrap_or_default();
                let texts = if listed.is_empty() {
                    vec![single]
                } else {
                    listed.iter().map(String::as_str).collect()
                };
                Kind::Cluster(texts.into_iter().filter_map(|ip| ip.parse().ok()).collect())
            }
        };
        let ports = spec.ports.iter().flatten().filter_map(|port| {
            Some(Port {
                name: port.name.as_deref().unwrap_or("").to_ascii_lowercase().into(),
                protocol: protocol(port.protocol.as_deref()),
                port: u16::try_from(port.port).ok()?,
            })
        });
        Some(Self { kind, ports: ports.collect() })
    }
}

fn endpoints(slice: &EndpointSlice) -> Vec<Endpoint> {
    let ports: Arc<[Port]> = slice
        .ports
        .iter()
        .flatten()
        .filter_map(|port| {
            Some(Port {
                name: port.name.as_deref().unwrap_or("").to_ascii_lowercase().into(),
                protocol: protocol(port.protocol.as_deref()),
                port: u16::try_from(port.port?).ok()?,
            })
        })
        .collect();
    let endpoints = slice.endpoints.iter().flatten().flat_map(|endpoint| {
        let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
        endpoint.addresses.iter().filter_map(|address| address.parse().ok()).map({
            let ports = Arc::clone(&ports);
            move |ip: IpAddr| Endpoint {
                ip,
                label: match endpoint.hostname.as_deref() {
                    Some(hostname) if !hostname.is_empty() => hostname.to_ascii_lowercase().into(),
                    _ => dashed(ip).into(),
                },
                ready,
                ports: Arc::clone(&ports),
            }
        })
    });
    endpoints.collect()
}

/// An address as a label: `10-0-0-1`, `fd00--1`.
pub fn dashed(ip: IpAddr) -> String {
    ip.to_string().replace(['.', ':'], "-")
}

fn protocol(text: Option<&str>) -> &'static str {
    match text {
        Some("UDP") => "udp",
        Some("SCTP") => "sctp",
        _ => "tcp",
    }
}

fn names(meta: &api_types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> (&str, &str) {
    (meta.namespace.as_deref().unwrap_or(""), meta.name.as_deref().unwrap_or(""))
}

fn key(namespace: &str, name: &str) -> Key {
    format!("{namespace}/{name}").into()
}
