//! ValidatingAdmissionPolicy: policies that refuse.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use expression::{REQUEST_BUDGET, Value as Cel};

use super::definition::{Policy, Validation};
use super::index::{Binding, Bound};
use super::stage::{Failure, Stage};
use super::{Policies, invocation, params, refusal};
use crate::admission::scene::Scene;
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::{Error, Result};

/// The plug-in.
pub(super) struct ValidatingAdmissionPolicy(pub(super) Arc<Policies>);

/// The longest text that a messageExpression may make, in bytes.
const MAX_MESSAGE: usize = 5 * 1024;

/// Why a validation does not let the request pass.
struct Denial {
    message: String,
    reason: String,
    /// Which of the policy's validations it was.
    index: usize,
}

/// What one request has come to so far.
#[derive(Default)]
struct Outcome {
    /// The first refusal; the client reads it.
    refusal: Option<Error>,
    /// Values of audit annotations, by key: several bindings may add to one.
    annotations: BTreeMap<String, Vec<String>>,
}

#[async_trait]
impl Plugin for ValidatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionPolicy"
    }

    fn handles(&self, _: Operation) -> bool {
        true
    }

    async fn validate(&self, request: &Request<'_>, reader: &dyn Reader) -> Result<()> {
        let candidates = invocation::candidates(&self.0.validating, request).await?;
        let mut outcome = Outcome::default();
        for bound in &candidates {
            self.judge(bound, request, reader, &mut outcome).await?;
        }
        for (key, mut values) in outcome.annotations {
            values.dedup();
            request.annotations.add(key, values.join(", "));
        }
        outcome.refusal.map_or(Ok(()), Err)
    }
}

impl ValidatingAdmissionPolicy {
    /// Evaluates a policy under each of its bindings.
    async fn judge(
        &self,
        bound: &Bound,
        request: &Request<'_>,
        reader: &dyn Reader,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let policy = &*bound.policy;
        let Some(row) = policy.constraints.row(request, &*self.0.versions, reader).await? else {
            return Ok(());
        };
        let mut scene: Option<Scene> = None;
        for binding in &bound.bindings {
            if !invocation::is_bound(&self.0, binding, request, reader).await? {
                continue;
            }
            let params = match params::of(&self.0, policy, binding, request).await {
                Ok(params) => params,
                Err(why) => {
                    if !policy.fails_open && outcome.refusal.is_none() {
                        let message = format!("failed to configure binding: {why}");
                        outcome.refusal =
                            Some(refusal::denied(request, &policy.name, Some(&binding.name), &message, ""));
                    }
                    continue;
                }
            };
            for param in params {
                let scene = match &mut scene {
                    Some(scene) => scene,
                    none => none.insert(invocation::scene(&self.0, request, &row, reader).await?),
                };
                scene.params = param;
                apply(policy, binding, scene, request, outcome);
            }
        }
        Ok(())
    }
}

/// Evaluates a policy once and does what the binding wants done with what it finds.
fn apply(policy: &Policy, binding: &Binding, scene: &Scene, request: &Request<'_>, outcome: &mut Outcome) {
    let denials = match invocation::conditions_hold(policy, scene) {
        Ok(false) => return,
        Ok(true) => evaluate(policy, scene, outcome),
        Err(_) if policy.fails_open => return,
        Err(why) => vec![Denial { message: why, reason: String::new(), index: 0 }],
    };
    for denial in denials {
        for action in &binding.actions {
            match action.as_str() {
                "Deny" if outcome.refusal.is_none() => {
                    let Denial { message, reason, .. } = &denial;
                    let refusal =
                        refusal::denied(request, &policy.name, Some(&binding.name), message, reason);
                    outcome.refusal = Some(refusal);
                }
                "Warn" => request.warnings.push(format!(
                    "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                    policy.name, binding.name, denial.message
                )),
                "Audit" => {
                    let entry = refusal::audit_entry(
                        &policy.name,
                        &binding.name,
                        &binding.actions,
                        denial.index,
                        &denial.message,
                    );
                    request
                        .annotations
                        .add("validation.policy.admission.k8s.io/validation_failure", entry.to_string());
                }
                _ => {}
            }
        }
    }
}

/// All validations that the request does not meet; audit annotations go to the outcome.
fn evaluate(policy: &Policy, scene: &Scene, outcome: &mut Outcome) -> Vec<Denial> {
    let stage = Stage::new(policy, scene, REQUEST_BUDGET);
    let mut denials = Vec::new();
    for (index, validation) in policy.validations.iter().enumerate() {
        let failed = |message| Denial { message, reason: String::new(), index };
        match stage.evaluate(&validation.expression) {
            Ok(Cel::Bool(true)) => {}
            Ok(_) => match message(&stage, validation) {
                Ok(message) => denials.push(Denial { message, reason: validation.reason.clone(), index }),
                Err(Failure { message, .. }) if !policy.fails_open => {
                    denials.push(failed(format!("failed messageExpression: {message}")));
                }
                Err(_) => {}
            },
            Err(failure) => {
                if !policy.fails_open {
                    denials.push(failed(failure.message));
                }
                if failure.out_of_budget {
                    return denials;
                }
            }
        }
    }
    for (key, expression) in &policy.annotations {
        let failed = |message| Denial { message, reason: String::new(), index: 0 };
        match stage.evaluate(expression) {
            Ok(Cel::String(text)) if !text.trim().is_empty() => {
                let key = format!("{}/{key}", policy.name);
                outcome.annotations.entry(key).or_default().push(text.trim().to_owned());
            }
            Ok(Cel::String(_) | Cel::Null) => {}
            Ok(other) if !policy.fails_open => denials.push(failed(format!(
                "valueExpression '{}' resulted in unsupported return type: {}. Return type must be either string or null.",
                expression.source,
                other.type_name()
            ))),
            Err(failure) if !policy.fails_open => denials.push(failed(failure.message)),
            _ => {}
        }
    }
    denials
}

/// What the client reads about a validation that is not met.
fn message<'a>(stage: &'a Stage<'a>, validation: &'a Validation) -> std::result::Result<String, Failure> {
    if let Some(expression) = &validation.message_expression {
        match stage.evaluate(expression) {
            Ok(Cel::String(text)) => {
                let text = text.trim();
                if !text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains('\n') {
                    return Ok(text.to_owned());
                }
            }
            Err(failure) if failure.out_of_budget => return Err(failure),
            _ => {}
        }
    }
    Ok(match validation.message.as_str() {
        "" => format!("failed expression: {}", validation.expression.source),
        message => message.to_owned(),
    })
}
