//! The one error of this program: what was attempted, why it failed, and what mends it.

use std::fmt;

/// A failure as its reader needs it. `cause` says what the machine saw; `cure` what a person can do about it.
#[derive(Debug)]
pub struct Failure {
    attempted: String,
    cause: String,
    cure: Option<String>,
}

/// The result of everything that can fail here.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure to do `attempted` (an infinitive without "to": "read /etc/x").
    pub fn new(attempted: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self { attempted: attempted.into(), cause: cause.to_string(), cure: None }
    }

    /// Names the larger thing that failed with this; what failed in it becomes the cause.
    pub fn during(self, attempted: impl Into<String>) -> Self {
        Self {
            attempted: attempted.into(),
            cause: format!("could not {}: {}", self.attempted, self.cause),
            cure: self.cure,
        }
    }

    /// Adds what mends it.
    pub fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }

    /// Adds lines of evidence below the cause, such as the end of a log.
    pub fn evidence(mut self, evidence: &str) -> Self {
        for line in evidence.lines() {
            self.cause.push_str("\n    | ");
            self.cause.push_str(line);
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}\n  cause: {}", self.attempted, self.cause)?;
        match &self.cure {
            Some(cure) => write!(f, "\n  cure:  {cure}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// Names the attempt at the place where a foreign error is met.
pub trait Attempt<T> {
    /// Turns the error into a [`Failure`] to do what `attempted` returns.
    fn attempt<S: Into<String>>(self, attempted: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: std::error::Error> Attempt<T> for std::result::Result<T, E> {
    fn attempt<S: Into<String>>(self, attempted: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| Failure::new(attempted(), chain(&error)))
    }
}

/// An error with all its sources, outermost first.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}
