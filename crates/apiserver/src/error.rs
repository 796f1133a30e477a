//! The error of the request path: [`ApiError`], made here for the server's own vocabulary.
//!
//! A handler says what went wrong about which resource; the code, reason and words are chosen here and in
//! `api_types::status`, once.

use std::borrow::Cow;

use api_types::field;
use api_types::resource::ResourceInfo;
pub use api_types::status::ApiError as Error;
use api_types::status::{Cause, Details, Status, reason};

/// The result of everything on the request path.
pub type Result<T> = std::result::Result<T, Error>;

/// The object `name` does not exist.
pub fn not_found(info: &ResourceInfo, name: &str) -> Error {
    Error::not_found(&info.group, &info.plural, name)
}

/// An object of that name exists.
pub fn already_exists(info: &ResourceInfo, name: &str) -> Error {
    Error::already_exists(&info.group, &info.plural, name)
}

/// The request contradicts the object's present state.
pub fn conflict(info: &ResourceInfo, name: &str, why: &str) -> Error {
    Error::conflict(&info.group, &info.plural, name, why)
}

/// The object changed since the client read it.
pub fn modified(info: &ResourceInfo, name: &str) -> Error {
    Error::modified(&info.group, &info.plural, name)
}

/// The object breaks rules.
pub fn invalid(info: &ResourceInfo, name: &str, errors: impl Into<field::ErrorList>) -> Error {
    Error::invalid(api_types::validation::reported_group(&info.group, &info.kind), &info.kind, name, errors)
}

/// Options of the request (`kind` such as "DeleteOptions") break rules.
pub fn invalid_options(kind: &str, errors: impl Into<field::ErrorList>) -> Error {
    Error::invalid("meta.k8s.io", kind, "", errors)
}

/// Admission refuses the object.
pub fn forbidden(info: &ResourceInfo, name: &str, why: impl std::fmt::Display) -> Error {
    Error::forbidden(&info.group, &info.plural, name, why)
}

/// The resource has no such verb, or the path no such method.
pub fn method_not_allowed() -> Error {
    bare(405, reason::METHOD_NOT_ALLOWED, "the server does not allow this method on the requested resource")
}

/// A patch cannot be applied to the object; the client is told nothing more.
pub fn unprocessable_patch() -> Error {
    bare(422, reason::INVALID, "the server rejected our request due to an error in our request")
}

/// No representation that the client accepts exists at all.
pub fn not_acceptable_http(supported: &str) -> Error {
    bare(
        406,
        reason::NOT_ACCEPTABLE,
        &format!("406: Not Acceptable\n\nAvailable representations: {supported}"),
    )
}

/// The body's media type is none that the method takes.
pub fn unsupported_media_type_http() -> Error {
    bare(415, reason::UNSUPPORTED_MEDIA_TYPE, "415: Unsupported Media Type")
}

/// The resource version asked for has not been reached yet.
pub fn future_version(wanted: i64, current: i64) -> Error {
    let message = format!("Too large resource version: {wanted}, current: {current}");
    Error::timeout(&message, 1).with_cause(Cause {
        reason: Cow::Borrowed("ResourceVersionTooLarge"),
        message: "Too large resource version".into(),
        field: String::new(),
    })
}

/// A failure with empty `details`, as upstream answers where it only knows the HTTP code.
fn bare(code: u16, reason: &'static str, message: &str) -> Error {
    Status { code, reason: Cow::Borrowed(reason), message: message.into(), details: Some(Details::default()) }
        .into()
}
