//! How a daemon says why it cannot go on: one line with the chain of causes, one line with what mends it.

use std::fmt;
use std::process::ExitCode;

/// Adds what the user can do about an error; [`report`] prints it on its own line.
pub trait WithCure<T> {
    /// Attaches the cure, an imperative phrase such as `choose another --secure-port`.
    ///
    /// # Errors
    /// Passes the error on, with the cure attached.
    fn cure(self, cure: impl Into<String>) -> Result<T, anyhow::Error>;
}

impl<T, E: Into<anyhow::Error>> WithCure<T> for Result<T, E> {
    fn cure(self, cure: impl Into<String>) -> Result<T, anyhow::Error> {
        self.map_err(|error| anyhow::Error::new(Cured { cure: cure.into(), source: error.into() }))
    }
}

/// An error together with its cure.
struct Cured {
    cure: String,
    source: anyhow::Error,
}

impl fmt::Debug for Cured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.source, f)
    }
}

impl fmt::Display for Cured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.source, f)
    }
}

impl std::error::Error for Cured {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}

/// Prints `error` for `program` on standard error and gives the exit status for `main`.
pub fn report(program: &str, error: &anyhow::Error) -> ExitCode {
    eprintln!("{}", render(program, error));
    ExitCode::FAILURE
}

/// The text that [`report`] prints.
pub fn render(program: &str, error: &anyhow::Error) -> String {
    let mut line = format!("{program}: {error}");
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        // Some libraries print their source as part of themselves.
        if !last.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        last = text;
    }
    for cause in error.chain() {
        if let Some(cured) = cause.downcast_ref::<Cured>() {
            line.push_str("\n  cure: ");
            line.push_str(&cured.cure);
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_causes_once_and_the_cure() {
        let io = std::io::Error::other("disk on fire");
        let error = Err::<(), _>(anyhow::Error::new(io).context("cannot read key /a/b")).cure("pour water");
        assert_eq!(
            render("kubelet", &error.unwrap_err()),
            "kubelet: cannot read key /a/b: disk on fire\n  cure: pour water"
        );
    }
}
