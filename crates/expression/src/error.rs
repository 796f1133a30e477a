//! What goes wrong, in upstream's words.

use std::fmt;

/// One thing that is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Bytes from the start of the source.
    pub offset: u32,
    /// What is wrong.
    pub message: String,
}

/// Why an expression does not compile. `Display` shows each issue with its line and a mark below the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    source: String,
    issues: Vec<Issue>,
}

impl CompileError {
    pub(crate) fn new(source: &str, mut issues: Vec<Issue>) -> Self {
        issues.sort_by_key(|issue| issue.offset);
        Self { source: source.to_owned(), issues }
    }

    /// The issues in the order of their places.
    pub fn issues(&self) -> &[Issue] {
        &self.issues
    }
}

impl std::error::Error for CompileError {}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, issue) in self.issues.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            show(f, &self.source, issue)?;
        }
        Ok(())
    }
}

fn show(f: &mut fmt::Formatter<'_>, source: &str, issue: &Issue) -> fmt::Result {
    let mut offset = (issue.offset as usize).min(source.len());
    while !source.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &source[..offset];
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[start..].chars().count();
    let text = source[start..].split('\n').next().unwrap_or_default().replace('\t', " ");
    write!(
        f,
        "ERROR: <input>:{line}:{}: {}\n | {text}\n | {}^",
        column + 1,
        issue.message,
        ".".repeat(column)
    )
}

/// Why an evaluation has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The expression failed.
    #[error("{0}")]
    Failed(String),
    /// The evaluation would cost more than it may. Nothing absorbs this one.
    #[error("operation cancelled: actual cost limit exceeded")]
    CostLimit,
}

impl Error {
    /// A failure.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    pub(crate) fn no_such_key(key: impl fmt::Display) -> Self {
        Self::Failed(format!("no such key: {key}"))
    }

    pub(crate) fn no_such_overload() -> Self {
        Self::new("no such overload")
    }
}
