//! Client certificates: the common name is the user, organizations are groups.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Attempt, ConfigError, Identity, read};
use crate::{UserInfo, names};

/// Object identifier of a subject's uid attribute (KEP-4935): 1.3.6.1.4.1.57683.2.
const UID_ATTRIBUTE: &str = "1.3.6.1.4.1.57683.2";

/// The client end of one TLS connection. Its chain is verified at the first request and the verdict kept:
/// only expiry can change while the connection lives.
#[derive(Debug)]
pub struct Peer {
    chain: Vec<CertificateDer<'static>>,
    user: OnceLock<Result<Leaf, String>>,
    proxy: OnceLock<Result<Leaf, String>>,
}

#[derive(Clone, Debug)]
struct Leaf {
    user: UserInfo,
    not_before: i64,
    not_after: i64,
}

impl Peer {
    /// The certificates that the client presented, its own first; `None` when it presented none.
    pub fn new(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let chain: Vec<_> = chain.iter().map(|c| c.clone().into_owned()).collect();
        (!chain.is_empty()).then(|| Self { chain, user: OnceLock::new(), proxy: OnceLock::new() })
    }
}

/// A set of trusted signers of client certificates.
pub(super) struct CertificateAuthority {
    verifier: Arc<dyn ClientCertVerifier>,
}

impl CertificateAuthority {
    pub(super) fn load(flag: &'static str, path: &Path) -> Result<Self, ConfigError> {
        let pem = read(flag, path)?;
        Self::from_pem(&pem).map_err(|why| ConfigError::content(flag, path, why))
    }

    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| format!("not PEM: {e}"))?;
            roots.add(certificate).map_err(|e| format!("a certificate cannot be used: {e}"))?;
        }
        if roots.is_empty() {
            return Err("there is no PEM certificate in it".to_owned());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self { verifier: verifier.map_err(|e| e.to_string())? })
    }

    /// The user that the peer's certificate names.
    pub(super) fn authenticate(&self, peer: &Peer, now: Timestamp) -> Attempt {
        let leaf = self.verified(peer, &peer.user, now)?;
        if leaf.user.name.is_empty() {
            return Ok(None);
        }
        Ok(Some(Identity { user: leaf.user.clone(), audiences: Vec::new() }))
    }

    /// The common name of a front proxy.
    pub(super) fn verify_front_proxy(&self, peer: &Peer, now: Timestamp) -> Result<String, String> {
        Ok(self.verified(peer, &peer.proxy, now)?.user.name.clone())
    }

    fn verified<'p>(
        &self,
        peer: &Peer,
        slot: &'p OnceLock<Result<Leaf, String>>,
        now: Timestamp,
    ) -> Result<&'p Leaf, String> {
        let leaf = slot.get_or_init(|| self.verify(&peer.chain, now)).as_ref().map_err(Clone::clone)?;
        let second = now.as_second();
        if second > leaf.not_after || second < leaf.not_before {
            return Err("x509: certificate has expired or is not yet valid".to_owned());
        }
        Ok(leaf)
    }

    fn verify(&self, chain: &[CertificateDer<'static>], now: Timestamp) -> Result<Leaf, String> {
        let (own, intermediates) = chain.split_first().ok_or("x509: no certificate")?;
        let since_epoch = std::time::Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default());
        let leaf = parse(own)?;
        self.verifier
            .verify_client_cert(own, intermediates, UnixTime::since_unix_epoch(since_epoch))
            .map_err(|e| format!("x509: certificate of {:?} is not trusted: {e}", leaf.user.name))?;
        Ok(leaf)
    }
}

fn parse(der: &[u8]) -> Result<Leaf, String> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|e| format!("x509: cannot be parsed: {e}"))?;
    let subject = certificate.subject();
    let text = |a: &x509_parser::x509::AttributeTypeAndValue<'_>| a.as_str().map(str::to_owned).ok();
    // Of several common names the last counts, as in Go's pkix.Name.
    let name = subject.iter_common_name().filter_map(text).last().unwrap_or_default();
    let groups: Vec<String> = subject.iter_organization().filter_map(text).collect();
    let uid =
        subject.iter_attributes().find(|a| a.attr_type().to_id_string() == UID_ATTRIBUTE).and_then(text);
    let fingerprint: String = Sha256::digest(der).iter().map(|b| format!("{b:02x}")).collect();
    let mut user = UserInfo { uid: uid.unwrap_or_default(), ..UserInfo::new(name, groups) };
    user.extra.insert(names::EXTRA_CREDENTIAL_ID.to_owned(), vec![format!("X509SHA256={fingerprint}")]);
    let validity = certificate.validity();
    Ok(Leaf { user, not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() })
}

/// For the TLS server: asks for a client certificate, wants proof of its key, and leaves trust to
/// [`super::Authenticator`], so that an unknown certificate is answered 401 and not by a broken handshake.
#[derive(Debug)]
pub struct AnyClientCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyClientCertificate {
    /// A verifier that uses the provider's signature algorithms.
    pub fn new(provider: &CryptoProvider) -> Self {
        Self { algorithms: provider.signature_verification_algorithms }
    }
}

impl ClientCertVerifier for AnyClientCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _own: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
