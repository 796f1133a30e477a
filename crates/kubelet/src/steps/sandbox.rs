//! Step: the pod's sandbox, which holds its network.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{Pod, Secret};

use super::{Settings, cgroup};
use crate::api::Objects;
use crate::cri::{Runtime, labels, v1};
use crate::events::{Events, Severity};
use crate::host::Host;
use crate::paths::Paths;
use crate::pod::{PodExt, containers, dns, security};

/// Makes sandboxes. A sandbox made by an attempt that was cut short is seen in the runtime and used or removed.
pub struct Sandbox {
    pub(super) runtime: Runtime,
    pub(super) objects: Arc<dyn Objects>,
    pub(super) events: Arc<dyn Events>,
    pub(super) host: Arc<Host>,
    pub(super) paths: Arc<Paths>,
    pub(super) cgroup: cgroup::PodCgroup,
    pub(super) settings: Arc<Settings>,
}

/// Why there is no sandbox. Shown to users in a FailedCreatePodSandBox event.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runtime has no pod network.
    #[error("network is not ready: {0}")]
    Network(String),
    /// The RuntimeClass does not exist or cannot be read.
    #[error("Failed to create pod sandbox: get RuntimeClass {class:?}: {message}")]
    RuntimeClass {
        /// Its name.
        class: String,
        /// Why.
        message: String,
    },
    /// The runtime refused.
    #[error("Failed to create pod sandbox: {0}")]
    Runtime(#[from] crate::cri::Error),
}

impl Sandbox {
    /// Starts a sandbox; returns its identifier.
    pub async fn create(&self, pod: &Pod, attempt: u32) -> Result<String, Error> {
        let result = self.try_create(pod, attempt).await;
        if let Err(error) = &result {
            let reason =
                if matches!(error, Error::Network(_)) { "NetworkNotReady" } else { "FailedCreatePodSandBox" };
            self.events.pod(pod, None, Severity::Warning, reason, error.to_string());
        }
        result
    }

    async fn try_create(&self, pod: &Pod, attempt: u32) -> Result<String, Error> {
        if !pod.host_network()
            && let Some(problem) = self.host.network_problem()
        {
            return Err(Error::Network(problem));
        }
        let mut handler = String::new();
        if let Some(class) = pod.spec().runtime_class_name.as_deref().filter(|class| !class.is_empty()) {
            let failed = |message: String| Error::RuntimeClass { class: class.into(), message };
            let found =
                self.objects.runtime_handler(class).await.map_err(|error| failed(error.to_string()))?;
            handler = found.ok_or_else(|| failed("not found".into()))?;
        }
        let config = self.config(pod, attempt);
        Ok(self.runtime.run_pod_sandbox(config, &handler).await?)
    }

    /// The sandbox's configuration; the runtime also wants it with every container.
    pub fn config(&self, pod: &Pod, attempt: u32) -> v1::PodSandboxConfig {
        let resolution = dns::resolve(pod, &self.settings.dns);
        if let Some(warning) = resolution.warning {
            self.events.pod(pod, None, Severity::Warning, "MissingClusterDNS", warning);
        }
        let sysctls = pod.spec().security_context.as_ref().and_then(|context| context.sysctls.clone());
        let sysctls: HashMap<String, String> = sysctls
            .into_iter()
            .flatten()
            .map(|sysctl| (sysctl.name.replace('/', "."), sysctl.value))
            .collect();
        v1::PodSandboxConfig {
            metadata: Some(v1::PodSandboxMetadata {
                name: pod.name().into(),
                uid: pod.uid().into(),
                namespace: pod.namespace().into(),
                attempt,
            }),
            hostname: dns::sandbox_hostname(pod, &self.settings.dns.cluster_domain),
            log_directory: self.paths.pod_logs(pod).display().to_string(),
            dns_config: Some(resolution.config),
            port_mappings: if pod.host_network() { Vec::new() } else { port_mappings(pod) },
            labels: labels::sandbox_labels(pod),
            annotations: labels::sandbox_annotations(pod),
            linux: Some(v1::LinuxPodSandboxConfig {
                cgroup_parent: self.cgroup.parent(pod),
                security_context: Some(security::sandbox(pod, &self.paths.seccomp())),
                sysctls,
                ..Default::default()
            }),
            windows: None,
        }
    }

    /// Writes the pod's /etc/hosts for these addresses.
    pub fn write_hosts(&self, pod: &Pod, ips: &[String]) -> std::io::Result<()> {
        let node = if pod.host_network() {
            fs::read_to_string("/etc/hosts").unwrap_or_default()
        } else {
            String::new()
        };
        let text = dns::hosts_file(pod, ips, &self.settings.dns.cluster_domain, &node);
        let path = self.paths.hosts(pod.uid());
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            Ok(())
        } else {
            write_in_place(&path, &text)
        }
    }

    /// Secrets with credentials for the pod's images. Missing ones are skipped: the image may not need them.
    pub async fn pull_secrets(&self, pod: &Pod) -> Vec<Secret> {
        let mut found = Vec::new();
        for reference in pod.spec().image_pull_secrets.iter().flatten() {
            match self.objects.secret(pod.namespace(), &reference.name).await {
                Ok(Some(secret)) => found.push(secret),
                Ok(None) => {
                    let message = format!(
                        "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                        reference.name
                    );
                    self.events.pod(pod, None, Severity::Warning, "FailedToRetrieveImagePullSecret", message);
                }
                Err(error) => tracing::warn!(pod = pod.display(), %error, "Image pull secret not read"),
            }
        }
        found
    }
}

/// Not by rename: running containers have this very file bound to their /etc/hosts.
fn write_in_place(path: &Path, text: &str) -> std::io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644))
}

fn port_mappings(pod: &Pod) -> Vec<v1::PortMapping> {
    let mut mappings = Vec::new();
    for (_, container) in containers::all(pod) {
        for port in container.ports.iter().flatten() {
            let protocol = match port.protocol.as_deref() {
                Some("UDP") => v1::Protocol::Udp,
                Some("SCTP") => v1::Protocol::Sctp,
                _ => v1::Protocol::Tcp,
            };
            mappings.push(v1::PortMapping {
                protocol: protocol as i32,
                container_port: port.container_port,
                host_port: port.host_port.unwrap_or(0),
                host_ip: port.host_ip.clone().unwrap_or_default(),
            });
        }
    }
    mappings
}
