//! `metav1.Status` as the error type of everything that answers a client.
//!
//! A failed request is one [`ApiError`]: HTTP code, machine-readable reason, message and details. The
//! constructors word their messages as upstream does, because clients read (and tests compare) them.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value, json};

use crate::field;

/// Detail used with [`ApiError::conflict`] when the stored object is newer than the one sent.
pub const OPTIMISTIC_LOCK: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// The failure of one API request, ready to be sent as a `Status` object.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError(Box<Failure>);

#[derive(Debug, Clone, PartialEq)]
struct Failure {
    status: Status,
    /// `metadata.continue`: goes on with a list whose consistent form has expired. Empty for all other failures.
    continue_token: String,
}

impl std::error::Error for ApiError {}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.status.message)
    }
}

impl std::ops::Deref for ApiError {
    type Target = Status;
    fn deref(&self) -> &Status {
        &self.0.status
    }
}

impl std::ops::DerefMut for ApiError {
    fn deref_mut(&mut self) -> &mut Status {
        &mut self.0.status
    }
}

impl From<Status> for ApiError {
    fn from(status: Status) -> Self {
        Self(Box::new(Failure { status, continue_token: String::new() }))
    }
}

/// The content of a `Status` with `status: Failure`.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason; empty when there is none.
    pub reason: Cow<'static, str>,
    /// What the user reads.
    pub message: String,
    /// What the failure is about; absent for failures that concern no object.
    pub details: Option<Details>,
}

/// `Status.details`: the object a failure is about, and its causes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    /// Name of the object.
    pub name: String,
    /// API group of the object; empty for the core group.
    pub group: String,
    /// Kind or (for most failures) plural resource name.
    pub kind: String,
    /// UID of the object, where a precondition concerned it.
    pub uid: String,
    /// One entry per separate cause, such as each invalid field.
    pub causes: Vec<Cause>,
    /// Seconds after which a client may try again; 0 when not said.
    pub retry_after_seconds: u32,
}

/// One cause of a failure.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cause {
    /// Machine-readable, such as `FieldValueInvalid`; empty when there is none.
    pub reason: Cow<'static, str>,
    /// What the user reads.
    pub message: String,
    /// Path of the field; empty when the cause is not a field.
    pub field: String,
}

/// The values of `Status.reason`, as upstream's `StatusReason` constants name them.
pub mod reason {
    #![allow(missing_docs)]
    pub const UNAUTHORIZED: &str = "Unauthorized";
    pub const FORBIDDEN: &str = "Forbidden";
    pub const NOT_FOUND: &str = "NotFound";
    pub const ALREADY_EXISTS: &str = "AlreadyExists";
    pub const CONFLICT: &str = "Conflict";
    pub const GONE: &str = "Gone";
    pub const EXPIRED: &str = "Expired";
    pub const INVALID: &str = "Invalid";
    pub const SERVER_TIMEOUT: &str = "ServerTimeout";
    pub const STORE_READ_ERROR: &str = "StorageReadError";
    pub const TIMEOUT: &str = "Timeout";
    pub const TOO_MANY_REQUESTS: &str = "TooManyRequests";
    pub const BAD_REQUEST: &str = "BadRequest";
    pub const METHOD_NOT_ALLOWED: &str = "MethodNotAllowed";
    pub const NOT_ACCEPTABLE: &str = "NotAcceptable";
    pub const REQUEST_ENTITY_TOO_LARGE: &str = "RequestEntityTooLarge";
    pub const UNSUPPORTED_MEDIA_TYPE: &str = "UnsupportedMediaType";
    pub const INTERNAL_ERROR: &str = "InternalError";
    pub const SERVICE_UNAVAILABLE: &str = "ServiceUnavailable";
}

/// `resource.group`, or the bare resource in the core group: how messages name a resource or a kind.
pub fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

impl ApiError {
    /// An error without details.
    pub fn plain(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Status { code, reason: Cow::Borrowed(reason), message: message.into(), details: None }.into()
    }

    fn about(
        code: u16,
        reason: &'static str,
        message: String,
        (group, kind, name): (&str, &str, &str),
    ) -> Self {
        let details =
            Details { name: name.into(), group: group.into(), kind: kind.into(), ..Details::default() };
        Status { code, reason: Cow::Borrowed(reason), message, details: Some(details) }.into()
    }

    /// 404: the named object does not exist.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {} not found", qualified(group, resource), field::quote(name));
        Self::about(404, reason::NOT_FOUND, message, (group, resource, name))
    }

    /// 404: no such path on this server.
    pub fn path_not_found() -> Self {
        let message = "the server could not find the requested resource".to_owned();
        Self::about(404, reason::NOT_FOUND, message, ("", "", ""))
    }

    /// 409: an object of this name exists.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {} already exists", qualified(group, resource), field::quote(name));
        Self::about(409, reason::ALREADY_EXISTS, message, (group, resource, name))
    }

    /// 409: `generateName` produced a taken name every time.
    pub fn generate_name_conflict(group: &str, resource: &str, name: &str, retry_after_seconds: u32) -> Self {
        let message = format!(
            "{} {} already exists, the server was not able to generate a unique name for the object",
            qualified(group, resource),
            field::quote(name)
        );
        Self::about(409, reason::ALREADY_EXISTS, message, (group, resource, name))
            .with_retry_after(retry_after_seconds)
    }

    /// 409: the operation cannot be done in the present state; see [`OPTIMISTIC_LOCK`].
    pub fn conflict(group: &str, resource: &str, name: &str, detail: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {}: {detail}",
            qualified(group, resource),
            field::quote(name)
        );
        Self::about(409, reason::CONFLICT, message, (group, resource, name))
    }

    /// 409: the object was changed since the client read it.
    pub fn modified(group: &str, resource: &str, name: &str) -> Self {
        Self::conflict(group, resource, name, OPTIMISTIC_LOCK)
    }

    /// 409: server-side apply met fields of other managers.
    pub fn apply_conflict(causes: Vec<Cause>, message: String) -> Self {
        let details = Details { causes, ..Details::default() };
        Status { code: 409, reason: Cow::Borrowed(reason::CONFLICT), message, details: Some(details) }.into()
    }

    /// 422: the object breaks validation rules. `group`/`kind` name the kind, not the resource.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: impl Into<field::ErrorList>) -> Self {
        let errors: field::ErrorList = errors.into();
        let mut message = format!("{} {} is invalid", qualified(group, kind), field::quote(name));
        if !errors.is_empty() {
            message = format!("{message}: {errors}");
        }
        let mut error = Self::about(422, reason::INVALID, message, (group, kind, name));
        let causes = errors.iter().map(|e| Cause {
            reason: Cow::Borrowed(e.kind.reason()),
            message: e.body(),
            field: e.path.clone(),
        });
        error.details_mut().causes = causes.collect();
        error
    }

    /// 400: the request itself is malformed.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(400, reason::BAD_REQUEST, message)
    }

    /// 403: the caller (or an admission rule) may not do this. Empty group and resource, or name, are left out.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: impl fmt::Display) -> Self {
        let message = match (resource.is_empty() && group.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (_, true) => format!("{} is forbidden: {why}", qualified(group, resource)),
            _ => format!("{} {} is forbidden: {why}", qualified(group, resource), field::quote(name)),
        };
        Self::about(403, reason::FORBIDDEN, message, (group, resource, name))
    }

    /// 401: the caller is unknown. An empty `why` reads "not authorized".
    pub fn unauthorized(why: &str) -> Self {
        Self::plain(401, reason::UNAUTHORIZED, if why.is_empty() { "not authorized" } else { why })
    }

    /// 405: the resource has no such verb.
    pub fn method_not_supported(group: &str, resource: &str, action: &str) -> Self {
        let message = format!(
            "{action} is not supported on resources of kind {}",
            field::quote(&qualified(group, resource))
        );
        Self::about(405, reason::METHOD_NOT_ALLOWED, message, (group, resource, ""))
    }

    /// 406: none of the accepted media types can be produced.
    pub fn not_acceptable(supported: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", supported.join(", "));
        Self::plain(406, reason::NOT_ACCEPTABLE, message)
    }

    /// 415: the body's media type is unknown here.
    pub fn unsupported_media_type(supported: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            supported.join(", ")
        );
        Self::plain(415, reason::UNSUPPORTED_MEDIA_TYPE, message)
    }

    /// 410: what was asked for existed and does no longer.
    pub fn gone(message: impl Into<String>) -> Self {
        Self::plain(410, reason::GONE, message)
    }

    /// 410: the resource version (or continue token) is older than what is kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::plain(410, reason::EXPIRED, message)
    }

    /// 504: the request was not finished in its time.
    pub fn timeout(message: &str, retry_after_seconds: u32) -> Self {
        let message = format!("Timeout: {message}");
        Self::about(504, reason::TIMEOUT, message, ("", "", "")).with_retry_after(retry_after_seconds)
    }

    /// 500 with reason `ServerTimeout`: the server could not do the operation now; a retry may work.
    pub fn server_timeout(group: &str, resource: &str, operation: &str, retry_after_seconds: u32) -> Self {
        let message = format!(
            "The {operation} operation against {} could not be completed at this time, please try again.",
            qualified(group, resource)
        );
        Self::about(500, reason::SERVER_TIMEOUT, message, (group, resource, operation))
            .with_retry_after(retry_after_seconds)
    }

    /// 429 with the message as given.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::about(429, reason::TOO_MANY_REQUESTS, message.into(), ("", "", ""))
            .with_retry_after(retry_after_seconds)
    }

    /// 503: a part this answer needs is not there.
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::plain(503, reason::SERVICE_UNAVAILABLE, message)
    }

    /// 500: a failure that is not the client's doing.
    pub fn internal(why: impl fmt::Display) -> Self {
        let why = why.to_string();
        let message = format!("Internal error occurred: {why}");
        let mut error = Self::about(500, reason::INTERNAL_ERROR, message, ("", "", ""));
        error.details_mut().causes = vec![Cause { message: why, ..Cause::default() }];
        error
    }

    /// 413: the body, or what would be stored, is too large.
    pub fn request_entity_too_large(message: &str) -> Self {
        Self::plain(413, reason::REQUEST_ENTITY_TOO_LARGE, format!("Request entity too large: {message}"))
    }

    /// The same with another message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.0.status.message = message.into();
        self
    }

    /// The same with a token that continues the list that failed.
    #[must_use]
    pub fn with_continue(mut self, token: impl Into<String>) -> Self {
        self.0.continue_token = token.into();
        self
    }

    /// The `Status` object as it is sent.
    pub fn to_value(&self) -> Value {
        let mut out = self.0.status.to_value();
        if !self.0.continue_token.is_empty() {
            out["metadata"]["continue"] = self.0.continue_token.as_str().into();
        }
        out
    }

    /// The same error with `details.retryAfterSeconds` set (and so a `Retry-After` header).
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.details_mut().retry_after_seconds = seconds;
        self
    }

    /// The same error with one more cause.
    pub fn with_cause(mut self, cause: Cause) -> Self {
        self.details_mut().causes.push(cause);
        self
    }

    /// The details, created when absent.
    pub fn details_mut(&mut self) -> &mut Details {
        self.0.status.details.get_or_insert_default()
    }

    /// Whether the reason is `NotFound`.
    pub fn is_not_found(&self) -> bool {
        self.reason == reason::NOT_FOUND
    }

    /// Whether the reason is `Conflict`.
    pub fn is_conflict(&self) -> bool {
        self.reason == reason::CONFLICT
    }

    /// Whether the reason is `AlreadyExists`.
    pub fn is_already_exists(&self) -> bool {
        self.reason == reason::ALREADY_EXISTS
    }
}

impl Status {
    /// The wire form: a `v1` `Status` with `status: Failure`.
    pub fn to_value(&self) -> Value {
        let mut out = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": self.code,
        });
        let map = out.as_object_mut().expect("built as an object");
        put(map, "message", &self.message);
        put(map, "reason", &self.reason);
        if let Some(details) = &self.details {
            map.insert("details".into(), details.to_value());
        }
        out
    }

    /// Reads a `Status` that a server sent; `None` when the value is not one that reports a failure.
    pub fn from_value(value: &Value) -> Option<Self> {
        if value.get("kind")?.as_str()? != "Status" || text(value, "status") == "Success" {
            return None;
        }
        Some(Self {
            code: value
                .get("code")
                .and_then(Value::as_u64)
                .and_then(|c| u16::try_from(c).ok())
                .unwrap_or(500),
            reason: Cow::Owned(text(value, "reason")),
            message: text(value, "message"),
            details: value.get("details").map(Details::from_value),
        })
    }
}

/// The `Status` of an operation that succeeded, such as a finished deletion; `details` as given.
pub fn success(details: Option<&Details>) -> Value {
    let mut out = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"});
    if let (Some(details), Some(map)) = (details, out.as_object_mut()) {
        map.insert("details".into(), details.to_value());
    }
    out
}

impl Details {
    fn to_value(&self) -> Value {
        let mut map = Map::new();
        put(&mut map, "name", &self.name);
        put(&mut map, "group", &self.group);
        put(&mut map, "kind", &self.kind);
        put(&mut map, "uid", &self.uid);
        if !self.causes.is_empty() {
            map.insert("causes".into(), self.causes.iter().map(Cause::to_value).collect());
        }
        if self.retry_after_seconds > 0 {
            map.insert("retryAfterSeconds".into(), self.retry_after_seconds.into());
        }
        Value::Object(map)
    }

    fn from_value(value: &Value) -> Self {
        let causes = value.get("causes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let retry = value.get("retryAfterSeconds").and_then(Value::as_u64).unwrap_or(0);
        Self {
            name: text(value, "name"),
            group: text(value, "group"),
            kind: text(value, "kind"),
            uid: text(value, "uid"),
            causes: causes.iter().map(Cause::from_value).collect(),
            retry_after_seconds: u32::try_from(retry).unwrap_or(u32::MAX),
        }
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut map = Map::new();
        put(&mut map, "reason", &self.reason);
        put(&mut map, "message", &self.message);
        put(&mut map, "field", &self.field);
        Value::Object(map)
    }

    fn from_value(value: &Value) -> Self {
        Self {
            reason: Cow::Owned(text(value, "reason")),
            message: text(value, "message"),
            field: text(value, "field"),
        }
    }
}

fn put(map: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        map.insert(key.to_owned(), Value::from(text));
    }
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}
