//! Whom this server trusts when it calls an extension, and who it says it is.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Why no TLS configuration can be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The CA bundle holds no certificate that could be used.
    #[error("unable to load root certificates: {0}")]
    Roots(String),
    /// The client certificate or its key is of no use.
    #[error("cannot use the client certificate: {0}")]
    Identity(String),
}

/// Whose certificates are believed.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// Those signed by this PEM bundle.
    Bundle(&'a [u8]),
    /// Those that the host's own trust store vouches for.
    Host,
    /// All: the administrator has switched verification off.
    Anybody,
}

/// A client's TLS configuration; `identity` is a certificate chain and its key, in PEM.
///
/// # Errors
/// Certificates or the key cannot be read.
pub fn config(trust: Trust<'_>, identity: Option<(&[u8], &[u8])>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Anybody => Arc::new(Anybody(Arc::clone(&provider))),
        Trust::Bundle(pem) => Arc::new(Verifier::new(certificates(pem)?, Arc::clone(&provider))?),
        Trust::Host => Arc::new(Verifier::new(host_roots(), Arc::clone(&provider))?),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Roots(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some((chain, key)) = identity else { return Ok(builder.with_no_client_auth()) };
    let unusable = |error: &dyn std::fmt::Display| TlsError::Identity(error.to_string());
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|error| unusable(&error))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| unusable(&error))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| unusable(&error))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Roots(error.to_string()))?;
    match found.is_empty() {
        true => Err(TlsError::Roots("the bundle has no certificate".to_owned())),
        false => Ok(found),
    }
}

/// The bundles that distributions keep, the first that exists.
fn host_roots() -> Vec<CertificateDer<'static>> {
    const BUNDLES: [&str; 5] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    let pem = BUNDLES.iter().find_map(|path| std::fs::read(path).ok()).unwrap_or_default();
    CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect()
}

/// Verifies as WebPKI does, and also believes a certificate that is itself in the bundle: self-signed serving
/// certificates whose `caBundle` is the certificate itself are common, and WebPKI refuses those that may sign.
#[derive(Debug)]
struct Verifier {
    /// `None` when no root can be an anchor.
    webpki: Option<Arc<WebPkiServerVerifier>>,
    bundle: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(bundle: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(bundle.iter().cloned());
        let webpki = match roots.is_empty() {
            true => None,
            false => Some(
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                    .build()
                    .map_err(|error| TlsError::Roots(error.to_string()))?,
            ),
        };
        Ok(Self { webpki, bundle, provider })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.bundle.iter().any(|known| known.as_ref() == certificate.as_ref()) {
            return pinned(certificate, name, now);
        }
        match &self.webpki {
            Some(webpki) => webpki.verify_server_cert(certificate, intermediates, name, ocsp, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The certificate is trusted by itself: what remains is whether it is valid now, and for this name.
fn pinned(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, rustls::Error> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    if now < validity.not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    let names = parsed.subject_alternative_name().ok().flatten();
    let mut names = names.iter().flat_map(|extension| extension.value.general_names.iter());
    match names.any(|alternative| is_for(alternative, name)) {
        true => Ok(ServerCertVerified::assertion()),
        false => Err(CertificateError::NotValidForName.into()),
    }
}

fn is_for(alternative: &GeneralName<'_>, name: &ServerName<'_>) -> bool {
    match (alternative, name) {
        (GeneralName::DNSName(pattern), ServerName::DnsName(name)) => {
            let (pattern, name) = (pattern.to_ascii_lowercase(), name.as_ref().to_ascii_lowercase());
            match pattern.strip_prefix("*.") {
                Some(parent) => name.split_once('.').is_some_and(|(_, rest)| rest == parent),
                None => pattern == name,
            }
        }
        (GeneralName::IPAddress(bytes), ServerName::IpAddress(address)) => {
            match std::net::IpAddr::from(*address) {
                std::net::IpAddr::V4(address) => *bytes == address.octets(),
                std::net::IpAddr::V6(address) => *bytes == address.octets(),
            }
        }
        _ => false,
    }
}

/// Takes any server certificate, but checks that the server has its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
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
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    /// A self-signed certificate that may sign others, as `openssl req -x509` makes it.
    fn self_signed(names: &[&str]) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_certificate_in_the_bundle_is_believed_for_its_names() {
        let certificate = self_signed(&["hook.ns.svc", "*.wild.example", "127.0.0.1"]);
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier::new(vec![certificate.clone()], Arc::clone(&provider)).unwrap();
        let check = |verifier: &Verifier, name: &str| {
            let name = ServerName::try_from(name.to_owned()).unwrap();
            verifier.verify_server_cert(&certificate, &[], &name, &[], UnixTime::now()).map(drop)
        };
        for (name, good) in [
            ("hook.ns.svc", true),
            ("a.wild.example", true),
            ("a.b.wild.example", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("other.ns.svc", false),
        ] {
            assert_eq!(check(&verifier, name).is_ok(), good, "{name}");
        }
        let stranger = Verifier::new(vec![self_signed(&["hook.ns.svc"])], provider).unwrap();
        assert!(check(&stranger, "hook.ns.svc").is_err());
    }

    #[test]
    fn an_empty_bundle_is_refused() {
        assert!(matches!(config(Trust::Bundle(b""), None), Err(TlsError::Roots(_))));
    }
}
