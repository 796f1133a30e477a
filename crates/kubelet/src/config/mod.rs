//! What the kubelet is told: flags and the KubeletConfiguration file. Flags win over the file, the file over defaults.

mod file;
mod flags;
mod unserved;

pub use file::{
    Anonymous, Authentication, Authorization, Configuration, CrashLoopBackOff, Webhook, WebhookAuthorization,
    X509,
};
pub use flags::Flags;

use std::path::{Path, PathBuf};

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file has a general problem: unreadable, wrong kind, unknown key.
    #[error(transparent)]
    File(#[from] component::config::Error),
    /// The file cannot be read.
    #[error("cannot read configuration file {}; correct --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Keys or values that cannot be obeyed, one line each.
    #[error("configuration cannot be used:\n{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

/// Reads the file that `flags` name and puts the flags over it. All problems are reported together.
pub fn load(flags: &Flags) -> Result<Configuration, Error> {
    let (mut configuration, mut problems) = match &flags.config {
        Some(path) => read(path)?,
        None => (Configuration::default(), Vec::new()),
    };
    configuration.fill_zeroes();
    flags.apply(&mut configuration);
    configuration.check(&mut problems);
    if problems.is_empty() { Ok(configuration) } else { Err(Error::Invalid(problems)) }
}

fn read(path: &Path) -> Result<(Configuration, Vec<String>), Error> {
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<(Configuration, Vec<String>), Error> {
    let (rest, problems) = unserved::take(text);
    let accepted = [("kubelet.config.k8s.io/v1beta1", "KubeletConfiguration")];
    Ok((component::config::parse(path, &rest, &accepted)?, problems))
}

#[cfg(test)]
mod tests;
