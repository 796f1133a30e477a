//! Connections to kubelets and pods.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::location::Location;
use crate::error::{Error, Result};
use crate::options::Cluster;

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Who this server is to its peer, and whom it trusts.
pub enum Identity<'a> {
    /// A client of kubelets, with the certificates of the `--kubelet-*` flags.
    Kubelet(&'a Cluster),
    /// Nobody: pods and services, whose certificates nobody vouches for.
    Anonymous,
}

/// How long a pod or service may take to accept a connection.
const POD_TIMEOUT: Duration = Duration::from_secs(30);

/// Connects.
///
/// # Errors
/// `InternalError` naming the address and what failed: nobody listens, a firewall swallows packets, certificates do not
/// fit.
pub async fn connect(location: &Location, identity: &Identity<'_>) -> Result<Box<dyn Stream>> {
    let authority = location.authority();
    let failed = |why: &dyn std::fmt::Display| {
        Error::internal(format!("error dialing backend: dial tcp {authority}: {why}"))
    };
    let limit = match identity {
        Identity::Kubelet(cluster) => cluster.kubelet_timeout.0,
        Identity::Anonymous => POD_TIMEOUT,
    };
    let connecting = async {
        let stream = TcpStream::connect((location.host.as_str(), location.port))
            .await
            .map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        if !location.tls {
            return Ok(Box::new(stream) as Box<dyn Stream>);
        }
        let connector = TlsConnector::from(Arc::new(tls(identity)?));
        let name = ServerName::try_from(location.host.clone()).map_err(|error| failed(&error))?;
        let stream = connector.connect(name, stream).await.map_err(|error| failed(&error))?;
        Ok(Box::new(stream) as Box<dyn Stream>)
    };
    match tokio::time::timeout(limit, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(failed(&format_args!(
            "i/o timeout after {} s; is the port open between the hosts?",
            limit.as_secs()
        ))),
    }
}

/// The TLS side of an identity. Files are read at each connection, so renewed certificates need no restart; exec and
/// logs are rare enough.
fn tls(identity: &Identity<'_>) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?;
    let Identity::Kubelet(cluster) = identity else {
        let builder =
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)));
        return Ok(builder.with_no_client_auth());
    };
    let builder = match &cluster.kubelet_certificate_authority {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| unusable(path, &error))?;
            }
            builder.with_root_certificates(roots)
        }
        // As upstream: kubelets make their own serving certificates unless the administrator sets up a CA for them.
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
    };
    match (&cluster.kubelet_client_certificate, &cluster.kubelet_client_key) {
        (Some(certificate), Some(key)) => {
            let pem = fs::read(key).map_err(|error| unusable(key, &error))?;
            let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| unusable(key, &error))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, private)
                .map_err(|error| unusable(certificate, &error))
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = fs::read(path).map_err(|error| unusable(path, &error))?;
    CertificateDer::pem_slice_iter(&pem)
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::internal(format!("cannot use {} for connections to kubelets: {error}", path.display()))
}

/// Takes any server certificate, but checks that the server has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
