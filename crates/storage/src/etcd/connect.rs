//! Setting connections up: keep-alive, deadlines, TLS.

use std::path::Path;
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};

use crate::error::{Error, Result};
use crate::options::Options;

/// A client over these endpoints; it connects on first use.
pub(super) async fn open(endpoints: &[String], options: &ConnectOptions) -> Result<Client> {
    Client::connect(endpoints, Some(options.clone()))
        .await
        .map_err(|error| Error::Options { option: "--etcd-servers", reason: error.to_string() })
}

/// What all connections have in common; fails for options that cannot work.
pub(super) async fn connect_options(options: &Options) -> Result<ConnectOptions> {
    let mut connect = ConnectOptions::new()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_keep_alive(KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT)
        .with_keep_alive_while_idle(true)
        .with_require_leader(true);
    let secure = options.endpoints.iter().filter(|endpoint| endpoint.starts_with("https://")).count();
    if options.endpoints.is_empty() || (secure != 0 && secure != options.endpoints.len()) {
        let reason = "names no server, or mixes http:// and https://".to_owned();
        return Err(Error::Options { option: "--etcd-servers", reason });
    }
    if secure == 0 {
        return Ok(connect);
    }
    let Some(ca_file) = &options.ca_file else {
        let reason = "is needed to verify servers named with https://".to_owned();
        return Err(Error::Options { option: "--etcd-cafile", reason });
    };
    let mut tls =
        TlsOptions::new().ca_certificate(Certificate::from_pem(read("--etcd-cafile", ca_file).await?));
    match (&options.cert_file, &options.key_file) {
        (Some(cert), Some(key)) => {
            let (cert, key) = (read("--etcd-certfile", cert).await?, read("--etcd-keyfile", key).await?);
            tls = tls.identity(Identity::from_pem(cert, key));
        }
        (None, None) => {}
        _ => {
            let reason = "and --etcd-keyfile have to be given together".to_owned();
            return Err(Error::Options { option: "--etcd-certfile", reason });
        }
    }
    connect = connect.with_tls(tls);
    Ok(connect)
}

async fn read(option: &'static str, path: &Path) -> Result<Vec<u8>> {
    tokio::fs::read(path).await.map_err(|error| Error::Options {
        option,
        reason: format!("cannot read {}: {error}", path.display()),
    })
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// etcd drops clients that ping more often than its `--grpc-keepalive-min-time`, five seconds by default.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
