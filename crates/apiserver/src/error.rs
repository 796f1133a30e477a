//! Every way in which a request can fail, and the `Status` that each becomes.
//!
//! One enum for the whole request path: a handler says what went wrong, this module alone says which HTTP code, reason
//! and words the client reads. The wording is upstream's, since people and programs have learned it.

use api_types::field;
use api_types::resource::ResourceInfo;
use api_types::status::Status;
use serde_json::{Map, Value, json};

/// The result of everything on the request path.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a request fails. `Display` is the message that the client reads.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The named object does not exist.
    #[error("{} \"{name}\" not found", qualified(.group, .resource))]
    NotFound {
        /// API group of the resource, "" for core.
        group: String,
        /// Plural name of the resource.
        resource: String,
        /// Name of the object.
        name: String,
    },
    /// The path names nothing that this server serves.
    #[error("the server could not find the requested resource")]
    NoSuchPath {
        /// What details to answer with, where upstream gives any.
        details: Option<Box<Value>>,
    },
    /// An object of that name exists.
    #[error("{} \"{name}\" already exists", qualified(.group, .resource))]
    AlreadyExists {
        /// API group of the resource, "" for core.
        group: String,
        /// Plural name of the resource.
        resource: String,
        /// Name of the object.
        name: String,
    },
    /// The generated name is taken, several times in a row.
    #[error("{} \"{name}\" already exists, the server was not able to generate a unique name for the object", qualified(.group, .resource))]
    GenerateNameConflict {
        /// API group of the resource, "" for core.
        group: String,
        /// Plural name of the resource.
        resource: String,
        /// The last name tried.
        name: String,
    },
    /// The request contradicts the object's present state.
    #[error("Operation cannot be fulfilled on {} \"{name}\": {reason}", qualified(.group, .resource))]
    Conflict {
        /// API group of the resource, "" for core.
        group: String,
        /// Plural name of the resource.
        resource: String,
        /// Name of the object.
        name: String,
        /// What contradicts.
        reason: String,
    },
    /// Server-side apply met fields that others own.
    #[error("{message}")]
    ApplyConflict {
        /// The whole message.
        message: String,
        /// One `{reason, message, field}` per conflict.
        causes: Vec<Value>,
    },
    /// The object breaks rules; every broken rule is listed.
    #[error("{}", invalid_message(.group, .kind, .name, .errors))]
    Invalid {
        /// API group of the kind, "" for core.
        group: String,
        /// Kind of the object.
        kind: String,
        /// Name of the object, may be empty.
        name: String,
        /// The broken rules.
        errors: Vec<field::Error>,
    },
    /// A patch cannot be applied to the object; the client is told nothing more, as upstream does.
    #[error("the server rejected our request due to an error in our request")]
    UnprocessablePatch,
    /// The request is malformed.
    #[error("{0}")]
    BadRequest(String),
    /// No valid credentials came with the request.
    #[error("Unauthorized")]
    Unauthorized,
    /// Admission or authorization refuses.
    #[error("{message}")]
    Forbidden {
        /// API group of the resource, "" for core.
        group: String,
        /// Plural name of the resource, or empty for non-resource paths.
        resource: String,
        /// Name of the object, may be empty.
        name: String,
        /// The whole message.
        message: String,
    },
    /// The resource has no such verb.
    #[error("the server does not allow this method on the requested resource")]
    MethodNotAllowed,
    /// The resource does not support the action, in words of the registry.
    #[error("{action} is not supported on resources of kind \"{}\"", qualified(.group, .resource))]
    ActionNotSupported {
        /// API group of the resource, "" for core.
        group: String,
        /// Plural name of the resource.
        resource: String,
        /// The action.
        action: String,
    },
    /// None of the accepted representations can be made.
    #[error("{0}")]
    NotAcceptable(String),
    /// The body's media type is not understood.
    #[error("{0}")]
    UnsupportedMediaType(String),
    /// The body is longer than the server reads.
    #[error("Request entity too large: limit is {limit}")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The resource version asked for is no longer kept.
    #[error("{message}")]
    Expired {
        /// The whole message.
        message: String,
        /// For an expired continue token: a token that restarts the list at the present state.
        resume: Option<String>,
    },
    /// The resource version asked for has not been reached.
    #[error("Too large resource version: {wanted}, current: {current}")]
    FutureVersion {
        /// What the client asked for.
        wanted: u64,
        /// What the server has seen.
        current: u64,
    },
    /// The client must come back later.
    #[error("{message}")]
    TooManyRequests {
        /// The whole message.
        message: String,
        /// When to come back, in seconds; 0 for unsaid.
        retry_after_secs: u32,
        /// Machine-readable causes `{reason, message}`.
        causes: Vec<Value>,
    },
    /// The server did not finish in time.
    #[error("{0}")]
    Timeout(String),
    /// The server is not able to answer now.
    #[error("{0}")]
    Unavailable(String),
    /// The server is at fault.
    #[error("Internal error occurred: {0}")]
    Internal(String),
    /// A status made elsewhere (a webhook, a kubelet, an aggregated server).
    #[error("{}", .0.message.as_deref().unwrap_or_default())]
    Status(Box<Status>),
}

impl Error {
    /// The object `name` of `info` does not exist.
    pub fn not_found(info: &ResourceInfo, name: &str) -> Self {
        Error::NotFound { group: info.group.to_string(), resource: info.plural.to_string(), name: name.into() }
    }

    /// An object `name` of `info` exists.
    pub fn already_exists(info: &ResourceInfo, name: &str) -> Self {
        Error::AlreadyExists { group: info.group.to_string(), resource: info.plural.to_string(), name: name.into() }
    }

    /// A request contradicts the object `name` of `info`.
    pub fn conflict(info: &ResourceInfo, name: &str, reason: impl Into<String>) -> Self {
        Error::Conflict {
            group: info.group.to_string(),
            resource: info.plural.to_string(),
            name: name.into(),
            reason: reason.into(),
        }
    }

    /// The object changed since the client read it.
    pub fn modified(info: &ResourceInfo, name: &str) -> Self {
        Error::conflict(
            info,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// The object `name` of `info` breaks `errors`.
    pub fn invalid(info: &ResourceInfo, name: &str, errors: Vec<field::Error>) -> Self {
        Error::Invalid { group: info.group.to_string(), kind: info.kind.to_string(), name: name.into(), errors }
    }

    /// Options of the request (`kind` such as "DeleteOptions") break `errors`.
    pub fn invalid_options(kind: &str, errors: Vec<field::Error>) -> Self {
        Error::Invalid { group: "meta.k8s.io".into(), kind: kind.into(), name: String::new(), errors }
    }

    /// Admission refuses the object `name` of `info` because of `reason`.
    pub fn forbidden(info: &ResourceInfo, name: &str, reason: impl std::fmt::Display) -> Self {
        let what = qualified(&info.group, &info.plural);
        let message = match name {
            "" => format!("{what} is forbidden: {reason}"),
            _ => format!("{what} \"{name}\" is forbidden: {reason}"),
        };
        Error::Forbidden { group: info.group.to_string(), resource: info.plural.to_string(), name: name.into(), message }
    }

    /// The HTTP status code.
    pub fn code(&self) -> u16 {
        self.code_and_reason().0
    }

    /// The `Status` object that the client reads.
    pub fn to_status(&self) -> Status {
        if let Error::Status(status) = self {
            return (**status).clone();
        }
        let (code, reason) = self.code_and_reason();
        let mut status = json!({
            "metadata": {}, "status": "Failure", "message": self.to_string(), "reason": reason, "code": code,
        });
        if let Some(details) = self.details() {
            status["details"] = details;
        }
        serde_json::from_value(status).unwrap_or_default()
    }

    fn code_and_reason(&self) -> (u16, &str) {
        match self {
            Error::NotFound { .. } | Error::NoSuchPath { .. } => (404, "NotFound"),
            Error::AlreadyExists { .. } | Error::GenerateNameConflict { .. } => (409, "AlreadyExists"),
            Error::Conflict { .. } | Error::ApplyConflict { .. } => (409, "Conflict"),
            Error::Invalid { .. } | Error::UnprocessablePatch => (422, "Invalid"),
            Error::BadRequest(_) => (400, "BadRequest"),
            Error::Unauthorized => (401, "Unauthorized"),
            Error::Forbidden { .. } => (403, "Forbidden"),
            Error::MethodNotAllowed | Error::ActionNotSupported { .. } => (405, "MethodNotAllowed"),
            Error::NotAcceptable(_) => (406, "NotAcceptable"),
            Error::UnsupportedMediaType(_) => (415, "UnsupportedMediaType"),
            Error::TooLarge { .. } => (413, "RequestEntityTooLarge"),
            Error::Expired { .. } => (410, "Expired"),
            Error::FutureVersion { .. } | Error::Timeout(_) => (504, "Timeout"),
            Error::TooManyRequests { .. } => (429, "TooManyRequests"),
            Error::Unavailable(_) => (503, "ServiceUnavailable"),
            Error::Internal(_) => (500, "InternalError"),
            Error::Status(status) => {
                (u16::try_from(status.code.unwrap_or(500)).unwrap_or(500), status.reason.as_deref().unwrap_or(""))
            }
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Error::NotFound { group, resource, name }
            | Error::AlreadyExists { group, resource, name }
            | Error::GenerateNameConflict { group, resource, name }
            | Error::Conflict { group, resource, name, .. }
            | Error::Forbidden { group, resource, name, .. } => Some(object_details(group, resource, name)),
            Error::ActionNotSupported { group, resource, .. } => Some(object_details(group, resource, "")),
            Error::NoSuchPath { details } => Some(details.as_deref().cloned().unwrap_or_else(|| json!({}))),
            Error::ApplyConflict { causes, .. } => Some(json!({ "causes": causes })),
            Error::Invalid { group, kind, name, errors } => {
                let mut details = object_details(group, kind, name);
                if !errors.is_empty() {
                    details["causes"] = errors.iter().map(cause).collect();
                }
                Some(details)
            }
            Error::UnprocessablePatch | Error::MethodNotAllowed => Some(json!({})),
            Error::TooManyRequests { retry_after_secs, causes, .. } => {
                let mut details = Map::new();
                if *retry_after_secs > 0 {
                    details.insert("retryAfterSeconds".into(), (*retry_after_secs).into());
                }
                if !causes.is_empty() {
                    details.insert("causes".into(), causes.clone().into());
                }
                Some(details.into())
            }
            Error::FutureVersion { .. } => Some(json!({
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                "retryAfterSeconds": 1,
            })),
            Error::Internal(message) => Some(json!({ "causes": [{ "message": message }] })),
            _ => None,
        }
    }
}

/// "pods", or "deployments.apps" for a named group.
pub fn qualified(group: &str, resource: &str) -> String {
    match group {
        "" => resource.to_owned(),
        _ => format!("{resource}.{group}"),
    }
}

fn object_details(group: &str, kind: &str, name: &str) -> Value {
    let mut details = Map::new();
    for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            details.insert(key.into(), value.into());
        }
    }
    details.into()
}

fn invalid_message(group: &str, kind: &str, name: &str, errors: &[field::Error]) -> String {
    let mut seen = Vec::new();
    for error in errors {
        let text = error.to_string();
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    let list = match seen.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    format!("{} \"{name}\" is invalid: {list}", qualified(group, kind))
}

fn cause(error: &field::Error) -> Value {
    json!({ "reason": error.reason(), "message": error.body(), "field": error.field() })
}
