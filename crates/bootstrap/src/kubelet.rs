//! The kubelet's configuration and command line.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::failure::{Attempt, Result};
use crate::files::{self, Mode};
use crate::host::Host;
use crate::progress;
use crate::runtime::containerd::CgroupDriver;
use crate::runtime::service::Manager;

/// The part of a KubeletConfiguration that is the same on every node. It is kept in the ConfigMap
/// `kube-system/kubelet-config`, where joining nodes find it. Unused images are not collected: no registry could bring
/// them back.
pub fn shared_config(dns_ip: IpAddr, domain: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true, "cacheTTL": "2m0s"},
            "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [dns_ip.to_string()],
        "clusterDomain": domain,
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "rotateCertificates": true,
        "staticPodPath": "/etc/kubernetes/manifests",
    })
}

/// Completes the shared configuration with what is particular to this host, and writes it.
pub fn write_config(host: &Host, mut config: Value, resolver: Option<&str>) -> Result<()> {
    config["authentication"]["x509"]["clientCAFile"] = json!(host.pki().join("ca.crt"));
    config["staticPodPath"] = json!(host.manifests());
    config["podLogsDir"] = json!(host.pod_logs());
    config["cgroupDriver"] = json!(CgroupDriver::detect().name());
    if host.cgroup_root() != "/" {
        config["cgroupRoot"] = json!(host.cgroup_root());
    }
    if let Some(resolver) = resolver {
        config["resolvConf"] = json!(resolver);
    }
    files::make_dir(&host.manifests())?;
    let text = serde_yaml::to_string(&config).attempt(|| "render the kubelet's configuration")?;
    files::write(&host.kubelet_config(), text, Mode::Public)
}

/// The kubelet's command line.
pub fn command(host: &Host, program: &std::path::Path, node: &str, address: IpAddr) -> Vec<String> {
    let flag = |name: &str, value: &dyn std::fmt::Display| format!("--{name}={value}");
    vec![
        program.display().to_string(),
        flag("config", &host.kubelet_config().display()),
        flag("kubeconfig", &host.kubeconfig("kubelet.conf").display()),
        flag("bootstrap-kubeconfig", &host.kubeconfig("bootstrap-kubelet.conf").display()),
        flag("container-runtime-endpoint", &format_args!("unix://{}", host.cri_socket().display())),
        flag("root-dir", &host.kubelet_root().display()),
        flag("cert-dir", &host.kubelet_root().join("pki").display()),
        flag("hostname-override", &node),
        flag("node-ip", &address),
    ]
}

/// Waits until the kubelet says that it is healthy. When it does not, the failure carries the end of its log, which
/// nearly always names the reason.
pub async fn wait_healthy(host: &Host, services: &Manager) -> Result<()> {
    let probe = || async { health("127.0.0.1:10248").await };
    let what = "the kubelet's health on http://127.0.0.1:10248/healthz";
    let waited = progress::wait_for(what, Duration::from_secs(60), Duration::from_millis(200), probe).await;
    waited.map_err(|failure| {
        let log = services.log_tail(host, "kubelet", 15);
        let cure = format!(
            "mend what the log names, then run this again; the whole log: {}",
            services.log_hint(host, "kubelet")
        );
        failure.during("start the kubelet").evidence(&log).cure(cure)
    })
}

/// Asks a plain-HTTP health endpoint.
async fn health(address: &str) -> std::result::Result<(), String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream =
        tokio::net::TcpStream::connect(address).await.map_err(|error| format!("{address}: {error}"))?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    match tokio::time::timeout(Duration::from_secs(5), reading).await {
        Ok(Ok(_)) if answer.starts_with(b"HTTP/1.1 200") => Ok(()),
        Ok(Ok(_)) => {
            Err(String::from_utf8_lossy(&answer).lines().last().unwrap_or("an empty answer").to_owned())
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer within 5 s".to_owned()),
    }
}
