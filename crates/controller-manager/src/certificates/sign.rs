//! `certificatesigningrequest-signing-controller`: signs approved requests of the four built-in signers.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use api_types::k8s::ByteString;
use api_types::k8s::api::certificates::v1::CertificateSigningRequest;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::{Informer, Key, Writer, Writes};
use jiff::Timestamp;
use rcgen::{
    CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::request::{self, Request};
use super::{has, issued, with_condition};
use crate::context::Context;
use crate::options::Signing;

/// Certificates are valid from a little before now, for clocks that are behind.
const BACKDATE: i64 = 5 * 60;

/// Runs the controller until shutdown; without a CA nothing is signed.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let signing = &context.options.signing;
    let pairs: Vec<Pair> = pairs(signing);
    if pairs.is_empty() {
        tracing::info!("no --cluster-signing-cert-file: certificate requests are not signed");
        return Ok(());
    }
    for pair in &pairs {
        // A bad file shows at the start, not at the first request.
        pair.read().await?;
    }
    let requests = context.informers.all::<CertificateSigningRequest>();
    let reconciler = Signer {
        requests: requests.clone(),
        writer: context.writer(),
        pairs,
        longest: signing.cluster_signing_duration.0,
    };
    Controller::new("csrsigning", reconciler, context.shutdown)
        .watch(&requests, |change| vec![change.key.clone()])
        .run(5)
        .await;
    Ok(())
}

/// Files that sign for one signer. They are read for every signature, so that a renewed CA is used at once.
struct Pair {
    signer: &'static str,
    cert: PathBuf,
    key: PathBuf,
}

fn pairs(signing: &Signing) -> Vec<Pair> {
    let general = signing.cluster_signing_cert_file.clone().zip(signing.cluster_signing_key_file.clone());
    let own = [
        (
            request::KUBELET_SERVING,
            &signing.cluster_signing_kubelet_serving_cert_file,
            &signing.cluster_signing_kubelet_serving_key_file,
        ),
        (
            request::KUBELET_CLIENT,
            &signing.cluster_signing_kubelet_client_cert_file,
            &signing.cluster_signing_kubelet_client_key_file,
        ),
        (
            request::CLIENT,
            &signing.cluster_signing_kube_apiserver_client_cert_file,
            &signing.cluster_signing_kube_apiserver_client_key_file,
        ),
        (
            request::LEGACY,
            &signing.cluster_signing_legacy_unknown_cert_file,
            &signing.cluster_signing_legacy_unknown_key_file,
        ),
    ];
    let pair = |(signer, cert, key): (&'static str, &Option<PathBuf>, &Option<PathBuf>)| {
        let (cert, key) = cert.clone().zip(key.clone()).or_else(|| general.clone())?;
        Some(Pair { signer, cert, key })
    };
    own.into_iter().filter_map(pair).collect()
}

impl Pair {
    async fn read(&self) -> Result<Ca, anyhow::Error> {
        let cert = tokio::fs::read_to_string(&self.cert).await;
        let cert = cert.with_context(|| format!("cannot read CA certificate {}", self.cert.display()))?;
        let key = tokio::fs::read_to_string(&self.key).await;
        let key = key.with_context(|| format!("cannot read CA key {}", self.key.display()))?;
        Ca::new(&cert, &key)
            .with_context(|| format!("{} and {} cannot sign", self.cert.display(), self.key.display()))
    }
}

/// A CA that can sign.
pub(super) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    expires: i64,
}

impl Ca {
    pub(super) fn new(cert: &str, key: &str) -> Result<Self, anyhow::Error> {
        let (_, block) = x509_parser::pem::parse_x509_pem(cert.as_bytes())?;
        let expires = block.parse_x509()?.validity().not_after.timestamp();
        let key = KeyPair::from_pem(key)
            .context("the key is not PKCS#8 in PEM; convert it with openssl pkcs8 -topk8 -nocrypt")?;
        Ok(Self { issuer: Issuer::from_ca_cert_pem(cert, key)?, expires })
    }

    /// Signs a PEM request for the given usages.
    pub(super) fn sign(
        &self,
        request: &[u8],
        usages: &[String],
        valid: Duration,
        now: Timestamp,
    ) -> Result<String, anyhow::Error> {
        let text = std::str::from_utf8(request)?;
        let mut csr = CertificateSigningRequestParams::from_pem(text)?;
        let now = now.as_second();
        let until = now.saturating_add(i64::try_from(valid.as_secs()).unwrap_or(i64::MAX)).min(self.expires);
        // rcgen's constructor knows whole days only; seconds are added to the first one.
        let at = |seconds: i64| {
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
        };
        csr.params.not_before = at(now - BACKDATE);
        csr.params.not_after = at(until);
        csr.params.is_ca = IsCa::ExplicitNoCa;
        csr.params.key_usages = usages.iter().filter_map(|usage| key_usage(usage)).collect();
        csr.params.extended_key_usages = usages.iter().filter_map(|usage| extended_usage(usage)).collect();
        csr.params.use_authority_key_identifier_extension = true;
        Ok(csr.signed_by(&self.issuer)?.pem())
    }
}

fn key_usage(name: &str) -> Option<KeyUsagePurpose> {
    Some(match name {
        "signing" | "digital signature" => KeyUsagePurpose::DigitalSignature,
        "content commitment" => KeyUsagePurpose::ContentCommitment,
        "key encipherment" => KeyUsagePurpose::KeyEncipherment,
        "key agreement" => KeyUsagePurpose::KeyAgreement,
        "data encipherment" => KeyUsagePurpose::DataEncipherment,
        "cert sign" => KeyUsagePurpose::KeyCertSign,
        "crl sign" => KeyUsagePurpose::CrlSign,
        "encipher only" => KeyUsagePurpose::EncipherOnly,
        "decipher only" => KeyUsagePurpose::DecipherOnly,
        _ => return None,
    })
}

fn extended_usage(name: &str) -> Option<ExtendedKeyUsagePurpose> {
    Some(match name {
        "any" => ExtendedKeyUsagePurpose::Any,
        "server auth" => ExtendedKeyUsagePurpose::ServerAuth,
        "client auth" => ExtendedKeyUsagePurpose::ClientAuth,
        "code signing" => ExtendedKeyUsagePurpose::CodeSigning,
        "email protection" | "s/mime" => ExtendedKeyUsagePurpose::EmailProtection,
        "timestamping" => ExtendedKeyUsagePurpose::TimeStamping,
        "ocsp signing" => ExtendedKeyUsagePurpose::OcspSigning,
        _ => return None,
    })
}

struct Signer {
    requests: Informer<CertificateSigningRequest>,
    writer: Writer<CertificateSigningRequest>,
    pairs: Vec<Pair>,
    longest: Duration,
}

#[async_trait]
impl Reconciler for Signer {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(csr) = self.requests.store().get(key) else { return Ok(Next::Wait) };
        if issued(&csr) || !has(&csr, "Approved") || has(&csr, "Denied") || has(&csr, "Failed") {
            return Ok(Next::Wait);
        }
        let Some(pair) = self.pairs.iter().find(|pair| pair.signer == csr.spec.signer_name) else {
            return Ok(Next::Wait);
        };
        let usages = csr.spec.usages.clone().unwrap_or_default();
        let refusal = match Request::parse(&csr.spec.request.0) {
            Some(request) => request::validate(&csr.spec.signer_name, &request, &usages).err(),
            None => Some("unable to parse csr".to_owned()),
        };
        if let Some(message) = refusal {
            let failed =
                with_condition(&csr, "Failed", "SignerValidationFailure", &message, Timestamp::now());
            self.writer.update_status(writes, &failed).await?;
            return Ok(Next::Wait);
        }
        let asked = csr
            .spec
            .expiration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map(Duration::from_secs);
        // Ten minutes is the least that upstream signs for.
        let valid = asked.map_or(self.longest, |asked| asked.clamp(Duration::from_secs(600), self.longest));
        let certificate = pair.read().await?.sign(&csr.spec.request.0, &usages, valid, Timestamp::now())?;
        let mut signed = CertificateSigningRequest::clone(&csr);
        signed.status.get_or_insert_default().certificate = Some(ByteString(certificate.into_bytes()));
        self.writer.update_status(writes, &signed).await?;
        tracing::info!(request = %key, signer = csr.spec.signer_name, "signed a certificate");
        Ok(Next::Wait)
    }
}
