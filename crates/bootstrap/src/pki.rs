//! The cluster's keys and certificates, in kubeadm's layout under `/etc/kubernetes/pki`.
//!
//! Everything is ECDSA P-256. A certificate that exists and is still good for a month is kept, so the phase may be run
//! again at any time; a CA is never replaced, since that would cut off every kubelet.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::{Span, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use sha2::{Digest, Sha256};

use crate::failure::{Attempt, Failure, Result};
use crate::files::{self, Mode};

/// Lifetime of a CA, in days.
const CA_DAYS: i64 = 3650;
/// Lifetime of every other certificate, in days.
const LEAF_DAYS: i64 = 365;
/// A certificate with less than this left is made anew when the phase runs, in days.
const RENEW_BEFORE_DAYS: i64 = 30;

/// A certificate authority: its key and its certificate.
pub struct Authority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with the private key that belongs to it, both PEM.
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS#8.
    pub key: String,
}

/// What a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// Presented by servers.
    Server,
    /// Presented by clients.
    Client,
    /// Both, as etcd's peers need it.
    Both,
}

/// What to write into a certificate.
pub struct Request<'a> {
    /// Common name: the user name of a client.
    pub common_name: &'a str,
    /// Organizations: the groups of a client.
    pub organizations: &'a [&'a str],
    /// What it is for.
    pub usage: Usage,
    /// Names and addresses that a server answers to.
    pub names: &'a [String],
}

impl Authority {
    /// Reads `NAME.crt` and `NAME.key` in `folder`, or makes them when both are absent.
    ///
    /// # Errors
    /// When only one of the two is there, or they cannot be read, written or parsed.
    pub fn load_or_create(folder: &Path, name: &str, common_name: &str) -> Result<Self> {
        let (certificate_path, key_path) = pair(folder, name);
        match (certificate_path.exists(), key_path.exists()) {
            (true, true) => Self::load(&certificate_path, &key_path),
            (false, false) => {
                let key = KeyPair::generate().attempt(|| format!("make a key for {common_name}"))?;
                let certificate = authority_params(common_name)?
                    .self_signed(&key)
                    .attempt(|| format!("sign the certificate of {common_name}"))?;
                files::write(&key_path, key.serialize_pem(), Mode::Secret)?;
                files::write(&certificate_path, certificate.pem(), Mode::Public)?;
                Self::load(&certificate_path, &key_path)
            }
            (has_certificate, _) => {
                let (there, missing) =
                    if has_certificate { (certificate_path, key_path) } else { (key_path, certificate_path) };
                Err(Failure::new(
                    format!("use the certificate authority {}", there.display()),
                    format!("{} is missing", missing.display()),
                )
                .cure("restore the missing file from a backup, or run `bootstrap reset` to start over with new keys"))
            }
        }
    }

    fn load(certificate: &Path, key: &Path) -> Result<Self> {
        let certificate_pem = files::read(certificate)?;
        let key_pem = files::read(key)?;
        let parsed = KeyPair::from_pem(&key_pem).attempt(|| format!("parse the key {}", key.display()))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, parsed)
            .attempt(|| format!("parse the certificate {}", certificate.display()))?;
        Ok(Self { certificate_pem, issuer })
    }

    /// The CA's certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate_pem
    }

    /// Signs a new certificate with a new key.
    pub fn issue(&self, request: &Request<'_>) -> Result<Identity> {
        let attempted = || format!("issue a certificate for {}", request.common_name);
        let key = KeyPair::generate().attempt(attempted)?;
        let certificate = leaf_params(request)?.signed_by(&key, &self.issuer).attempt(attempted)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Writes `NAME.crt` and `NAME.key` into `folder` unless a certificate with the same names, from this CA and good for
    /// another month is there. Returns whether something was written.
    pub fn issue_to(&self, folder: &Path, name: &str, request: &Request<'_>) -> Result<bool> {
        let (certificate_path, key_path) = pair(folder, name);
        if key_path.exists() && certificate_path.exists() {
            let existing = files::read(&certificate_path)?;
            if still_good(&existing, &self.certificate_pem, request.names) {
                return Ok(false);
            }
        }
        let identity = self.issue(request)?;
        files::write(&key_path, &identity.key, Mode::Secret)?;
        files::write(&certificate_path, &identity.certificate, Mode::Public)?;
        Ok(true)
    }
}

/// Makes the key pair that signs service-account tokens (`sa.key`, `sa.pub`) unless it is there.
pub fn service_account_key(folder: &Path) -> Result<()> {
    let key_path = folder.join("sa.key");
    let public_path = folder.join("sa.pub");
    if key_path.exists() && public_path.exists() {
        return Ok(());
    }
    let key = if key_path.exists() {
        KeyPair::from_pem(&files::read(&key_path)?).attempt(|| format!("parse {}", key_path.display()))?
    } else {
        KeyPair::generate().attempt(|| "make the service-account key")?
    };
    files::write(&key_path, key.serialize_pem(), Mode::Secret)?;
    files::write(&public_path, key.public_key_pem(), Mode::Public)
}

/// `sha256:HEX` over a certificate's public key info: what `--discovery-token-ca-cert-hash` pins (RFC 7469's SPKI hash).
pub fn public_key_pin(certificate_pem: &str) -> Result<String> {
    let attempted = || "read the certificate's public key";
    let (_, pem) = x509_parser::pem::parse_x509_pem(certificate_pem.as_bytes()).attempt(attempted)?;
    let certificate = pem.parse_x509().attempt(attempted)?;
    let digest = Sha256::digest(certificate.public_key().raw);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sha256:{hex}"))
}

fn pair(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")))
}

fn authority_params(common_name: &str) -> Result<CertificateParams> {
    let mut params = base_params(common_name, &[], CA_DAYS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.subject_alt_names.push(san(common_name)?);
    Ok(params)
}

fn leaf_params(request: &Request<'_>) -> Result<CertificateParams> {
    let mut params = base_params(request.common_name, request.organizations, LEAF_DAYS)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.use_authority_key_identifier_extension = true;
    if request.usage != Usage::Client {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    if request.usage != Usage::Server {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    }
    for name in request.names {
        params.subject_alt_names.push(san(name)?);
    }
    Ok(params)
}

fn base_params(common_name: &str, organizations: &[&str], days: i64) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    for organization in organizations {
        subject.push(DnType::OrganizationName, *organization);
    }
    subject.push(DnType::CommonName, common_name);
    params.distinguished_name = subject;
    let now = Timestamp::now();
    // Hosts whose clocks are a little behind must accept a new certificate.
    params.not_before = offset_time(now, -1)?;
    params.not_after = offset_time(now, days)?;
    Ok(params)
}

fn offset_time(now: Timestamp, days: i64) -> Result<time::OffsetDateTime> {
    let moment =
        now.checked_add(Span::new().hours(days * 24)).attempt(|| "compute a certificate's validity")?;
    time::OffsetDateTime::from_unix_timestamp(moment.as_second())
        .attempt(|| "compute a certificate's validity")
}

fn san(name: &str) -> Result<SanType> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let name = name.try_into().attempt(|| format!("put the name {name:?} into a certificate"))?;
    Ok(SanType::DnsName(name))
}

/// Whether a certificate was issued by this CA, covers `names` and has a month left.
fn still_good(certificate_pem: &str, authority_pem: &str, names: &[String]) -> bool {
    let parse = |pem: &str| x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok().map(|(_, parsed)| parsed);
    let (Some(certificate), Some(authority)) = (parse(certificate_pem), parse(authority_pem)) else {
        return false;
    };
    let (Ok(certificate), Ok(authority)) = (certificate.parse_x509(), authority.parse_x509()) else {
        return false;
    };
    let left = certificate.validity().not_after.timestamp() - Timestamp::now().as_second();
    if left < RENEW_BEFORE_DAYS * 86_400
        || certificate.verify_signature(Some(authority.public_key())).is_err()
    {
        return false;
    }
    let covered = covered_names(&certificate);
    names.iter().all(|name| covered.iter().any(|covered| covered == name))
}

fn covered_names(certificate: &x509_parser::certificate::X509Certificate<'_>) -> Vec<String> {
    use x509_parser::extensions::GeneralName;
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
                16 => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(names: &[String]) -> Request<'_> {
        Request { common_name: "kube-apiserver", organizations: &["group"], usage: Usage::Server, names }
    }

    #[test]
    fn a_good_certificate_is_kept_and_one_with_other_names_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let ca = Authority::load_or_create(folder.path(), "ca", "kubernetes").unwrap();
        let first = ["10.96.0.1".to_owned(), "kubernetes".to_owned()];
        assert!(ca.issue_to(folder.path(), "apiserver", &request(&first)).unwrap());
        assert!(!ca.issue_to(folder.path(), "apiserver", &request(&first)).unwrap());
        let more = ["10.96.0.1".to_owned(), "other".to_owned()];
        assert!(ca.issue_to(folder.path(), "apiserver", &request(&more)).unwrap());
    }

    #[test]
    fn a_certificate_of_another_authority_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let other = Authority::load_or_create(folder.path(), "other", "other").unwrap();
        let ca = Authority::load_or_create(folder.path(), "ca", "kubernetes").unwrap();
        other.issue_to(folder.path(), "apiserver", &request(&[])).unwrap();
        assert!(ca.issue_to(folder.path(), "apiserver", &request(&[])).unwrap());
    }

    #[test]
    fn half_an_authority_is_refused_with_the_missing_file_named() {
        let folder = tempfile::tempdir().unwrap();
        Authority::load_or_create(folder.path(), "ca", "kubernetes").unwrap();
        std::fs::remove_file(folder.path().join("ca.key")).unwrap();
        let failure = Authority::load_or_create(folder.path(), "ca", "kubernetes").err().unwrap().to_string();
        assert!(failure.contains("ca.key is missing"), "{failure}");
    }

    #[test]
    fn the_pin_has_the_form_that_join_takes() {
        let folder = tempfile::tempdir().unwrap();
        let ca = Authority::load_or_create(folder.path(), "ca", "kubernetes").unwrap();
        let pin = public_key_pin(ca.certificate()).unwrap();
        assert_eq!(pin.len(), "sha256:".len() + 64);
    }
}
