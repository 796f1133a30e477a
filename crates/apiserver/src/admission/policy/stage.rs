//! One policy before one request with one parameter: its expressions are evaluated here, against one budget.

use expression::{CALL_LIMIT, Error, Fields, Map, Meter, Value as Cel, Variables};
use parking_lot::Mutex;

use super::definition::{Expression, Policy};
use crate::admission::scene::Scene;

/// Where a policy's expressions are evaluated.
pub struct Stage<'a> {
    scene: &'a Scene,
    policy: &'a Policy,
    /// Values of `variables`, computed when first asked for.
    computed: Mutex<Vec<Option<Result<Cel<'a>, Error>>>>,
    budget: Mutex<u64>,
}

/// Why an expression has no value, as users read it.
#[derive(Debug)]
pub struct Failure {
    /// The text.
    pub message: String,
    /// Whether the budget is spent, so that nothing more is evaluated.
    pub out_of_budget: bool,
}

impl<'a> Stage<'a> {
    /// A stage with a budget for all of the policy's expressions.
    pub fn new(policy: &'a Policy, scene: &'a Scene, budget: u64) -> Self {
        let computed = Mutex::new(vec![None; policy.variables.len()]);
        Self { scene, policy, computed, budget: Mutex::new(budget) }
    }

    /// What is left of the budget.
    pub fn left(&self) -> u64 {
        *self.budget.lock()
    }

    /// The value of one of the policy's expressions.
    pub fn evaluate(&'a self, expression: &'a Expression) -> Result<Cel<'a>, Failure> {
        let left = *self.budget.lock();
        let mut meter = Meter::new(CALL_LIMIT);
        let outcome = match &expression.program {
            Ok(program) => program
                .evaluate(&self, &mut meter)
                .map_err(|error| format!("expression '{}' resulted in error: {error}", expression.source)),
            Err(problem) => Err(format!("compilation error: {problem}")),
        };
        if meter.spent() > left {
            let message = "validation failed due to running out of cost budget, no further validation rules will be run";
            *self.budget.lock() = 0;
            return Err(Failure { message: message.to_owned(), out_of_budget: true });
        }
        *self.budget.lock() = left - meter.spent();
        outcome.map_err(|message| Failure { message, out_of_budget: false })
    }
}

impl<'a> Variables<'a> for &'a Stage<'a> {
    fn variable(&self, name: &str) -> Option<Cel<'a>> {
        match name {
            "variables" => Some(Cel::Map(Map::Lazy(*self))),
            name => self.scene.variable(name),
        }
    }
}

impl<'a> Fields<'a> for Stage<'a> {
    fn field(&'a self, name: &str, meter: &mut Meter) -> Option<Result<Cel<'a>, Error>> {
        let at = self.policy.variables.iter().position(|(known, _)| known == name)?;
        if let Some(known) = &self.computed.lock()[at] {
            return Some(known.clone());
        }
        let outcome = match &self.policy.variables[at].1.program {
            Ok(program) => program.evaluate(&self, meter).map_err(|error| match error {
                Error::CostLimit => Error::CostLimit,
                Error::Failed(why) => {
                    Error::new(format!("composited variable {name:?} fails to evaluate: {why}"))
                }
            }),
            Err(problem) => {
                Err(Error::new(format!("composited variable {name:?} fails to compile: {problem}")))
            }
        };
        self.computed.lock()[at] = Some(outcome.clone());
        Some(outcome)
    }
}
