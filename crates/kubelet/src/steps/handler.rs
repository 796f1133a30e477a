//! What probes and hooks do: run a command, fetch a URL, open a connection, ask a gRPC health service.

use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::{Container, ExecAction, GRPCAction, HTTPGetAction, TCPSocketAction};
use api_types::k8s::apimachinery::pkg::util::intstr::IntOrString;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;

use crate::cri::Runtime;

/// What a handler found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Fine.
    Success,
    /// Not fine, and why.
    Failure(String),
    /// The handler itself could not run; says nothing about the container.
    Unknown(String),
}

/// As much of an answer as is shown to users.
const MAX_BODY: usize = 10 * 1024;
/// A chain of redirections longer than this is an error.
const MAX_REDIRECTS: usize = 10;

/// Runs a command in a container; success is exit code 0. `limit` zero means none.
pub async fn exec(runtime: &Runtime, id: &str, action: &ExecAction, limit: Duration) -> Outcome {
    let command = action.command.clone().unwrap_or_default();
    let shown = command.join(" ");
    match runtime.exec_sync(id, command, limit).await {
        Ok(answer) if answer.exit_code == 0 => Outcome::Success,
        Ok(answer) => {
            let mut output = answer.stdout;
            output.extend(answer.stderr);
            output.truncate(MAX_BODY);
            let output = String::from_utf8_lossy(&output).into_owned();
            Outcome::Failure(if output.is_empty() {
                format!("command '{shown}' exited with {}", answer.exit_code)
            } else {
                output
            })
        }
        Err(
            crate::cri::Error::Call { code: tonic::Code::DeadlineExceeded, .. }
            | crate::cri::Error::Timeout { .. },
        ) => Outcome::Failure(format!("command timed out: \"{shown}\" timed out after {}s", limit.as_secs())),
        Err(error) => Outcome::Unknown(error.to_string()),
    }
}

/// Opens a TCP connection.
pub async fn tcp(
    container: &Container,
    action: &TCPSocketAction,
    ip: Option<&str>,
    limit: Duration,
) -> Outcome {
    let Some(port) = port(container, &action.port) else {
        return Outcome::Unknown(format!(
            "port {:?} of container {:?} is unknown",
            action.port, container.name
        ));
    };
    let Some(host) = action.host.as_deref().filter(|host| !host.is_empty()).or(ip) else {
        return Outcome::Unknown("the pod has no address yet".into());
    };
    match tokio::time::timeout(limit, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Outcome::Success,
        Ok(Err(error)) => Outcome::Failure(format!("dial tcp {}: connect: {error}", address(host, port))),
        Err(_) => Outcome::Failure(format!("dial tcp {}: i/o timeout", address(host, port))),
    }
}

/// Fetches a URL; 200 to 399 is success. Redirections within the host are followed.
pub async fn http_get(
    container: &Container,
    action: &HTTPGetAction,
    ip: Option<&str>,
    limit: Duration,
    agent: &str,
) -> Outcome {
    let Some(port) = port(container, &action.port) else {
        return Outcome::Unknown(format!(
            "port {:?} of container {:?} is unknown",
            action.port, container.name
        ));
    };
    let Some(host) = action.host.as_deref().filter(|host| !host.is_empty()).or(ip) else {
        return Outcome::Unknown("the pod has no address yet".into());
    };
    let tls = action.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    let mut path = action.path.clone().unwrap_or_default();
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
    let scheme = if tls { "https" } else { "http" };
    let url = format!("{scheme}://{}{path}", address(host, port));
    match tokio::time::timeout(limit, follow(host, port, tls, path, action, agent)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Outcome::Failure(format!("Get \"{url}\": {error}")),
        Err(_) => Outcome::Failure(format!(
            "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
    }
}

/// Asks a gRPC health service (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>).
pub async fn grpc(action: &GRPCAction, ip: Option<&str>, limit: Duration) -> Outcome {
    let (Some(host), Ok(port)) = (ip, u16::try_from(action.port)) else {
        return Outcome::Unknown("the pod has no address yet".into());
    };
    let service = action.service.clone().unwrap_or_default();
    match tokio::time::timeout(limit, health_check(&address(host, port), &service)).await {
        Ok(Ok(SERVING)) => Outcome::Success,
        Ok(Ok(other)) => Outcome::Failure(format!("service unhealthy (responded with status {other})")),
        Ok(Err(error)) => Outcome::Failure(format!("error: health rpc probe failed: {error}")),
        Err(_) => Outcome::Failure(format!(
            "timeout: failed to connect service \"{}\" within {}s",
            address(host, port),
            limit.as_secs()
        )),
    }
}

/// grpc.health.v1.HealthCheckResponse.SERVING
const SERVING: i32 = 1;

#[derive(Clone, PartialEq, prost::Message)]
struct HealthRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

async fn health_check(address: &str, service: &str) -> Result<i32, String> {
    let endpoint =
        tonic::transport::Endpoint::from_shared(format!("http://{address}")).map_err(|e| e.to_string())?;
    let channel = endpoint.connect().await.map_err(|error| error.to_string())?;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| error.to_string())?;
    let codec = tonic_prost::ProstCodec::<HealthRequest, HealthResponse>::default();
    let path = http::uri::PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    let request = tonic::Request::new(HealthRequest { service: service.into() });
    let answer = client.unary(request, path, codec).await.map_err(|status| status.message().to_owned())?;
    Ok(answer.into_inner().status)
}

/// A port by number, or by the name that the container gives it.
fn port(container: &Container, port: &IntOrString) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
            named.map(|port| port.container_port).or_else(|| name.parse().ok())?
        }
    };
    u16::try_from(number).ok().filter(|number| *number > 0)
}

fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn follow(
    host: &str,
    port: u16,
    tls: bool,
    mut path: String,
    action: &HTTPGetAction,
    agent: &str,
) -> Result<Outcome, Failed> {
    for _ in 0..=MAX_REDIRECTS {
        let answer = fetch(host, port, tls, &path, action, agent).await?;
        let status = answer.status();
        let location = answer.headers().get(http::header::LOCATION).and_then(|value| value.to_str().ok());
        match location.filter(|_| status.is_redirection()).map(|location| next_path(location, host)) {
            Some(Some(next)) => path = next,
            // To another host: the container answers, so it is alive; nobody else is asked.
            Some(None) => return Ok(Outcome::Success),
            None if status.is_success() || status.is_redirection() => return Ok(Outcome::Success),
            None => {
                return Ok(Outcome::Failure(format!(
                    "HTTP probe failed with statuscode: {}",
                    status.as_u16()
                )));
            }
        }
    }
    Err(format!("stopped after {MAX_REDIRECTS} redirects").into())
}

fn next_path(location: &str, host: &str) -> Option<String> {
    let uri: http::Uri = location.parse().ok()?;
    match uri.host() {
        Some(other) if other != host => None,
        _ => uri.path_and_query().map(|path| path.as_str().to_owned()),
    }
}

async fn fetch(
    host: &str,
    port: u16,
    tls: bool,
    path: &str,
    action: &HTTPGetAction,
    agent: &str,
) -> Result<http::Response<Bytes>, Failed> {
    let mut request = http::Request::get(path);
    let mut named = (false, false);
    for header in action.http_headers.iter().flatten() {
        named.0 |= header.name.eq_ignore_ascii_case("host");
        named.1 |= header.name.eq_ignore_ascii_case("user-agent");
        request = request.header(&header.name, &header.value);
    }
    if !named.0 {
        request = request.header("Host", address(host, port));
    }
    if !named.1 {
        request = request.header("User-Agent", format!("{agent}/1.36"));
    }
    let request = request.header("Accept", "*/*").header("Connection", "close").body(Empty::<Bytes>::new())?;
    let stream = TcpStream::connect((host, port)).await?;
    if tls {
        let name = ServerName::try_from(host.to_owned())?;
        let stream = tokio_rustls::TlsConnector::from(unverified()).connect(name, stream).await?;
        send(TokioIo::new(stream), request).await
    } else {
        send(TokioIo::new(stream), request).await
    }
}

async fn send<T>(io: T, request: http::Request<Empty<Bytes>>) -> Result<http::Response<Bytes>, Failed>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(request).await;
    let collected = match answer {
        Ok(answer) => {
            let (parts, body) = answer.into_parts();
            // A long body is cut off; the status is what counts.
            let body = Limited::new(body, MAX_BODY).collect().await.map(http_body_util::Collected::to_bytes);
            Ok(http::Response::from_parts(parts, body.unwrap_or_default()))
        }
        Err(error) => Err(error.into()),
    };
    driver.abort();
    collected
}

/// Probes do not check certificates: the kubelet asks whether the container answers, not who it is.
fn unverified() -> Arc<rustls::ClientConfig> {
    static CONFIG: std::sync::OnceLock<Arc<rustls::ClientConfig>> = std::sync::OnceLock::new();
    let make = || {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(AnyCertificate(provider.clone()));
        let builder =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        // The provider is ring's, which has the default versions' cipher suites.
        let builder = builder.expect("ring supports the default TLS versions");
        Arc::new(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
    };
    CONFIG.get_or_init(make).clone()
}

#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn answer(text: &'static str) -> (u16, tokio::task::JoinHandle<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1024];
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(read > 0);
            stream.write_all(text.as_bytes()).await.unwrap();
        });
        (port, task)
    }

    #[tokio::test]
    async fn http_statuses_decide() {
        for (text, fine) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true),
            ("HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n", true),
            ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", false),
        ] {
            let (port, task) = answer(text).await;
            let container = Container {
                ports: Some(vec![api_types::k8s::api::core::v1::ContainerPort {
                    name: Some("web".into()),
                    container_port: port.into(),
                    ..Default::default()
                }]),
                ..Container::default()
            };
            let action =
                HTTPGetAction { port: IntOrString::String("web".into()), ..HTTPGetAction::default() };
            let outcome =
                http_get(&container, &action, Some("127.0.0.1"), Duration::from_secs(5), "kube-probe").await;
            assert_eq!(outcome == Outcome::Success, fine, "{outcome:?}");
            task.await.unwrap();
        }
    }
}
