//! Asking one hook.

use std::time::Instant;

use api_types::field::quote;
use api_types::status::ApiError;
use serde_json::Value;

use super::Webhooks;
use super::hook::Hook;
use super::invocation::Invocation;
use super::review::{self, Subject, Verdict};
use super::{lifeline, metrics};
use crate::admission::{Reader, Request, Step, kind_of};
use crate::error::{Error, Result};
use crate::http::respond;

/// Why a hook did not let a request pass.
pub enum Failure {
    /// It could not be asked, or did not answer as it should; the failure policy decides.
    Call {
        /// What happened.
        why: String,
        /// Whether the hook took too long.
        timed_out: bool,
    },
    /// The request is refused, whatever the failure policy.
    Refusal(ApiError),
}

impl Failure {
    /// A failure other than that the time was up.
    pub fn call(why: impl Into<String>) -> Self {
        Self::Call { why: why.into(), timed_out: false }
    }
}

/// Asks a hook, counts what came of it, and lets the request pass where the hook's failure may not stop it: `None`.
///
/// # Errors
/// The hook's refusal; that it could not be asked.
pub async fn ask(
    webhooks: &Webhooks,
    invocation: &Invocation,
    request: &Request<'_>,
    step: Step,
    reader: &dyn Reader,
) -> Result<Option<Verdict>> {
    let hook = &invocation.hook;
    let began = Instant::now();
    let asked = try_ask(webhooks, invocation, request, step).await;
    let call = metrics::Call { hook: &hook.name, operation: request.operation, step, took: began.elapsed() };
    match asked {
        Ok(verdict) if verdict.allowed => {
            webhooks.reports.answered(hook);
            call.passed();
            Ok(Some(verdict))
        }
        Ok(verdict) => {
            webhooks.reports.answered(hook);
            request.warnings.extend(verdict.warnings);
            annotate(hook, request, verdict.annotations);
            let refusal = review::refusal(&hook.name, verdict.refusal.as_ref());
            call.refused(refusal.code);
            Err(refusal)
        }
        Err(Failure::Refusal(refusal)) => {
            call.refused(refusal.code);
            Err(refusal)
        }
        Err(Failure::Call { why, timed_out }) => {
            let why = format!("failed calling webhook {}: {why}", quote(&hook.name));
            let spared = match hook.fails_open {
                true => Some("failurePolicy is Ignore"),
                false => lifeline::spared(hook, request, reader).await,
            };
            webhooks.reports.failed(step, hook, &why, spared);
            call.failed(timed_out, spared.is_some());
            match spared {
                Some(_) => {
                    let phase = if step == Step::Admit { "mutation" } else { "validating" };
                    let key = format!("failed-open.{phase}.webhook.admission.k8s.io/round_0_index_0");
                    request.annotations.add(key, &*hook.name);
                    Ok(None)
                }
                None => Err(Error::internal(why)),
            }
        }
    }
}

async fn try_ask(
    webhooks: &Webhooks,
    invocation: &Invocation,
    request: &Request<'_>,
    step: Step,
) -> std::result::Result<Verdict, Failure> {
    let Invocation { hook, row } = invocation;
    if request.dry_run && !hook.takes_dry_runs {
        return Err(Failure::Refusal(Error::bad_request(format!(
            "admission webhook {} does not support dry run",
            quote(&hook.name)
        ))));
    }
    let version = hook.review_version.ok_or_else(|| {
        Failure::call("webhook does not accept known AdmissionReview versions (v1, v1beta1)")
    })?;
    let client = hook.client().map_err(|why| Failure::call(format!("could not get REST client: {why}")))?;
    let object = in_version(webhooks, request, row, request.object.as_ref()).await?;
    let old_object = in_version(webhooks, request, row, request.old_object).await?;
    let uid = uuid::Uuid::new_v4().to_string();
    let subject = Subject { row, object: &object, old_object: &old_object };
    let question = review::question(version, &uid, request, &subject).to_string();
    let query = format!("timeout={}s", hook.timeout.as_secs());
    let answer = client.post(&query, question.into(), hook.timeout).await;
    let answer = answer.map_err(|error| {
        let timed_out = matches!(error, crate::outbound::CallError::NoAnswer { timed_out: true, .. });
        Failure::Call { why: format!("failed to call webhook: {error}"), timed_out }
    })?;
    let verdict = review::verdict(version, &uid, step == Step::Admit, &answer);
    let verdict =
        verdict.map_err(|why| Failure::call(format!("received invalid webhook response: {why}")))?;
    if verdict.allowed {
        request.warnings.extend(verdict.warnings.iter().cloned());
        annotate(hook, request, verdict.annotations.clone());
    }
    Ok(verdict)
}

/// An object as the hook wants to see it; null where there is none.
pub async fn in_version(
    webhooks: &Webhooks,
    request: &Request<'_>,
    row: &api_types::resource::ResourceInfo,
    object: Option<&Value>,
) -> std::result::Result<Value, Failure> {
    let Some(object) = object else { return Ok(Value::Null) };
    let [group, version, kind] = kind_of(row, request.subresource);
    let converted = match kind_of(request.resource, request.subresource) == [group, version, kind] {
        true => object.clone(),
        false => webhooks
            .versions
            .convert(request.resource, row, object)
            .await
            .map_err(|error| Failure::Refusal(Error::internal(error)))?,
    };
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Ok(respond::of_kind(&api_version, kind, converted))
}

/// Audit annotations of a hook are kept under its name.
fn annotate(hook: &Hook, request: &Request<'_>, annotations: std::collections::BTreeMap<String, String>) {
    for (key, value) in annotations {
        request.annotations.add(format!("{}/{key}", hook.name), value);
    }
}
