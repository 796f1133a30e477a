//! What evaluations may cost, in upstream's units: about one for every name looked up and call made.

use crate::Error;

/// What all expressions of a policy or of a custom resource may cost for one request.
pub const REQUEST_BUDGET: u64 = 10_000_000;
/// What one evaluation may cost.
pub const CALL_LIMIT: u64 = 1_000_000;
/// What the match conditions of a webhook or policy may cost for one request.
pub const MATCH_CONDITIONS_BUDGET: u64 = 2_500_000;
/// What one rule of a schema may be estimated to cost.
pub const RULE_ESTIMATE_LIMIT: u64 = 10_000_000;
/// What all rules of a schema together may be estimated to cost.
pub const SCHEMA_ESTIMATE_LIMIT: u64 = 100_000_000;

/// How deep evaluations may be nested, one expression's variables in another's included.
const MAX_DEPTH: usize = 400;

/// Counts the cost of an evaluation and stops it at a limit.
#[derive(Debug)]
pub struct Meter {
    spent: u64,
    limit: u64,
    depth: usize,
}

impl Meter {
    /// A meter that stops above `limit`.
    pub fn new(limit: u64) -> Self {
        Self { spent: 0, limit, depth: 0 }
    }

    /// What was spent.
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// Charges a cost.
    ///
    /// # Errors
    /// The limit is exceeded.
    pub fn charge(&mut self, cost: u64) -> Result<(), Error> {
        self.spent = self.spent.saturating_add(cost);
        if self.spent > self.limit { Err(Error::CostLimit) } else { Ok(()) }
    }

    pub(crate) fn enter(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::new("evaluation is nested too deeply"));
        }
        Ok(())
    }

    pub(crate) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }
}
