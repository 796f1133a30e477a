//! AdmissionReview: the question to a hook, and what its answer means.

use std::collections::BTreeMap;

use api_types::field::quote;
use api_types::resource::ResourceInfo;
use api_types::status::{ApiError, Status};
use base64::Engine as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::hook::ReviewVersion;
use crate::admission::{Operation, Request, kind_of};

/// What a hook has decided.
#[derive(Debug, Default, PartialEq)]
pub struct Verdict {
    /// The refusal, if it is one.
    pub refusal: Option<Value>,
    /// Whether the request may pass.
    pub allowed: bool,
    /// A JSON Patch of the object, if the hook wants to change it.
    pub patch: Option<Value>,
    /// For the audit log, under the hook's name.
    pub annotations: BTreeMap<String, String>,
    /// For the user.
    pub warnings: Vec<String>,
}

/// The objects of a question, in the version that the hook wants, with `kind` and `apiVersion`.
pub struct Subject<'a> {
    /// The row in that version.
    pub row: &'a ResourceInfo,
    /// The object; null for deletions.
    pub object: &'a Value,
    /// The stored object; null for creations.
    pub old_object: &'a Value,
}

/// The question.
pub fn question(version: ReviewVersion, uid: &str, request: &Request<'_>, subject: &Subject<'_>) -> Value {
    let kind = |row: &ResourceInfo| {
        let [group, version, kind] = kind_of(row, request.subresource);
        json!({"group": group, "version": version, "kind": kind})
    };
    let resource = |row: &ResourceInfo| json!({"group": &*row.group, "version": &*row.version, "resource": &*row.plural});
    let mut body = json!({
        "uid": uid,
        "kind": kind(subject.row),
        "resource": resource(subject.row),
        "requestKind": kind(request.resource),
        "requestResource": resource(request.resource),
        "operation": request.operation.label(),
        "userInfo": request.user,
        "object": subject.object,
        "oldObject": subject.old_object,
        "dryRun": request.dry_run,
        "options": options(request),
    });
    let texts = [
        ("subResource", request.subresource),
        ("requestSubResource", request.subresource),
        ("name", request.name),
        ("namespace", namespace_of(request)),
    ];
    for (key, text) in texts {
        if !text.is_empty() {
            body[key] = text.into();
        }
    }
    json!({"kind": "AdmissionReview", "apiVersion": version.api_version(), "request": body})
}

/// The request's options as those of the operation: a patch is shown as the creation or update that it comes to.
fn options(request: &Request<'_>) -> Value {
    let mut options = request.options.clone();
    let kind = match request.operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete | Operation::Connect => return options,
    };
    if let Some(map) = options.as_object_mut() {
        map.insert("kind".into(), kind.into());
        map.remove("force");
    }
    options
}

/// The namespace that a request is about; a Namespace is about itself.
pub fn namespace_of<'a>(request: &Request<'a>) -> &'a str {
    match request.is_any("", "namespaces") {
        true => request.name,
        false => request.namespace,
    }
}

/// AdmissionReview as hooks send it back.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Answer {
    kind: String,
    api_version: String,
    response: Option<Response>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Response {
    uid: String,
    allowed: bool,
    status: Option<Value>,
    patch: Option<String>,
    patch_type: Option<String>,
    audit_annotations: Option<BTreeMap<String, String>>,
    warnings: Option<Vec<String>>,
}

/// Reads the answer to question `uid`.
///
/// # Errors
/// The answer is none: what is wrong with it.
pub fn verdict(version: ReviewVersion, uid: &str, mutating: bool, answer: &[u8]) -> Result<Verdict, String> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    let response = answer.response.ok_or("webhook response was absent")?;
    let patch = match version {
        ReviewVersion::V1 => {
            check_v1(uid, (&answer.api_version, &answer.kind), &response)?;
            patch_v1(mutating, &response)?
        }
        // Hooks of the old version need not repeat the uid, and leave the patch's type out.
        ReviewVersion::V1Beta1 => match &response.patch {
            Some(patch) if mutating && !patch.is_empty() => Some(patch.as_str()),
            _ => None,
        },
    };
    let patch = patch.map(read_patch).transpose()?;
    Ok(Verdict {
        refusal: if response.allowed { None } else { response.status },
        allowed: response.allowed,
        patch,
        annotations: response.audit_annotations.unwrap_or_default(),
        warnings: response.warnings.unwrap_or_default(),
    })
}

fn check_v1(uid: &str, found: (&str, &str), response: &Response) -> Result<(), String> {
    if response.uid != uid {
        return Err(format!("expected response.uid={}, got {}", quote(uid), quote(&response.uid)));
    }
    let wanted = (ReviewVersion::V1.api_version(), "AdmissionReview");
    if found != wanted {
        let written = |(api_version, kind): (&str, &str)| match api_version.contains('/') {
            true => format!("{api_version}, Kind={kind}"),
            false => format!("/{api_version}, Kind={kind}"),
        };
        return Err(format!("expected webhook response of {}, got {}", written(wanted), written(found)));
    }
    Ok(())
}

fn patch_v1(mutating: bool, response: &Response) -> Result<Option<&str>, String> {
    let patch = response.patch.as_deref().filter(|patch| !patch.is_empty());
    let wrong = |why: &str| Err(why.to_owned());
    match (mutating, patch, response.patch_type.as_deref()) {
        (false, Some(_), _) => wrong("validating webhook may not return response.patch"),
        (false, None, Some(_)) => wrong("validating webhook may not return response.patchType"),
        (true, Some(_), None) => wrong("webhook returned response.patch but not response.patchType"),
        (true, None, Some(_)) => wrong("webhook returned response.patchType but not response.patch"),
        (true, Some(patch), Some("JSONPatch")) => Ok(Some(patch)),
        (true, Some(_), Some("")) => wrong("webhook returned invalid response.patchType of \"\""),
        (true, Some(_), Some(other)) => Err(format!("unsupported patch type {}", quote(other))),
        (_, None, None) => Ok(None),
    }
}

fn read_patch(encoded: &str) -> Result<Value, String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded);
    let bytes = bytes.map_err(|error| format!("response.patch is no base64: {error}"))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("response.patch is no JSON Patch: {error}"))
}

/// What the client reads when the hook has refused.
pub fn refusal(hook: &str, status: Option<&Value>) -> ApiError {
    let denied = format!("admission webhook {} denied the request", quote(hook));
    let mut given = json!({"kind": "Status", "status": "Failure"});
    if let (Some(map), Some(status)) = (given.as_object_mut(), status.and_then(Value::as_object)) {
        map.extend(
            status
                .iter()
                .filter(|(key, _)| *key != "kind" && *key != "status")
                .map(|(k, v)| (k.clone(), v.clone())),
        );
    }
    let code = given["code"].as_u64().filter(|code| (400..600).contains(code)).unwrap_or(400);
    given["code"] = code.into();
    let mut refusal = Status::from_value(&given).unwrap_or_else(|| Status {
        code: 400,
        reason: "".into(),
        message: String::new(),
        details: None,
    });
    refusal.message = match (refusal.message.as_str(), &*refusal.reason) {
        ("", "") => format!("{denied} without explanation"),
        ("", reason) => format!("{denied}: {reason}"),
        (message, _) => format!("{denied}: {message}"),
    };
    refusal.into()
}
