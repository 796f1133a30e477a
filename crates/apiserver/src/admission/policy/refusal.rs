//! What the client reads when a policy refuses.

use api_types::status::Cause;
use serde_json::Value;

use crate::admission::Request;
use crate::error::{self, Error};

/// A refusal by a validating policy; `reason` is that of the validation, "" for the default.
pub fn denied(
    request: &Request<'_>,
    policy: &str,
    binding: Option<&str>,
    message: &str,
    reason: &str,
) -> Error {
    let message = match binding {
        Some(binding) => {
            format!("ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {message}")
        }
        None => format!("ValidatingAdmissionPolicy '{policy}' denied request: {message}"),
    };
    let mut refusal = error::forbidden(request.resource, name_of(request), &message)
        .with_cause(Cause { message, ..Cause::default() });
    let (reason, code) = match reason {
        "Unauthorized" => ("Unauthorized", 401),
        "Forbidden" => ("Forbidden", 403),
        "RequestEntityTooLarge" => ("RequestEntityTooLarge", 413),
        _ => ("Invalid", 422),
    };
    refusal.reason = reason.into();
    refusal.code = code;
    refusal
}

/// A mutating policy that could not do its work.
pub fn not_mutated(request: &Request<'_>, policy: &str, binding: Option<&str>, message: &str) -> Error {
    let message = match binding {
        Some(binding) => format!("policy '{policy}' with binding '{binding}' denied request: {message}"),
        None => format!("policy '{policy}' denied request: {message}"),
    };
    let mut refusal = error::forbidden(request.resource, name_of(request), &message)
        .with_cause(Cause { message: message.clone(), ..Cause::default() });
    refusal.message = message;
    refusal.reason = "Invalid".into();
    refusal
}

/// The name that a refusal shows.
fn name_of<'a>(request: &'a Request<'_>) -> &'a str {
    let from_object = |key: &str| {
        let object = request.object.as_ref()?;
        object["metadata"][key].as_str().filter(|name| !name.is_empty())
    };
    match request.name {
        "" => from_object("name").or_else(|| from_object("generateName")).unwrap_or("Unknown"),
        name => name,
    }
}

/// The entry of the audit annotation `validation.policy.admission.k8s.io/validation_failure`.
pub fn audit_entry(policy: &str, binding: &str, actions: &[String], index: usize, message: &str) -> Value {
    serde_json::json!([{
        "message": message,
        "policy": policy,
        "binding": binding,
        "expressionIndex": index.to_string(),
        "validationActions": actions,
    }])
}
