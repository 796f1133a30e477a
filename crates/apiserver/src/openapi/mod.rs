//! OpenAPI v2 and v3 documents, made from the schema tables and the rows of served resources.
//!
//! ```text
//!  rows ─► paths, operations ─┐
//!  schema tables ─► schemas ──┴─► document, piece by piece ─► gzip + hash ─► cache ─► response
//! ```
//!
//! `/openapi/v3` lists one document per group version, with the hash of its content in the URL, so that clients may keep it
//! forever (KEP-2896). `/openapi/v2` is everything in one document, as JSON or as protobuf. A row that a
//! CustomResourceDefinition made is a row like any other; the documents that tell of it are made again when it changes.
//!
//! Nothing is made before somebody asks. The v3 protobuf form is not served: clients fall back to JSON.

mod cache;
mod definitions;
mod describe;
mod document;
mod gnostic;
mod names;
mod parameters;
mod paths;
mod schemas;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, ETAG, EXPIRES, HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION, VARY,
};
use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::{Map, Value, json};

pub use cache::Documents;
use cache::{Document, Key};
use document::Source;
use paths::Row;

use crate::aggregation::Aggregator;
use crate::error::{Error, Result, method_not_allowed};
use crate::filters::Call;
use crate::handlers::page_not_found;
use crate::http::body::{self, Body};
use crate::http::media;
use crate::http::query::Query;
use crate::http::respond;
use crate::registry::Registry;
use crate::server::Server;

const JSON: &str = "application/json";
const PROTOBUF_V2: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// The name before media types with `@` were found to be invalid; old clients send it.
const PROTOBUF_V2_OLD: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// Answers a request below `/openapi`.
///
/// # Errors
/// `MethodNotAllowed` for anything but reading.
pub async fn handle(server: &Arc<Server>, call: &Call) -> Result<Response<Body>> {
    if call.parts.method != Method::GET && call.parts.method != Method::HEAD {
        return Err(method_not_allowed());
    }
    let path = call.info.path.trim_matches('/').to_owned();
    let request = Request {
        accepted: media::accept_clauses(&call.parts.headers)
            .iter()
            .map(|clause| clause.media_type.to_owned())
            .collect(),
        headers: call.parts.headers.clone(),
        hash: Query::parse(call.parts.uri.query().unwrap_or_default()).text("hash").to_owned(),
    };
    let server = Arc::clone(server);
    // Making documents takes milliseconds of computing, too long for a thread that serves connections.
    let work = tokio::task::spawn_blocking(move || answer(&server, &path, &request));
    work.await.map_err(Error::internal)?
}

/// What of a request matters here.
struct Request {
    accepted: Vec<String>,
    headers: HeaderMap,
    hash: String,
}

fn answer(server: &Server, path: &str, request: &Request) -> Result<Response<Body>> {
    let rows = rows(&server.registry);
    let version = server.version();
    let text = |key: &str| version[key].as_str().unwrap_or_default();
    let version = format!("{}.{}", text("major"), text("minor"));
    let source = Source { rows: &rows, version: &version };
    let documents = &server.openapi;
    match path.strip_prefix("openapi/") {
        Some("v2") => v2(documents, &source, request),
        Some("v3") => index(documents, &source, &server.aggregator),
        Some(rest) => match rest.strip_prefix("v3/") {
            Some(name) => v3(documents, &source, name, request),
            None => Ok(page_not_found()),
        },
        None => Ok(page_not_found()),
    }
}

/// All rows in the order of groups, versions and plurals.
fn rows(registry: &Registry) -> Vec<Row> {
    let mut rows: Vec<Row> = registry
        .endpoints()
        .iter()
        .map(|endpoint| Row {
            info: Arc::clone(&endpoint.info),
            returns_deleted: endpoint.strategy.traits().returns_deleted,
        })
        .collect();
    let key = |row: &Row| (row.info.group.clone(), row.info.version.clone(), row.info.plural.clone());
    rows.sort_by_cached_key(key);
    rows
}

fn v2(documents: &Documents, source: &Source<'_>, request: &Request) -> Result<Response<Body>> {
    let chosen = match request.accepted.as_slice() {
        [] => Some((Key::V2, JSON)),
        accepted => accepted.iter().find_map(|type_| match type_.as_str() {
            JSON | "application/*" | "*/*" => Some((Key::V2, JSON)),
            PROTOBUF_V2 | PROTOBUF_V2_OLD => Some((Key::V2Protobuf, PROTOBUF_V2)),
            _ => None,
        }),
    };
    let Some((key, content_type)) = chosen else {
        return Ok(empty(StatusCode::NOT_ACCEPTABLE));
    };
    let document = documents.get(source, &key).map_err(Error::internal)?;
    send(&document, content_type, request)
}

/// `/openapi/v3`: where each document is.
fn index(documents: &Documents, source: &Source<'_>, aggregator: &Aggregator) -> Result<Response<Body>> {
    let names = document::names(source.rows);
    documents.retain(&names);
    let mut paths = Map::new();
    for name in names {
        let hash = documents.get(source, &Key::V3(name.clone())).map_err(Error::internal)?.hash;
        let url = format!("/openapi/v3/{name}?hash={hash}");
        paths.insert(name, json!({ "serverRelativeURL": url }));
    }
    for remote in aggregator.remotes().iter() {
        let name = format!("apis/{}/{}", remote.group, remote.version);
        let documents = remote.openapi.load();
        if let Some(place) = documents.as_ref().and_then(|documents| documents.get(&name)) {
            paths.insert(name, place.clone());
        }
    }
    Ok(respond::text(StatusCode::OK, json!({ "paths": Value::Object(paths) }).to_string()))
}

fn v3(documents: &Documents, source: &Source<'_>, name: &str, request: &Request) -> Result<Response<Body>> {
    if document::names(source.rows).binary_search_by(|known| known.as_str().cmp(name)).is_err() {
        return Ok(empty(StatusCode::NOT_FOUND));
    }
    let is_json = |type_: &String| matches!(type_.as_str(), JSON | "application/*" | "*/*");
    if !request.accepted.is_empty() && !request.accepted.iter().any(is_json) {
        return Ok(empty(StatusCode::NOT_ACCEPTABLE));
    }
    let document = documents.get(source, &Key::V3(name.to_owned())).map_err(Error::internal)?;
    if request.hash.is_empty() {
        return send(&document, JSON, request);
    }
    if *request.hash != *document.hash {
        // The client knows an older document; the new one has another URL.
        let mut response = empty(StatusCode::MOVED_PERMANENTLY);
        insert(&mut response, LOCATION, &format!("/openapi/v3/{name}?hash={}", document.hash));
        return Ok(response);
    }
    let mut response = send(&document, JSON, request)?;
    insert(&mut response, CACHE_CONTROL, "public, immutable");
    insert(&mut response, EXPIRES, &in_a_year());
    Ok(response)
}

fn send(document: &Document, content_type: &'static str, request: &Request) -> Result<Response<Body>> {
    let tag = format!("\"{}\"", document.hash);
    let known = request.headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known =
        known.flat_map(|list| list.split(',')).any(|known| matches!(known.trim(), k if k == tag || k == "*"));
    let mut response = match is_known {
        true => empty(StatusCode::NOT_MODIFIED),
        false => {
            let compressed = respond::takes_gzip(&request.headers);
            let content = match compressed {
                true => document.gzip.clone(),
                false => document.plain().map_err(Error::internal)?.into(),
            };
            let mut response = respond::response(StatusCode::OK, content_type, body::full(content));
            if compressed {
                insert(&mut response, CONTENT_ENCODING, "gzip");
            }
            response
        }
    };
    insert(&mut response, ETAG, &tag);
    insert(&mut response, VARY, "Accept-Encoding, Accept");
    Ok(response)
}

fn in_a_year() -> String {
    let then = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(365 * 24);
    then.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn empty(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = code;
    response
}

fn insert(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
