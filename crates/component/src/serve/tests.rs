use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

async fn hello(request: http::Request<Incoming>) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let peer = request.extensions().get::<Peer>().unwrap();
    let text = format!("{}:{}", peer.secure, peer.subject().map(|s| s.common_name).unwrap_or_default());
    Ok(http::Response::new(Full::from(text)))
}

#[derive(Debug)]
struct TrustAll;

impl rustls::client::danger::ServerCertVerifier for TrustAll {
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
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

async fn fetch(address: SocketAddr, client: Option<(String, String)>) -> String {
    use rustls::pki_types::pem::PemObject;
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TrustAll));
    let config = match client {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => builder
            .with_client_auth_cert(
                vec![rustls::pki_types::CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
                rustls::pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text.rsplit("\r\n").next().unwrap().to_owned()
}

#[tokio::test]
async fn serves_tls_and_hands_on_the_client_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = Certificate::SelfSigned { dir: Some(dir.path().to_owned()), name: "test".into() };
    let mut config = Config::new(loopback());
    config.tls = Some(Tls::new(certificate));
    let server = Server::bind(config).await.unwrap();
    assert!(
        server.certificate_pem().unwrap()
            == std::fs::read_to_string(dir.path().join("test.crt")).unwrap().replace("\r\n", "\n")
    );
    let address = server.local_addr();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(server.serve(tower::service_fn(hello), shutdown.clone()));
    assert_eq!(fetch(address, None).await, "true:");
    let pair = self_signed("system:node:a", &["a".to_owned()]).unwrap();
    assert_eq!(fetch(address, Some(pair)).await, "true:system:node:a");
    shutdown.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_taken_port_names_its_holder() {
    let first = Server::bind(Config::new(loopback())).await.unwrap();
    let error = Server::bind(Config::new(first.local_addr())).await.err().unwrap();
    let Error::PortInUse { holder, .. } = error else { panic!("{error}") };
    assert!(holder.contains(&std::process::id().to_string()), "{holder}");
}

#[tokio::test]
async fn foreign_and_expired_pairs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, _) = self_signed("a", &["a".to_owned()]).unwrap();
    let (_, key) = self_signed("b", &["b".to_owned()]).unwrap();
    let (cert_path, key_path) = (dir.path().join("c"), dir.path().join("k"));
    std::fs::write(&cert_path, cert).unwrap();
    std::fs::write(&key_path, key).unwrap();
    let mut config = Config::new(loopback());
    config.tls = Some(Tls::new(Certificate::Files { cert: cert_path.clone(), key: key_path.clone() }));
    let error = Server::bind(config.clone()).await.err().unwrap().to_string();
    assert!(error.contains("is not the key of certificate"), "{error}");

    let pair = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    std::fs::write(&cert_path, params.self_signed(&pair).unwrap().pem()).unwrap();
    std::fs::write(&key_path, pair.serialize_pem()).unwrap();
    let error = Server::bind(config).await.err().unwrap().to_string();
    assert!(error.contains("expired at 2020-01-01"), "{error}");
}
