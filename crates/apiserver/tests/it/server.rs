//! An etcd and an apiserver of a test's own, and requests to them.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

/// The token of a cluster administrator.
pub const ADMIN: &str = "admintoken";

/// A running control plane; killed with the test.
pub struct Server {
    folder: TempDir,
    port: u16,
    /// None of a server beside another.
    etcd: Option<Child>,
    etcd_port: u16,
    apiserver: Child,
    authority: Arc<CertifiedIssuer<'static, KeyPair>>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub headers: http::HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The message of a Status.
    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

impl Server {
    /// Starts both and waits until the server is ready. `flags` come after the usual ones; `{}` in them is the folder.
    pub async fn start(flags: &[&str], files: &[(&str, String)]) -> Self {
        Self::start_without(&[], flags, files).await
    }

    /// Starts without those of the usual flags that begin so.
    pub async fn start_without(without: &[&str], flags: &[&str], files: &[(&str, String)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Arc::new(authority());
        write_keys(&folder, &authority);
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let (client, peer, port) = (free_port(), free_port(), free_port());
        let etcd = spawn(
            &folder,
            "etcd",
            PathBuf::from("etcd"),
            &[
                "--data-dir={}/etcd".to_owned(),
                "--unsafe-no-fsync".to_owned(),
                format!("--listen-client-urls=http://127.0.0.1:{client}"),
                format!("--advertise-client-urls=http://127.0.0.1:{client}"),
                format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
            ],
        );
        let usual = USUAL.iter().filter(|flag| !without.iter().any(|start| flag.starts_with(start)));
        let flags: Vec<&str> = usual.chain(flags).copied().collect();
        let apiserver = spawn_apiserver(&folder, client, port, &flags);
        let mut server = Self { folder, port, etcd: Some(etcd), etcd_port: client, apiserver, authority };
        server.wait_ready().await;
        server
    }

    /// A second server over the same etcd.
    pub async fn beside(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_keys(&folder, &self.authority);
        let (etcd_port, port) = (self.etcd_port, free_port());
        let apiserver = spawn_apiserver(&folder, etcd_port, port, &USUAL);
        let authority = Arc::clone(&self.authority);
        let mut server = Self { folder, port, etcd: None, etcd_port, apiserver, authority };
        server.wait_ready().await;
        server
    }

    /// Signs the certificates of a test: clients of the server, servers that it calls.
    pub fn authority(&self) -> &CertifiedIssuer<'static, KeyPair> {
        &self.authority
    }

    /// The certificate of an authority that nobody knows.
    pub fn stranger() -> String {
        authority().pem()
    }

    /// A request by the administrator.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.ask_as(&[("authorization", &format!("Bearer {ADMIN}"))], method, path, body).await
    }

    /// A request with these headers.
    pub async fn ask_as(
        &self,
        headers: &[(&str, &str)],
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        self.try_ask(headers, method, path, body).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// Repeats a GET until the answer is as wanted.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let began = Instant::now();
        loop {
            let answer = self.get(path).await;
            if wanted(&answer) {
                return answer;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "still {answer:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// The end of the server's log.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("apiserver.log")).unwrap_or_default();
        log[log.len().saturating_sub(4000)..].to_owned()
    }

    async fn wait_ready(&mut self) {
        let began = Instant::now();
        let admin = format!("Bearer {ADMIN}");
        loop {
            let answer = self.try_ask(&[("authorization", &admin)], Method::GET, "/readyz", None).await;
            if answer.is_ok_and(|answer| answer.code == 200) {
                return;
            }
            let ended = self.apiserver.try_wait().unwrap();
            assert!(
                ended.is_none() && began.elapsed() < Duration::from_secs(60),
                "the server is not ready: {ended:?}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn try_ask(
        &self,
        headers: &[(&str, &str)],
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer, Box<dyn std::error::Error>> {
        self.session().await?.ask(headers, method, path, body).await
    }

    /// A connection for several requests.
    pub async fn session(&self) -> Result<Session, Box<dyn std::error::Error>> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.connect().await?)).await?;
        tokio::spawn(connection);
        Ok(Session(sender))
    }

    /// A connection to the server, whose certificate is not looked at.
    pub async fn connect(&self) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(trusting()));
        connector.connect("127.0.0.1".try_into().unwrap(), stream).await
    }
}

/// One connection to a server.
pub struct Session(http1::SendRequest<Full<Bytes>>);

impl Session {
    /// One request.
    pub async fn ask(
        &mut self,
        headers: &[(&str, &str)],
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer, Box<dyn std::error::Error>> {
        let kind = match (&method, &body) {
            (&Method::PATCH, Some(Value::Array(_))) => "application/json-patch+json",
            (&Method::PATCH, _) => "application/merge-patch+json",
            _ => "application/json",
        };
        let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .header("content-type", kind)
            .body(Full::new(Bytes::from(body.map(|body| body.to_string()).unwrap_or_default())))?;
        let response = self.0.send_request(request).await?;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await?.to_bytes();
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| text());
        Ok(Answer { code: parts.status.as_u16(), headers: parts.headers, body })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for process in std::iter::once(&mut self.apiserver).chain(&mut self.etcd) {
            process.kill().ok();
            process.wait().ok();
        }
    }
}

/// The flags of every test.
const USUAL: [&str; 14] = [
    "--bind-address=127.0.0.1",
    "--advertise-address=192.0.2.1",
    "--cert-dir={}/certs",
    "--token-auth-file={}/tokens.csv",
    "--client-ca-file={}/ca.crt",
    "--authorization-mode=Node,RBAC",
    "--allow-privileged=true",
    "--service-cluster-ip-range=10.96.0.0/16",
    "--service-account-issuer=https://kubernetes.default.svc",
    "--service-account-key-file={}/sa.key",
    "--service-account-signing-key-file={}/sa.key",
    "--requestheader-username-headers=X-Remote-User",
    "--requestheader-group-headers=X-Remote-Group",
    "--requestheader-extra-headers-prefix=X-Remote-Extra-",
];

fn spawn(folder: &TempDir, name: &str, program: PathBuf, arguments: &[String]) -> Child {
    let log = std::fs::File::create(folder.path().join(format!("{name}.log"))).unwrap();
    let place = folder.path().display().to_string();
    Command::new(program)
        .args(arguments.iter().map(|argument| argument.replace("{}", &place)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {name} (package etcd-server): {error}"))
}

fn spawn_apiserver(folder: &TempDir, etcd: u16, port: u16, flags: &[&str]) -> Child {
    let mut arguments =
        vec![format!("--etcd-servers=http://127.0.0.1:{etcd}"), format!("--secure-port={port}")];
    arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
    spawn(folder, "apiserver", PathBuf::from(env!("CARGO_BIN_EXE_kube-apiserver")), &arguments)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A certificate authority.
pub fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "test-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn write_keys(folder: &TempDir, authority: &CertifiedIssuer<'static, KeyPair>) {
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("ca.crt", authority.pem());
    write("sa.key", KeyPair::generate().unwrap().serialize_pem());
    write(
        "tokens.csv",
        format!("{ADMIN},admin,admin,system:masters\nusertoken,alice,alice,\"developers\"\n"),
    );
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "front-proxy-client");
    params.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::ClientAuth);
    write("front-proxy-client.crt", params.signed_by(&key, authority).unwrap().pem());
    write("front-proxy-client.key", key.serialize_pem());
}

/// A certificate for a server of these names, and its key.
pub fn serving(
    authority: &CertifiedIssuer<'static, KeyPair>,
    names: &[&str],
) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = CertificateParams::new(names).unwrap();
    (params.signed_by(&key, authority).unwrap(), key)
}

fn trusting() -> rustls::ClientConfig {
    #[derive(Debug)]
    struct Anybody(Arc<rustls::crypto::CryptoProvider>);
    impl rustls::client::danger::ServerCertVerifier for Anybody {
        fn verify_server_cert(
            &self,
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &[rustls::pki_types::CertificateDer<'_>],
            _: &rustls::pki_types::ServerName<'_>,
            _: &[u8],
            _: rustls::pki_types::UnixTime,
        ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
            Ok(rustls::client::danger::ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth()
}

/// A configmap.
pub fn configmap(name: &str, labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": {"k": "v"}})
}
