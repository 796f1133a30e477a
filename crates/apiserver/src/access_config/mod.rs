//! Who may sign in and who decides, from flags and from the configuration files behind them.
//!
//! `--authentication-config` and `--authorization-config` are the structured forms (KEP-3331, KEP-3221); the older flags
//! say parts of the same. Both end in what the crate `access` works with.

mod authentication;
mod authorization;
mod kubeconfig;

pub use authentication::authentication;
pub use authorization::authorizer;

use std::path::{Path, PathBuf};

/// A configuration that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {flag} {}", path.display())]
    Read {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file says what cannot be done.
    #[error("{flag} {}: {why}", path.display())]
    Content {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Flags contradict each other, or lack something.
    #[error("{0}")]
    Flags(String),
}

impl ConfigError {
    fn content(flag: &'static str, path: &Path, why: impl std::fmt::Display) -> Self {
        Self::Content { flag, path: path.to_owned(), why: why.to_string() }
    }
}

fn read(flag: &'static str, path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { flag, path: path.to_owned(), source })
}

/// Reads a configuration file of group `apiserver.config.k8s.io`.
fn parse<T: serde::de::DeserializeOwned>(
    flag: &'static str,
    path: &Path,
    kind: &str,
) -> Result<T, ConfigError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct TypeMeta {
        api_version: String,
        kind: String,
    }
    let text = read(flag, path)?;
    let wrong = |error: serde_yaml::Error| ConfigError::content(flag, path, error);
    let meta: TypeMeta = serde_yaml::from_str(&text).map_err(wrong)?;
    let known = ["v1", "v1beta1", "v1alpha1"].map(|version| format!("apiserver.config.k8s.io/{version}"));
    if meta.kind != kind || !known.contains(&meta.api_version) {
        let why = format!(
            "is {} {}; an {kind} of apiserver.config.k8s.io/v1 is needed",
            meta.api_version, meta.kind
        );
        return Err(ConfigError::content(flag, path, why));
    }
    serde_yaml::from_str(&text).map_err(wrong)
}
