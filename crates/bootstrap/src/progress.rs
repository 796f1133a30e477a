//! What a person sees while `bootstrap` works: one line per phase with its duration, and a line for every wait that says
//! what it waits for.

use std::future::Future;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};

/// Runs one phase and prints how long it took.
pub async fn phase<T>(name: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let started = Instant::now();
    println!("[{name}]");
    let result = work.await;
    match &result {
        Ok(_) => println!("[{name}] done in {:.1} s", started.elapsed().as_secs_f64()),
        Err(_) => println!("[{name}] failed after {:.1} s", started.elapsed().as_secs_f64()),
    }
    result
}

/// Prints a detail of the running phase.
pub fn note(text: impl AsRef<str>) {
    println!("  {}", text.as_ref());
}

/// Prints something that deserves attention but stops nothing.
pub fn warn(text: impl AsRef<str>) {
    println!("  warning: {}", text.as_ref());
}

/// Asks `probe` until it succeeds or `limit` has passed. `probe` answers with why it isn't so yet; that reason is shown
/// while waiting, and it is the cause in the failure afterwards.
///
/// `between` is the time from one question to the next.
pub async fn wait_for<T, F, P>(what: &str, limit: Duration, between: Duration, mut probe: P) -> Result<T>
where
    F: Future<Output = std::result::Result<T, String>>,
    P: FnMut() -> F,
{
    let started = Instant::now();
    let mut line = Line::new();
    loop {
        let reason = match probe().await {
            Ok(value) => {
                line.end();
                return Ok(value);
            }
            Err(reason) => reason,
        };
        let waited = started.elapsed();
        if waited >= limit {
            line.end();
            return Err(Failure::new(format!("see {what} within {} s", limit.as_secs()), reason));
        }
        line.show(what, waited, &reason);
        tokio::time::sleep(between).await;
    }
}

/// A line that is overwritten on a terminal and printed sparingly into a file.
struct Line {
    terminal: bool,
    open: bool,
    last: Option<(Instant, String)>,
}

impl Line {
    /// Time between two lines for the same reason where lines cannot be overwritten.
    const QUIET: Duration = Duration::from_secs(5);

    fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal(), open: false, last: None }
    }

    fn show(&mut self, what: &str, waited: Duration, reason: &str) {
        let first = reason.lines().next().unwrap_or_default();
        if self.terminal {
            print!("\r\x1b[K  waiting {} s for {what}: {first}", waited.as_secs());
            // A terminal that has gone away must not end the work.
            std::io::stdout().flush().ok();
            self.open = true;
            return;
        }
        let quiet =
            self.last.as_ref().is_some_and(|(at, shown)| at.elapsed() < Self::QUIET && shown == first)
                || (self.last.is_none() && waited < Duration::from_secs(1));
        if !quiet {
            println!("  waiting {} s for {what}: {first}", waited.as_secs());
            self.last = Some((Instant::now(), first.to_owned()));
        }
    }

    fn end(&mut self) {
        if self.open {
            println!();
            self.open = false;
        }
    }
}
