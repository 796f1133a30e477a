//! Responses that are not objects of a resource, and what all responses share: warnings, compression, kinds.

use std::sync::LazyLock;

use api_types::schema::SchemaRef;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY, WARNING,
};
use http::{HeaderMap, Response, StatusCode};
use serde_json::Value;

use super::body::{self, Body};
use super::media::Format;
use crate::error::{Error, Result};

static STATUS: LazyLock<SchemaRef> =
    LazyLock::new(|| api_types::schema::by_gvk("", "v1", "Status").unwrap_or_default());

/// An error as the client reads it.
pub fn error(error: &Error, format: Format) -> Response<Body> {
    let code = StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = encoded(code, format, &error.to_value());
    let retry = error.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if retry > 0 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry));
    }
    response
}

/// An object that is not one of a resource (Status, discovery, reviews), with `kind` and `apiVersion`.
pub fn encoded(code: StatusCode, format: Format, value: &Value) -> Response<Body> {
    let (format, bytes) = match encode(format, value) {
        Ok(bytes) => (format, bytes),
        // What has no protobuf or YAML form still has JSON.
        Err(_) => (Format::Json, Bytes::from(value.to_string())),
    };
    response(code, format.content_type(), body::full(bytes))
}

/// Plain text.
pub fn text(code: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    response(code, "text/plain; charset=utf-8", body::full(text))
}

/// The answer when the server has no room for a request: plain text, so that it costs next to nothing.
pub fn too_many_requests() -> Response<Body> {
    let mut response = text(StatusCode::TOO_MANY_REQUESTS, "Too many requests, please try again later.\n");
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// A response with a content type.
pub fn response(code: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Adds `Warning: 299` headers (RFC 7234), without repetitions.
pub fn add_warnings(headers: &mut HeaderMap, mut texts: Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    texts.retain(|text| seen.insert(text.clone()));
    for text in texts {
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            headers.append(WARNING, value);
        }
    }
}

fn encode(format: Format, value: &Value) -> Result<Bytes> {
    Ok(match format {
        Format::Json => {
            let mut text = match value.get("kind").and_then(Value::as_str) {
                // People read these as they are.
                Some("Status") => api_types::go_json::to_string(&STATUS, value),
                _ => value.to_string(),
            };
            text.push('\n');
            text.into()
        }
        Format::Yaml => serde_yaml::to_string(value).map_err(Error::internal)?.into(),
        Format::Protobuf => {
            let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
            let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
            let schema = api_types::schema::by_gvk(group, version, text("kind"))
                .ok_or_else(|| Error::internal("the kind has no protobuf form"))?;
            api_types::codec::encode_object(&schema, value).map_err(Error::internal)?.into()
        }
    })
}
/// The object with `kind` and `apiVersion` of its resource.
pub fn with_kind(info: &api_types::resource::ResourceInfo, mut value: Value) -> Value {
    if let Some(map) = value.as_object_mut() {
        map.insert("kind".into(), info.kind.to_string().into());
        map.insert("apiVersion".into(), info.api_version().into());
    }
    value
}

/// An object with a kind and version of its own.
pub fn of_kind(api_version: &str, kind: &str, mut value: Value) -> Value {
    if let Some(map) = value.as_object_mut() {
        map.insert("kind".into(), kind.into());
        map.insert("apiVersion".into(), api_version.into());
    }
    value
}
/// Whether the client accepts gzip.
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.split(';').next().unwrap_or_default().trim() == "gzip")
}

pub(super) fn gzip(chunks: &[Bytes]) -> Result<Bytes> {
    use std::io::Write;
    let total: usize = chunks.iter().map(Bytes::len).sum();
    // Level 1, as upstream: on a fast network more effort costs more time than it saves.
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::with_capacity(total / 8), flate2::Compression::fast());
    for chunk in chunks {
        encoder.write_all(chunk).map_err(Error::internal)?;
    }
    encoder.finish().map(Bytes::from).map_err(Error::internal)
}

pub(super) fn mark_gzip(headers: &mut HeaderMap) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
}
