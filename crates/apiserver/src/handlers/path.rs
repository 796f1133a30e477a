//! Paths that are not resources: health, discovery, version, metrics, keys, and what is not there.

use std::sync::Arc;

use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::json;

use super::{discovery, pages};
use crate::error::{self, Error, Result};
use crate::filters::Call;
use crate::http::body::{self, Body};
use crate::http::media::Format;
use crate::http::respond;
use crate::server::Server;

/// The Prometheus text format.
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// Answers a request to a path that is not a resource.
pub(super) async fn handle(server: &Arc<Server>, call: Call) -> Result<Response<Body>> {
    let path = call.info.path.as_str();
    let raw_query = call.parts.uri.query().unwrap_or_default();
    if let Some(response) = server.health.respond(path, raw_query).await {
        let mut response = response.map(|full| full.boxed_unsync());
        if call.parts.method == Method::HEAD {
            *response.body_mut() = body::empty();
        }
        return Ok(response);
    }
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match segments.as_slice() {
        [] => Ok(respond::encoded(StatusCode::OK, Format::Json, &json!({ "paths": server.root_paths() }))),
        ["metrics"] => Ok(component::metrics::respond().map(|full| full.boxed_unsync())),
        ["metrics", "slis"] => Ok(respond::response(StatusCode::OK, METRICS_TEXT, body::empty())),
        ["version"] => Ok(respond::encoded(StatusCode::OK, Format::Json, &server.version())),
        [".well-known", "openid-configuration"] => {
            Ok(respond::encoded(StatusCode::OK, Format::Json, &server.tokens.configuration()))
        }
        ["openid", "v1", "jwks"] => {
            let keys = server.tokens.key_set().to_string();
            Ok(respond::response(StatusCode::OK, "application/jwk-set+json", body::full(keys)))
        }
        ["flagz"] if pages::takes_text(&call) => Ok(respond::text(StatusCode::OK, pages::flags())),
        ["statusz"] if pages::takes_text(&call) => Ok(respond::text(StatusCode::OK, pages::status(server))),
        // These pages exist as plain text only, and for clients that ask for it by name.
        ["flagz" | "statusz"] => Err(error::not_acceptable_http("text/plain")),
        ["api", ..] | ["apis", ..] if !path.starts_with("//") => discovery::handle(server, &call, &segments),
        ["openapi", ..] => crate::openapi::handle(server, &call).await,
        _ => Err(plain_not_found()).or_else(|_: Error| Ok(page_not_found())),
    }
}

/// The answer for a path below `/api` or `/apis` that nothing serves.
pub(super) fn plain_not_found() -> Error {
    Error::path_not_found()
}

/// The answer for any other path that nothing serves.
pub fn page_not_found() -> Response<Body> {
    respond::text(StatusCode::NOT_FOUND, "404 page not found\n")
}
