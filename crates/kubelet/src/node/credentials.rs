//! The kubelet's client certificate: asked for with a bootstrap token, renewed before it ends.
//!
//! The certificate is in `<cert-dir>/kubelet-client-current.pem`, a link to the newest pair, to which the kubeconfig points; the
//! API server signs it through a CertificateSigningRequest (kubernetes.io/kube-apiserver-client-kubelet).

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::report::chain;
use api_types::k8s::ByteString;
use api_types::k8s::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use client::connect::Options;
use client::{Api, Client, PostParams};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The signer of kubelets' client certificates.
const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// How often a request is looked at while it waits for its certificate.
const POLL: Duration = Duration::from_millis(500);
/// How long one request may wait before another is made: the approver may have forgotten it.
const PATIENCE: Duration = Duration::from_secs(900);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(2);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key or request cannot be made.
    #[error("make a key and certificate request")]
    Generate(#[from] rcgen::Error),
    /// The API server refused or did not answer.
    #[error("send a CertificateSigningRequest")]
    Request(#[from] client::Error),
    /// The bootstrap kubeconfig cannot be used.
    #[error("use --bootstrap-kubeconfig")]
    Connect(#[from] client::connect::Error),
    /// The request was denied, or failed.
    #[error("CertificateSigningRequest {name} was not granted: {why}; see kubectl describe csr {name}")]
    Refused {
        /// Its name.
        name: String,
        /// Condition and message.
        why: String,
    },
    /// Nobody approved or signed it.
    #[error(
        "CertificateSigningRequest {name} got no certificate within {} s; approve it with kubectl certificate approve {name}, and see that the controller manager runs with --cluster-signing-cert-file",
        PATIENCE.as_secs()
    )]
    Unanswered {
        /// Its name.
        name: String,
    },
    /// A file cannot be read or written.
    #[error("{attempt} {}: {source}", path.display())]
    Io {
        /// What was tried.
        attempt: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{} {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// Where credentials are.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// --kubeconfig.
    pub kubeconfig: PathBuf,
    /// --bootstrap-kubeconfig.
    pub bootstrap: Option<PathBuf>,
    /// --cert-dir.
    pub directory: PathBuf,
    /// The node's name.
    pub node: String,
}

impl Credentials {
    /// Makes sure that the kubeconfig exists and its certificate is good; asks for one as long as it takes.
    pub async fn obtain(&self) {
        let mut said = String::new();
        while self.needs_bootstrap() {
            let Some(bootstrap) = self.bootstrap.clone().filter(|path| path.exists()) else {
                let problem = format!(
                    "{} is missing or its certificate has ended, and there is no bootstrap kubeconfig; join the node again, or write the kubeconfig",
                    self.kubeconfig.display()
                );
                complain(&mut said, &problem);
                tokio::time::sleep(RETRY).await;
                continue;
            };
            match self.bootstrap(&bootstrap).await {
                Ok(()) => {
                    tracing::info!(kubeconfig = %self.kubeconfig.display(), "Client certificate received")
                }
                Err(error) => {
                    complain(&mut said, &chain(&error));
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Renews the certificate before it ends, until `stop`. Does nothing for kubeconfigs that somebody else manages.
    pub async fn rotate(&self, client: Client, stop: CancellationToken) {
        loop {
            let current = self.current();
            let Ok(pair) = fs::read(&current) else { return };
            let Some((from, until)) = life(&pair) else { return };
            // Somewhere between 70 and 90 per cent of its life, so that the nodes of a cluster do not come all at once.
            let part = 70 + i64::from(rand::random::<u8>() % 20);
            let due = from + (until - from) * part / 100;
            let left = u64::try_from(due - Timestamp::now().as_second()).unwrap_or(0);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(left)) => {}
            }
            match self.request(&client).await.and_then(|pair| self.store(&pair)) {
                Ok(()) => tracing::info!("Client certificate renewed"),
                Err(error) => {
                    tracing::error!(error = chain(&error), "Client certificate not renewed; trying again");
                    tokio::time::sleep(Duration::from_secs(30)).await;
                }
            }
        }
    }

    fn current(&self) -> PathBuf {
        self.directory.join("kubelet-client-current.pem")
    }

    fn needs_bootstrap(&self) -> bool {
        let Ok(text) = fs::read_to_string(&self.kubeconfig) else { return true };
        let current = self.current();
        // Only our own certificate is ours to replace.
        if !text.contains(&current.display().to_string()) {
            return false;
        }
        let ends = fs::read(&current).ok().and_then(|pair| life(&pair)).map(|(_, until)| until);
        ends.is_none_or(|until| until <= Timestamp::now().as_second())
    }

    async fn bootstrap(&self, bootstrap: &Path) -> Result<(), Error> {
        let client = client::connect(&Options::file(bootstrap, "kubelet")).await?;
        let pair = self.request(&client).await?;
        self.store(&pair)?;
        self.write_kubeconfig(bootstrap)
    }

    /// Asks for a certificate; returns certificate and key as PEM.
    async fn request(&self, client: &Client) -> Result<String, Error> {
        let key = rcgen::KeyPair::generate()?;
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("system:node:{}", self.node));
        let request = params.serialize_request(&key)?.pem()?;
        let object = CertificateSigningRequest {
            metadata: ObjectMeta { generate_name: Some("node-csr-".into()), ..ObjectMeta::default() },
            spec: CertificateSigningRequestSpec {
                request: ByteString(request.into_bytes()),
                signer_name: SIGNER.into(),
                usages: Some(vec!["digital signature".into(), "client auth".into()]),
                ..CertificateSigningRequestSpec::default()
            },
            status: None,
        };
        let api = Api::<CertificateSigningRequest>::all(client.clone());
        let created = api.create(&PostParams::default(), &object).await?;
        let name = created.metadata.name.unwrap_or_default();
        tracing::info!(csr = name, "Waiting for the certificate to be approved and signed");
        let waited = tokio::time::timeout(PATIENCE, wait(&api, &name)).await;
        let certificate = waited.map_err(|_| Error::Unanswered { name })??;
        Ok(format!("{}\n{}", String::from_utf8_lossy(&certificate).trim_end(), key.serialize_pem()))
    }

    /// Writes a new pair and moves the link to it.
    fn store(&self, pair: &str) -> Result<(), Error> {
        fs::create_dir_all(&self.directory).map_err(io("create", &self.directory))?;
        let stamp = Timestamp::now().strftime("%Y-%m-%d-%H-%M-%S").to_string();
        let file = self.directory.join(format!("kubelet-client-{stamp}.pem"));
        write_private(&file, pair)?;
        let staged = self.directory.join("kubelet-client-current.pem.tmp");
        if staged.symlink_metadata().is_ok() {
            fs::remove_file(&staged).map_err(io("remove", &staged))?;
        }
        symlink(&file, &staged).map_err(io("link", &staged))?;
        let current = self.current();
        fs::rename(&staged, &current).map_err(io("move link to", &current))
    }

    /// The cluster of the bootstrap kubeconfig with the new certificate.
    fn write_kubeconfig(&self, bootstrap: &Path) -> Result<(), Error> {
        let text = fs::read_to_string(bootstrap).map_err(io("read", bootstrap))?;
        let content = |problem: String| Error::Content { path: bootstrap.to_owned(), problem };
        let value: Value =
            serde_yaml::from_str(&text).map_err(|error| content(format!("is not YAML: {error}")))?;
        let entry = |list: &str, name: &Value, key: &str| {
            let entries = value.get(list).and_then(Value::as_array).into_iter().flatten();
            entries
                .clone()
                .find(|entry| entry.get("name") == Some(name))
                .and_then(|entry| entry.get(key))
                .cloned()
        };
        let context = value.get("current-context").and_then(|name| entry("contexts", name, "context"));
        let cluster =
            context.as_ref().and_then(|context| entry("clusters", context.get("cluster")?, "cluster"));
        let mut cluster = cluster.ok_or_else(|| content("has no cluster for its current context".into()))?;
        if let Some(Value::String(ca)) = cluster.get_mut("certificate-authority")
            && let (false, Some(base)) = (Path::new(&*ca).is_absolute(), bootstrap.parent())
        {
            *ca = base.join(&*ca).display().to_string();
        }
        let current = self.current();
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "default-cluster", "cluster": cluster}],
            "users": [{"name": "default-auth", "user": {"client-certificate": current, "client-key": current}}],
            "contexts": [{"name": "default-context", "context": {"cluster": "default-cluster", "user": "default-auth", "namespace": "default"}}],
            "current-context": "default-context",
        });
        let text = serde_yaml::to_string(&kubeconfig).map_err(|error| content(error.to_string()))?;
        if let Some(parent) = self.kubeconfig.parent() {
            fs::create_dir_all(parent).map_err(io("create", parent))?;
        }
        let staged = self.kubeconfig.with_extension("tmp");
        write_private(&staged, &text)?;
        fs::rename(&staged, &self.kubeconfig).map_err(io("write", &self.kubeconfig))
    }
}

async fn wait(api: &Api<CertificateSigningRequest>, name: &str) -> Result<Vec<u8>, Error> {
    loop {
        let status = api.get(name).await?.status.unwrap_or_default();
        let refused = status
            .conditions
            .iter()
            .flatten()
            .find(|condition| matches!(condition.type_.as_str(), "Denied" | "Failed"));
        if let Some(condition) = refused {
            let why =
                format!("{} ({})", condition.type_, condition.message.as_deref().unwrap_or("no message"));
            return Err(Error::Refused { name: name.into(), why });
        }
        if let Some(certificate) = status.certificate {
            return Ok(certificate.0);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Start and end of the first certificate in a PEM text, seconds since the epoch.
fn life(pem: &[u8]) -> Option<(i64, i64)> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem).ok()?;
    let (_, certificate) = X509Certificate::from_der(&block.contents).ok()?;
    let validity = certificate.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(io("write", path))
}

fn io(attempt: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Io { attempt, path, source }
}

fn complain(said: &mut String, problem: &str) {
    if said != problem {
        tracing::warn!(problem, "Waiting for credentials for the API server");
        problem.clone_into(said);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(directory: &Path) -> Credentials {
        Credentials {
            kubeconfig: directory.join("kubelet.conf"),
            bootstrap: None,
            directory: directory.join("pki"),
            node: "n".into(),
        }
    }

    #[test]
    fn the_kubeconfig_takes_the_cluster_of_the_bootstrap_one() {
        let directory = tempfile::tempdir().unwrap();
        let credentials = credentials(directory.path());
        let bootstrap = directory.path().join("bootstrap.conf");
        fs::write(
            &bootstrap,
            "clusters: [{name: c, cluster: {server: 'https://a:6443', certificate-authority: ca.crt}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
users: [{name: u, user: {token: t}}]",
        )
        .unwrap();
        assert!(credentials.needs_bootstrap());
        credentials.write_kubeconfig(&bootstrap).unwrap();
        let written: Value =
            serde_yaml::from_str(&fs::read_to_string(&credentials.kubeconfig).unwrap()).unwrap();
        assert_eq!(written["clusters"][0]["cluster"]["server"], "https://a:6443");
        assert_eq!(
            written["clusters"][0]["cluster"]["certificate-authority"],
            json!(directory.path().join("ca.crt"))
        );
        assert!(written["users"][0]["user"].get("token").is_none());
        assert!(credentials.needs_bootstrap(), "the certificate is missing still");
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["n".to_owned()]).unwrap().self_signed(&key).unwrap();
        credentials.store(&format!("{}{}", certificate.pem(), key.serialize_pem())).unwrap();
        assert!(!credentials.needs_bootstrap());
    }
}
