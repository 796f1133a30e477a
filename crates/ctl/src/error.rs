//! Why a command failed, worded as users of kubectl know it.

use client::kube;
use client::kube::core::Status;

/// The result of a verb.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed command. Its text is the whole of what a person is told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused or failed.
    #[error("{}", refusal(.0))]
    Server(Box<Status>),
    /// The server was not reached.
    #[error("{0}")]
    Unreachable(String),
    /// The server's answer was not understood, or broke off.
    #[error("error: cannot {attempted}: {}", causes(source))]
    Request {
        /// What was asked.
        attempted: String,
        /// What went wrong.
        source: Box<kube::Error>,
    },
    /// There are no usable credentials.
    #[error("error: {}", causes(.0))]
    Connect(#[from] client::connect::Error),
    /// A file cannot be read or written.
    #[error("error: {}", file(path, source))]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Input or output fails.
    #[error("error: cannot {attempted}: {source}")]
    Io {
        /// What was attempted.
        attempted: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Text is not YAML.
    #[error("error: error parsing {origin}: {source}")]
    Yaml {
        /// The file, and the document in it.
        origin: String,
        /// Why not.
        source: serde_yaml::Error,
    },
    /// Text is not JSON.
    #[error("error: error parsing JSON: {0}")]
    Json(serde_json::Error),
    /// The command line asks for something that does not exist or fit.
    #[error("error: {0}")]
    Usage(String),
    /// A program in a container ended with this status.
    #[error("command terminated with exit code {0}")]
    Exit(u8),
    /// Everything was told already.
    #[error("")]
    Told(u8),
}

impl Error {
    /// A file that cannot be used.
    pub fn file(path: impl std::fmt::Display, source: std::io::Error) -> Self {
        Self::File { path: path.to_string(), source }
    }

    /// Text from `origin` that is not YAML.
    pub fn yaml(origin: &str) -> impl Fn(serde_yaml::Error) -> Self {
        move |source| Self::Yaml { origin: origin.to_owned(), source }
    }

    /// The same refusal, saying what was being done with which file: `error when creating "pod.yaml": ...`.
    #[must_use]
    pub fn when(self, doing: &str, origin: &str) -> Self {
        match self {
            Self::Server(mut status) => {
                status.message = format!("error when {doing} {origin:?}: {}", status.message);
                Self::Server(status)
            }
            other => other,
        }
    }

    /// The message alone, to stand inside other text.
    pub fn cause(&self) -> String {
        match self {
            Self::Server(status) => status.message.clone(),
            other => other.to_string(),
        }
    }

    /// Whether the server says that there is no such object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Server(status) if status.code == 404)
    }

    /// The exit status for the shell.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Exit(code) | Self::Told(code) => *code,
            _ => 1,
        }
    }
}

/// Prints why a command failed; nothing where it was told already.
pub fn report(error: &Error) {
    if !matches!(error, Error::Told(_)) {
        eprintln!("{error}");
    }
}

/// Tells every failure. The command fails when there was one.
///
/// # Errors
/// When there was a failure.
pub fn report_all(failures: Vec<Error>) -> Result<()> {
    failures.iter().for_each(report);
    if failures.is_empty() { Ok(()) } else { Err(Error::Told(1)) }
}

/// A refusal of the server. One by validation lists its causes; one for lack of credentials says what to do.
fn refusal(status: &Status) -> String {
    match status.reason.as_str() {
        "Invalid" => invalid(status),
        "Unauthorized" => "error: You must be logged in to the server (Unauthorized)\n\
             The server does not know the token or certificate of the kubeconfig's user, or it has expired: get a new one, \
             or name another user with --context, --user or --token."
            .to_owned(),
        "" => format!("Error from server: {}", status.message),
        reason => format!("Error from server ({reason}): {}", status.message),
    }
}

/// Every cause once, as validation may come upon it several times.
fn invalid(status: &Status) -> String {
    let mut lines: Vec<String> = Vec::new();
    for cause in status.details.iter().flat_map(|details| &details.causes) {
        let field = if cause.field.is_empty() { String::new() } else { format!("{}: ", cause.field) };
        let line = format!("{field}{}", cause.message);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let head = match &status.details {
        Some(details) if !details.name.is_empty() => {
            format!("The {} {:?} is invalid:", details.kind, details.name)
        }
        _ => "The request is invalid:".to_owned(),
    };
    match lines.as_slice() {
        [] => format!("{head} {}", status.message),
        [only] => format!("{head} {only}"),
        several => format!("{head}\n* {}", several.join("\n* ")),
    }
}

fn file(path: &str, source: &std::io::Error) -> String {
    if source.kind() == std::io::ErrorKind::NotFound {
        format!("the path {path:?} does not exist")
    } else {
        format!("{path}: {source}")
    }
}

/// An error's sources, outermost first, each once.
pub fn causes(error: &dyn std::error::Error) -> String {
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
