//! Why a command failed, worded as users of kubectl know it.

use client::kube;

/// The result of a verb.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused or failed.
    #[error("Error from server ({}): {}", .0.reason, .0.message)]
    Server(Box<kube::core::Status>),
    /// The server was not reached, or its answer not understood.
    #[error("cannot {attempted}: {}", causes(source))]
    Request {
        /// What was asked.
        attempted: String,
        /// What went wrong.
        source: Box<kube::Error>,
    },
    /// There are no usable credentials.
    #[error("{}", causes(.0))]
    Connect(#[from] client::connect::Error),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Input or output fails.
    #[error("{attempted}: {source}")]
    Io {
        /// What was attempted.
        attempted: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Text is not YAML.
    #[error("error parsing YAML: {0}")]
    Yaml(serde_yaml::Error),
    /// Text is not JSON.
    #[error("error parsing JSON: {0}")]
    Json(serde_json::Error),
    /// The command line asks for something that does not exist or fit.
    #[error("error: {0}")]
    Usage(String),
    /// A program in a container ended with this status.
    #[error("command terminated with exit code {0}")]
    Exit(u8),
    /// Several things failed; each was told already.
    #[error("{0} of the objects failed")]
    Several(usize),
}

impl Error {
    /// A failed request to `attempted` (an infinitive without "to").
    pub fn request(attempted: impl Into<String>, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Server(status),
            other => Self::Request { attempted: attempted.into(), source: Box::new(other) },
        }
    }

    /// A file that cannot be used.
    pub fn file(path: impl std::fmt::Display, source: std::io::Error) -> Self {
        Self::File { path: path.to_string(), source }
    }

    /// Whether the server says that there is no such object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Server(status) if status.code == 404)
    }

    /// The exit status for the shell.
    pub fn exit_code(&self) -> u8 {
        if let Self::Exit(code) = self { *code } else { 1 }
    }
}

/// An error's sources, outermost first, each once.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}
