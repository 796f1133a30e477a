//! Bootstrap objects that depend on flags or on the day.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Desired;
use super::plan::Policy;

/// What the objects take from the command line. Certificates are PEM text.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Content of `--client-ca-file`.
    pub client_ca: Option<String>,
    /// The front proxy's headers, and the content of `--requestheader-client-ca-file`.
    pub request_headers: Option<(access::authn::RequestHeaders, String)>,
    /// `--service-cluster-ip-range`.
    pub service_cidrs: Vec<String>,
}

/// The present second as the API writes it.
pub(super) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How extension servers authenticate requests that come through this server.
pub(super) fn authentication(settings: &Settings) -> Vec<Desired> {
    let mut data = Map::new();
    if let Some(pem) = &settings.client_ca {
        data.insert("client-ca-file".into(), pem.as_str().into());
    }
    if let Some((headers, pem)) = &settings.request_headers {
        let lists = [
            ("requestheader-allowed-names", &headers.allowed_names),
            ("requestheader-extra-headers-prefix", &headers.extra_header_prefixes),
            ("requestheader-group-headers", &headers.group_headers),
            ("requestheader-username-headers", &headers.username_headers),
            ("requestheader-uid-headers", &headers.uid_headers),
        ];
        data.insert("requestheader-client-ca-file".into(), pem.as_str().into());
        for (key, list) in lists {
            if key != "requestheader-uid-headers" || !list.is_empty() {
                data.insert(key.into(), json!(list).to_string().into());
            }
        }
    }
    config_map("extension-apiserver-authentication", data, Policy::Data)
}

/// Since when the use of tokens kept in Secrets is recorded.
pub(super) fn token_tracking() -> Vec<Desired> {
    let mut data = Map::new();
    data.insert("since".into(), Timestamp::now().strftime("%Y-%m-%d").to_string().into());
    config_map("kube-apiserver-legacy-service-account-token-tracking", data, Policy::CreateOnly)
}

/// The range that the flags give for cluster IPs.
pub(super) fn service_cidr(settings: &Settings) -> Vec<Desired> {
    if settings.service_cidrs.is_empty() {
        return Vec::new();
    }
    let object = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": settings.service_cidrs},
        "status": {"conditions": [{
            "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready"}]},
    });
    vec![Desired { resource: "servicecidrs", policy: Policy::CreateOnly, object }]
}

/// Flow schemas that say that their priority level exists: it is made just before them.
pub(super) fn with_found_condition(mut schemas: Vec<Desired>) -> Vec<Desired> {
    for schema in &mut schemas {
        let level = schema.object["spec"]["priorityLevelConfiguration"]["name"].clone();
        let message = format!(
            "This FlowSchema references the PriorityLevelConfiguration object named {level} and it exists"
        );
        schema.object["status"] = json!({"conditions": [
            {"type": "Dangling", "status": "False", "reason": "Found", "message": message}]});
    }
    schemas
}

/// API services that this server itself serves, so that they are always available.
pub(super) fn with_local_condition(mut services: Vec<Desired>) -> Vec<Desired> {
    for service in &mut services {
        service.object["status"] = json!({"conditions": [{
            "type": "Available", "status": "True", "reason": "Local",
            "message": "Local APIServices are always available"}]});
    }
    services
}

fn config_map(name: &str, data: Map<String, Value>, policy: Policy) -> Vec<Desired> {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "kube-system"},
        "data": data,
    });
    vec![Desired { resource: "configmaps", policy, object }]
}
