//! A connection to a destination: resolve, dial, agree on TLS.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Destination, Resolve, words};

/// How long a peer may take to accept a connection, as in Go's default transport.
const DIAL_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ConnectError(pub String);

/// Connects to `destination`; TLS is spoken unless its URL says `http`.
///
/// # Errors
/// The service has no address, nobody listens there, or its certificate is not believed.
pub async fn connect(
    destination: &Destination,
    tls: &Arc<ClientConfig>,
    resolver: &dyn Resolve,
) -> Result<Box<dyn Stream>, ConnectError> {
    let (host, port) = match destination {
        Destination::Service { namespace, name, port, .. } => {
            resolver.resolve(namespace, name, *port).await.map_err(ConnectError)?
        }
        Destination::Url(url) => {
            let default = if url.scheme_str() == Some("http") { 80 } else { 443 };
            (destination.server_name(), url.port_u16().unwrap_or(default))
        }
    };
    let stream = match tokio::time::timeout(DIAL_TIMEOUT, dial(&host, port)).await {
        Ok(dialed) => dialed?,
        Err(_) => return Err(ConnectError(format!("dial tcp {host}:{port}: i/o timeout"))),
    };
    if matches!(destination, Destination::Url(url) if url.scheme_str() == Some("http")) {
        return Ok(Box::new(stream));
    }
    let name = destination.server_name();
    let name = ServerName::try_from(name.clone())
        .map_err(|_| ConnectError(format!("tls: {name} is no name that a certificate could have")))?;
    let connected = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
    connected
        .map(|stream| Box::new(stream) as Box<dyn Stream>)
        .map_err(|error| ConnectError(words::handshake(&error)))
}

async fn dial(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => match tokio::net::lookup_host((host, port)).await {
            Ok(found) => found.collect(),
            Err(_) => return Err(ConnectError(format!("dial tcp: lookup {host}: no such host"))),
        },
    };
    let mut failure = ConnectError(format!("dial tcp: lookup {host}: no such host"));
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%address, %error, "small writes may be delayed");
                }
                return Ok(stream);
            }
            Err(error) => failure = ConnectError(words::dial(&address.to_string(), &error)),
        }
    }
    Err(failure)
}
