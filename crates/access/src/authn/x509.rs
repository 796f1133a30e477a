//! Client certificates: the common name is the user, organizations are groups.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Attempt, ConfigError, Identity, read};
use crate::{UserInfo, names};

/// Object identifier of a subject's uid attribute (KEP-4935): 1.3.6.1.4.1.57683.2.
const UID_ATTRIBUTE: &str = "1.3.6.1.4.1.57683.2";

/// The client end of one TLS connection. Its chain is verified at the first request and the verdict kept: while
/// the connection lives only the clock and the trusted signers can change.
#[derive(Debug)]
pub struct Peer {
    chain: Vec<CertificateDer<'static>>,
    user: Mutex<Option<Verdict>>,
    proxy: Mutex<Option<Verdict>>,
}

/// What a generation of signers says of a chain.
#[derive(Clone, Debug)]
struct Verdict {
    generation: u64,
    leaf: Result<Arc<Leaf>, String>,
}

#[derive(Debug)]
struct Leaf {
    user: UserInfo,
    not_before: i64,
    not_after: i64,
}

impl Peer {
    /// The certificates that the client presented, its own first; `None` when it presented none.
    pub fn new(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let chain: Vec<_> = chain.iter().map(|c| c.clone().into_owned()).collect();
        (!chain.is_empty()).then(|| Self { chain, user: Mutex::default(), proxy: Mutex::default() })
    }
}

/// The trusted signers of client certificates in a file, which may be exchanged while the server runs.
pub(super) struct CertificateAuthority {
    flag: &'static str,
    path: PathBuf,
    current: RwLock<Signers>,
}

struct Signers {
    generation: u64,
    pem: Vec<u8>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl CertificateAuthority {
    pub(super) fn load(flag: &'static str, path: &Path) -> Result<Self, ConfigError> {
        let pem = read(flag, path)?;
        let verifier = verifier(&pem).map_err(|why| ConfigError::content(flag, path, why))?;
        let current = RwLock::new(Signers { generation: 0, pem, verifier });
        Ok(Self { flag, path: path.to_owned(), current })
    }

    /// Reads the file again; whether it has changed. On failure the signers stay as they are.
    pub(super) fn reload(&self) -> Result<bool, ConfigError> {
        let pem = read(self.flag, &self.path)?;
        if pem == self.current.read().pem {
            return Ok(false);
        }
        let verifier = verifier(&pem).map_err(|why| ConfigError::content(self.flag, &self.path, why))?;
        let mut current = self.current.write();
        *current = Signers { generation: current.generation + 1, pem, verifier };
        Ok(true)
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

    fn verified(
        &self,
        peer: &Peer,
        slot: &Mutex<Option<Verdict>>,
        now: Timestamp,
    ) -> Result<Arc<Leaf>, String> {
        let (generation, verifier) = {
            let current = self.current.read();
            (current.generation, current.verifier.clone())
        };
        let known = slot.lock().clone().filter(|verdict| verdict.generation == generation);
        let verdict = known.unwrap_or_else(|| {
            let verdict = Verdict { generation, leaf: verify(&*verifier, &peer.chain, now).map(Arc::new) };
            *slot.lock() = Some(verdict.clone());
            verdict
        });
        let leaf = verdict.leaf?;
        let second = now.as_second();
        if second > leaf.not_after || second < leaf.not_before {
            return Err("x509: certificate has expired or is not yet valid".to_owned());
        }
        Ok(leaf)
    }
}

fn verifier(pem: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| format!("not PEM: {e}"))?;
        roots.add(certificate).map_err(|e| format!("a certificate cannot be used: {e}"))?;
    }
    if roots.is_empty() {
        return Err("there is no PEM certificate in it".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let built = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    built.map_err(|e| e.to_string())
}

fn verify(
    verifier: &dyn ClientCertVerifier,
    chain: &[CertificateDer<'static>],
    now: Timestamp,
) -> Result<Leaf, String> {
    let (own, intermediates) = chain.split_first().ok_or("x509: no certificate")?;
    let since_epoch = std::time::Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default());
    let leaf = parse(own)?;
    verifier
        .verify_client_cert(own, intermediates, UnixTime::since_unix_epoch(since_epoch))
        .map_err(|e| format!("x509: certificate of {:?} is not trusted: {e}", leaf.user.name))?;
    Ok(leaf)
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
