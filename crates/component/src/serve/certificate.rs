//! Serving certificates: read, checked, chosen by server name, reread when their files change, or made on the spot.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::peer::AnyClientCertificate;
use super::{Certificate, Error, Tls};

/// The TLS side of a server. Its certificates may change while it runs.
pub(super) struct Acceptor {
    pub(super) tls: tokio_rustls::TlsAcceptor,
    store: Arc<Store>,
}

impl Acceptor {
    pub(super) fn new(tls: &Tls, address: SocketAddr) -> Result<Self, Error> {
        let store = Arc::new(Store::new(tls, address)?);
        let provider = Arc::new(provider(&tls.cipher_suites));
        let versions: &[&rustls::SupportedProtocolVersion] = if tls.only_tls13 {
            &[&rustls::version::TLS13]
        } else {
            &[&rustls::version::TLS13, &rustls::version::TLS12]
        };
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(Arc::new(AnyClientCertificate::new(provider)))
            .with_cert_resolver(Arc::clone(&store) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { tls: tokio_rustls::TlsAcceptor::from(Arc::new(config)), store })
    }

    /// The default certificate chain.
    pub(super) fn pem(&self) -> String {
        let chosen = self.store.chosen.read();
        chosen.default.cert.iter().map(|der| pem("CERTIFICATE", der)).collect()
    }

    /// Rereads changed files; a pair that does not read is logged and the old one stays in use.
    pub(super) fn reload(&self) {
        self.store.reload();
    }
}

/// The names of `--tls-cipher-suites` that we know, Go's spelling, with ours.
const SUITES: [(&str, rustls::CipherSuite); 6] = {
    use rustls::CipherSuite as S;
    [
        ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", S::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
        ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
        ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", S::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ]
};

/// Refuses suites that rustls does not implement; TLS 1.3 names and Go's short ChaCha names are accepted.
pub fn check_cipher_suites(names: &[String], problems: &mut Vec<String>) {
    for name in names {
        let tls13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
        if suite(name).is_none() && !tls13.contains(&name.as_str()) {
            let known: Vec<&str> = SUITES.iter().map(|(name, _)| *name).collect();
            problems.push(format!("--tls-cipher-suites: {name} is not served; use {}", known.join(",")));
        }
    }
}

fn suite(name: &str) -> Option<rustls::CipherSuite> {
    SUITES
        .iter()
        .find(|(known, _)| *known == name || known.strip_suffix("_SHA256") == Some(name))
        .map(|(_, s)| *s)
}

fn provider(names: &[String]) -> CryptoProvider {
    let mut provider = ring::default_provider();
    let allowed: Vec<rustls::CipherSuite> = names.iter().filter_map(|name| suite(name)).collect();
    if !allowed.is_empty() {
        provider.cipher_suites.retain(|known| known.tls13().is_some() || allowed.contains(&known.suite()));
    }
    provider
}

/// All certificates of a server and where they come from.
#[derive(Debug)]
struct Store {
    sources: Vec<Source>,
    chosen: RwLock<Chosen>,
    /// What the files of each source held when they were last read.
    seen: Mutex<Vec<Option<Contents>>>,
}

/// Certificate and key file, as they were read.
type Contents = (Vec<u8>, Vec<u8>);

#[derive(Debug, Clone)]
struct Source {
    cert: PathBuf,
    key: PathBuf,
    /// `None` for the default certificate.
    names: Option<Vec<String>>,
}

#[derive(Debug)]
struct Chosen {
    default: Arc<CertifiedKey>,
    by_name: Vec<(String, Arc<CertifiedKey>)>,
}

impl Store {
    fn new(tls: &Tls, address: SocketAddr) -> Result<Self, Error> {
        let mut sources = Vec::new();
        let mut in_memory = None;
        match &tls.certificate {
            Certificate::Files { cert, key } => {
                sources.push(Source { cert: cert.clone(), key: key.clone(), names: None });
            }
            Certificate::SelfSigned { dir: Some(dir), name } => {
                let source = Source {
                    cert: dir.join(format!("{name}.crt")),
                    key: dir.join(format!("{name}.key")),
                    names: None,
                };
                if !source.cert.exists() || !source.key.exists() {
                    write_self_signed(dir, &source, &names(tls, address))?;
                }
                sources.push(source);
            }
            Certificate::SelfSigned { dir: None, name } => {
                let (cert, key) = self_signed(name, &names(tls, address))?;
                in_memory = Some(certified(
                    Path::new("(in memory)"),
                    Path::new("(in memory)"),
                    cert.as_bytes(),
                    key.as_bytes(),
                )?);
            }
        }
        sources.extend(tls.sni.iter().map(|sni| Source {
            cert: sni.cert.clone(),
            key: sni.key.clone(),
            names: Some(sni.names.clone()),
        }));
        let mut seen = Vec::new();
        let mut loaded = Vec::new();
        for source in &sources {
            let files = (read(&source.cert)?, read(&source.key)?);
            loaded.push((
                source.names.clone(),
                Arc::new(certified(&source.cert, &source.key, &files.0, &files.1)?),
            ));
            seen.push(Some(files));
        }
        let default = match in_memory {
            Some(key) => Arc::new(key),
            None => Arc::clone(&loaded[0].1),
        };
        Ok(Self { sources, chosen: RwLock::new(choose(default, loaded)), seen: Mutex::new(seen) })
    }

    fn reload(&self) {
        let mut seen = self.seen.lock();
        let mut changed = false;
        let mut loaded = Vec::new();
        for (source, before) in self.sources.iter().zip(seen.iter_mut()) {
            let fresh = read(&source.cert).and_then(|cert| Ok((cert, read(&source.key)?)));
            let outcome = fresh.and_then(|files| {
                let key = certified(&source.cert, &source.key, &files.0, &files.1)?;
                Ok((files, key))
            });
            match outcome {
                Ok((files, key)) => {
                    changed |= before.as_ref() != Some(&files);
                    *before = Some(files);
                    loaded.push((source.names.clone(), Arc::new(key)));
                }
                // Half-written pairs are common while somebody renews: keep what works and look again later.
                Err(error) => {
                    tracing::warn!(error = %crate::exit::render("tls", &error.into()), "serving certificate not reloaded");
                    return;
                }
            }
        }
        if changed {
            let default = match loaded.iter().find(|(names, _)| names.is_none()) {
                Some((_, key)) => Arc::clone(key),
                None => Arc::clone(&self.chosen.read().default),
            };
            *self.chosen.write() = choose(default, loaded);
            tracing::info!("serving certificates reloaded");
        }
    }
}

impl ResolvesServerCert for Store {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let chosen = self.chosen.read();
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let matching =
            name.and_then(|name| chosen.by_name.iter().find(|(pattern, _)| matches(pattern, &name)));
        Some(Arc::clone(matching.map_or(&chosen.default, |(_, key)| key)))
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(domain) => name.split_once('.').is_some_and(|(_, rest)| rest == domain),
        None => pattern == name,
    }
}

fn choose(default: Arc<CertifiedKey>, loaded: Vec<(Option<Vec<String>>, Arc<CertifiedKey>)>) -> Chosen {
    let mut by_name = Vec::new();
    for (names, key) in loaded {
        let Some(names) = names else { continue };
        let names = if names.is_empty() { dns_names(&key) } else { names };
        by_name.extend(names.into_iter().map(|name| (name.to_ascii_lowercase(), Arc::clone(&key))));
    }
    Chosen { default, by_name }
}

fn dns_names(key: &CertifiedKey) -> Vec<String> {
    use x509_parser::extensions::GeneralName;
    let Some(leaf) = key.cert.first() else { return Vec::new() };
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(leaf) else { return Vec::new() };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(dns).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::File { action: "read", path: path.to_owned(), source })
}

/// Checks a pair as a whole: PEM, key belongs to certificate, certificate in its time.
fn certified(cert: &Path, key: &Path, cert_pem: &[u8], key_pem: &[u8]) -> Result<CertifiedKey, Error> {
    let content = |path: &Path, problem: String| Error::Content { path: path.to_owned(), problem };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(cert_pem)
        .collect::<Result<_, _>>()
        .map_err(|error| content(cert, format!("is not a PEM certificate: {error}")))?;
    let leaf = chain
        .first()
        .ok_or_else(|| content(cert, "holds no certificate; put the PEM chain there, leaf first".into()))?;
    let secret = PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| {
        content(key, format!("holds no usable private key ({error}); PKCS#8, PKCS#1 or SEC1 PEM is needed"))
    })?;
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf)
        .map_err(|error| content(cert, format!("holds a certificate that cannot be parsed: {error}")))?;
    let now = jiff::Timestamp::now().as_second();
    let (from, until) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    if now > until {
        return Err(content(cert, format!("expired at {}; renew it", date(until))));
    }
    if now < from {
        return Err(content(
            cert,
            format!("is not valid before {}; check the clock of this machine", date(from)),
        ));
    }
    let signer = ring::sign::any_supported_type(&secret).map_err(|source| Error::Pair {
        cert: cert.to_owned(),
        key: key.to_owned(),
        source,
    })?;
    let certified = CertifiedKey::new(chain, signer);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(_) => Err(content(
            key,
            format!("is not the key of certificate {}; give the pair that belongs together", cert.display()),
        )),
    }
}

fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map(|at| at.to_string()).unwrap_or_else(|_| seconds.to_string())
}

/// Names of a self-signed certificate.
fn names(tls: &Tls, address: SocketAddr) -> Vec<String> {
    let mut names = tls.names.clone();
    if !address.ip().is_unspecified() {
        names.push(address.ip().to_string());
    }
    if let Ok(host) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        names.push(host.trim().to_owned());
    }
    names.extend(["localhost".to_owned(), IpAddr::from([127, 0, 0, 1]).to_string()]);
    names.sort();
    names.dedup();
    names
}

/// A fresh self-signed certificate and key, PEM, valid for a year, for the given DNS names and addresses.
///
/// # Errors
/// When a name is not a valid subject alternative name.
pub fn self_signed(common_name: &str, names: &[String]) -> Result<(String, String), rcgen::Error> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(names.to_vec())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let now = jiff::Timestamp::now().as_second();
    let at = |seconds: i64| date_parts(now + seconds);
    let ((y1, m1, d1), (y2, m2, d2)) = (at(-86_400), at(365 * 86_400));
    params.not_before = rcgen::date_time_ymd(y1, m1, d1);
    params.not_after = rcgen::date_time_ymd(y2, m2, d2);
    let cert = params.self_signed(&key)?;
    Ok((cert.pem(), key.serialize_pem()))
}

fn date_parts(seconds: i64) -> (i32, u8, u8) {
    let date =
        jiff::Timestamp::from_second(seconds).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date();
    (i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
}

fn write_self_signed(dir: &Path, source: &Source, names: &[String]) -> Result<(), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { action: "write", path, source }
    };
    std::fs::create_dir_all(dir).map_err(failed(dir))?;
    let (cert, key) = self_signed(names.first().map_or("localhost", String::as_str), names)?;
    write_private(&source.key, key.as_bytes()).map_err(failed(&source.key))?;
    std::fs::write(&source.cert, cert).map_err(failed(&source.cert))?;
    tracing::info!(path = %source.cert.display(), "made a self-signed serving certificate");
    Ok(())
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}

fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let word = group
                .iter()
                .enumerate()
                .fold(0u32, |word, (i, byte)| word | u32::from(*byte) << (16 - 8 * i));
            for i in 0..4 {
                let digit = if i <= group.len() {
                    char::from(ALPHABET[(word >> (18 - 6 * i) & 63) as usize])
                } else {
                    '='
                };
                text.push(digit);
            }
        }
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
