//! From a kubeconfig, a service account or a bare address to a connected [`Client`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

use crate::transport;

/// How to connect.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Kubeconfig file; the pod's service account is used when there is none.
    pub kubeconfig: Option<PathBuf>,
    /// Context in it; the current one when `None`.
    pub context: Option<String>,
    /// Server address that overrides the kubeconfig's.
    pub master: Option<String>,
    /// `User-Agent`; see [`component::version::user_agent`].
    pub user_agent: String,
}

impl Options {
    /// For a daemon: its flags and its name.
    pub fn daemon(flags: &component::flags::Kubeconfig, name: &str) -> Self {
        Self {
            kubeconfig: flags.kubeconfig.clone(),
            context: None,
            master: flags.master.clone(),
            user_agent: component::version::user_agent(name),
        }
    }

    /// A kubeconfig file and a daemon's name.
    pub fn file(kubeconfig: &Path, name: &str) -> Self {
        Self {
            kubeconfig: Some(kubeconfig.to_owned()),
            user_agent: component::version::user_agent(name),
            ..Self::default()
        }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig is missing, malformed, or names files that are.
    #[error("cannot use kubeconfig {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KubeconfigError,
    },
    /// Neither flags nor a service account.
    #[error("no apiserver to talk to: give --kubeconfig, or run in a pod with a service account")]
    NoConfiguration(#[source] kube::config::InClusterError),
    /// `--master` is not a URL.
    #[error("--master {address:?} is not a URL such as https://10.0.0.1:6443")]
    Master {
        /// What was given.
        address: String,
        /// Why not.
        source: http::uri::InvalidUri,
    },
    /// Certificates, keys or tokens do not work together.
    #[error("cannot set up TLS and credentials for {server}")]
    Credentials {
        /// The apiserver.
        server: String,
        /// Why.
        source: Box<kube::Error>,
    },
}

/// A client for the apiserver that `options` name. It does not contact the server yet.
///
/// Requests are not rate limited: the server's priority and fairness does that better. Token files and client
/// certificates named in the kubeconfig are reread when they change.
///
/// # Errors
/// See [`Error`].
pub async fn connect(options: &Options) -> Result<Client, Error> {
    let config = config(options).await?;
    let server = config.cluster_url.to_string();
    let credentials = |source: kube::Error| Error::Credentials { server, source: Box::new(source) };
    let reload = options.kubeconfig.as_ref().map(|_| options.clone());
    transport::client(config, &options.user_agent, reload).map_err(credentials)
}

/// A client for a configuration made elsewhere (bootstrap writes its own).
///
/// # Errors
/// When the credentials cannot be used.
pub fn from_config(config: kube::Config, user_agent: &str) -> Result<Client, Error> {
    let server = config.cluster_url.to_string();
    transport::client(config, user_agent, None)
        .map_err(|source| Error::Credentials { server, source: Box::new(source) })
}

/// The configuration that `options` describe; files are read now.
pub(crate) async fn config(options: &Options) -> Result<kube::Config, Error> {
    let mut config = match &options.kubeconfig {
        Some(path) => {
            let failed = |source| Error::Kubeconfig { path: path.clone(), source };
            let file = Kubeconfig::read_from(path).map_err(failed)?;
            let choice =
                KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
            kube::Config::from_custom_kubeconfig(file, &choice).await.map_err(failed)?
        }
        None => match (kube::Config::incluster(), &options.master) {
            (Ok(config), _) => config,
            (Err(_), Some(_)) => kube::Config::new(http::Uri::from_static("https://localhost")),
            (Err(error), None) => return Err(Error::NoConfiguration(error)),
        },
    };
    if let Some(address) = &options.master {
        config.cluster_url =
            address.parse().map_err(|source| Error::Master { address: address.clone(), source })?;
    }
    config.connect_timeout = Some(Duration::from_secs(10));
    config.default_retry = false;
    Ok(config)
}
