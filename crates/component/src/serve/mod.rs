//! Serving HTTP/1.1 and HTTP/2, over TLS or in the clear, with upgrades.
//!
//! ```text
//!  bind ──► accept ──► TLS handshake ──► Peer (address, client certificate) ──► hyper ──► your tower service
//!                         ▲                in request extensions
//!              certificates, reread when their files change
//! ```
//!
//! A client certificate is optional and is not judged here: the handshake proves that the client holds its key, and the chain
//! goes to the handler as [`Peer::certificates`]. Who is trusted is the authenticator's business.

mod accept;
mod certificate;
mod peer;
mod port;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use certificate::{check_cipher_suites, self_signed};
pub use peer::{Peer, Subject, subject};

use crate::flags::SniCertificate;

/// What and how to serve.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 for any free one.
    pub address: SocketAddr,
    /// TLS, or `None` for plain HTTP.
    pub tls: Option<Tls>,
    /// Most connections at once; later ones wait in the kernel's backlog.
    pub max_connections: usize,
    /// Most HTTP/2 streams of one connection at once.
    pub max_streams: u32,
    /// How long a client may take for the handshake or for request headers.
    pub header_timeout: Duration,
    /// How long open requests may go on after shutdown began.
    pub drain_timeout: Duration,
    /// Set SO_REUSEPORT.
    pub reuse_port: bool,
}

impl Config {
    /// Plain HTTP with the usual limits; set [`Config::tls`] for HTTPS.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            tls: None,
            max_connections: 20_000,
            max_streams: 1_000,
            header_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            reuse_port: false,
        }
    }
}

/// TLS settings of a server.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate for clients that match no SNI certificate.
    pub certificate: Certificate,
    /// Certificates chosen by server name.
    pub sni: Vec<SniCertificate>,
    /// Refuse TLS 1.2.
    pub only_tls13: bool,
    /// Go names of the TLS 1.2 suites to allow; empty for all that are safe.
    pub cipher_suites: Vec<String>,
    /// Names and addresses for a self-signed certificate, besides the listening address, the host name and localhost.
    pub names: Vec<String>,
}

impl Tls {
    /// TLS with one certificate and its defaults.
    pub fn new(certificate: Certificate) -> Self {
        Self { certificate, sni: Vec::new(), only_tls13: false, cipher_suites: Vec::new(), names: Vec::new() }
    }
}

/// Where the serving certificate comes from.
#[derive(Clone, Debug)]
pub enum Certificate {
    /// PEM files, reread when they change.
    Files {
        /// Chain, leaf first.
        cert: PathBuf,
        /// Private key.
        key: PathBuf,
    },
    /// `<dir>/<name>.crt` and `.key`, made when absent; kept in memory when there is no directory.
    SelfSigned {
        /// Where to keep the pair.
        dir: Option<PathBuf>,
        /// Base name of its files.
        name: String,
    },
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port is taken, maybe by a process that /proc shows us.
    #[error("cannot listen on {address}: the port is in use by {holder}; stop it or choose another port")]
    PortInUse {
        /// What was asked for.
        address: SocketAddr,
        /// Who has it.
        holder: String,
    },
    /// Any other trouble with the listening socket.
    #[error("cannot listen on {address}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A certificate or key file cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{} {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong and what mends it.
        problem: String,
    },
    /// The key and the certificate do not make a usable pair.
    #[error("certificate {} and key {} cannot be used together", cert.display(), key.display())]
    Pair {
        /// Certificate file.
        cert: PathBuf,
        /// Key file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// rustls does not accept the combination of versions and suites.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// A self-signed certificate cannot be made.
    #[error("cannot make a self-signed certificate")]
    SelfSigned(#[from] rcgen::Error),
}

/// A bound listener, ready to serve.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    config: Config,
    tls: Option<Arc<certificate::Acceptor>>,
}

impl Server {
    /// Reads the certificates and binds the port, so that every mistake shows before the daemon says it has started.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn bind(config: Config) -> Result<Self, Error> {
        let tls = match &config.tls {
            Some(tls) => Some(Arc::new(certificate::Acceptor::new(tls, config.address)?)),
            None => None,
        };
        let listener = port::listen(&config)?;
        let address =
            listener.local_addr().map_err(|source| Error::Listen { address: config.address, source })?;
        Ok(Self { listener, address, config, tls })
    }

    /// Where the server listens, with the port the kernel chose if 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The certificate chain in use, PEM; `None` for plain HTTP. Loop-back clients of a self-signed server trust it.
    pub fn certificate_pem(&self) -> Option<String> {
        self.tls.as_ref().map(|tls| tls.pem())
    }

    /// Serves until `shutdown` is cancelled and open requests have ended or [`Config::drain_timeout`] is over.
    pub async fn serve<S, B>(self, service: S, shutdown: CancellationToken)
    where
        S: tower::Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        B: hyper::body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        tracing::info!(address = %self.address, tls = self.tls.is_some(), "serving");
        accept::run(self.listener, self.tls, self.config, service, shutdown).await;
    }
}

#[cfg(test)]
mod tests;
