//! The refusal that clients read.

use api_types::field::quote;
use api_types::status::{ApiError, Details, Status, reason};

use super::Attributes;

/// The `Status` for a request that nobody allowed, with the authorizers' reason when they gave one.
pub fn forbidden(request: &Attributes<'_>, why: &str) -> ApiError {
    let mut text = format!("User {} cannot {}", quote(&request.user.name), request.verb);
    if request.resource_request {
        text.push_str(&format!(" resource \"{}", request.resource));
        if !request.subresource.is_empty() {
            text.push_str(&format!("/{}", request.subresource));
        }
        text.push_str(&format!("\" in API group {}", quote(request.group)));
        match request.namespace {
            "" => text.push_str(" at the cluster scope"),
            namespace => text.push_str(&format!(" in the namespace {}", quote(namespace))),
        }
    } else {
        text.push_str(&format!(" path {}", quote(request.path)));
    }
    if !why.is_empty() {
        text.push_str(": ");
        text.push_str(why);
    }
    if request.resource_request {
        return ApiError::forbidden(request.group, request.resource, request.name, text);
    }
    Status {
        code: 403,
        reason: reason::FORBIDDEN.into(),
        message: format!("forbidden: {text}"),
        details: Some(Details::default()),
    }
    .into()
}
