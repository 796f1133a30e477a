//! Discovery: which groups, versions and resources there are.
//!
//! `/api` and `/apis` answer in the old form, or as one aggregated document for clients that accept
//! `g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList` (KEP-3352).

use std::sync::Arc;

use http::header::{ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use http::{Method, Response, StatusCode};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::aggregation::{Merged, Remote};
use crate::discovery::{self, Directory};
use crate::error::{self, Error, Result};
use crate::filters::Call;
use crate::http::body::{self, Body};
use crate::http::media::{self, Format};
use crate::http::respond;
use crate::server::Server;

/// Answers a request below `/api` or `/apis` that names no resource.
pub(super) fn handle(server: &Arc<Server>, call: &Call, segments: &[&str]) -> Result<Response<Body>> {
    let directory = Directory::of(&server.registry);
    let remotes = server.aggregator.remotes();
    let document = match segments {
        ["api"] | ["apis"] => {
            let core = segments == ["api"];
            if let Some(version) = aggregated_version(call) {
                only_get(call)?;
                let mut document = discovery::aggregated(&directory, core, version);
                if !core && let Some(items) = document["items"].as_array_mut() {
                    Merged::of(&remotes).extend_items(items, discovery::is_builtin);
                }
                return Ok(aggregated(call, &document, version));
            }
            match core {
                true => discovery::core_versions(&server.advertised()),
                false => {
                    let mut document = discovery::group_list(&directory);
                    if let Some(groups) = document["groups"].as_array_mut() {
                        Merged::of(&remotes).extend_groups(groups, discovery::is_builtin);
                    }
                    document
                }
            }
        }
        ["api", "v1"] => discovery::resource_list(&directory, "", "v1").ok_or_else(Error::path_not_found)?,
        ["apis", name] => match group(&directory, &remotes, name) {
            Some(document) => document,
            None => return Ok(super::page_not_found()),
        },
        ["apis", group, version] => match discovery::resource_list(&directory, group, version) {
            Some(document) => document,
            None => return Ok(super::page_not_found()),
        },
        _ => return Err(Error::path_not_found()),
    };
    only_get(call)?;
    let format = media::accept(&call.parts.headers, false, false)?.format;
    Ok(respond::encoded(StatusCode::OK, format, &document))
}

/// A group of this server, of others, or of both.
fn group(directory: &Directory, remotes: &[Arc<Remote>], name: &str) -> Option<Value> {
    let mut groups: Vec<Value> = discovery::group(directory, name).into_iter().collect();
    let others: Vec<_> = remotes.iter().filter(|remote| remote.group == name).cloned().collect();
    Merged::of(&others).extend_groups(&mut groups, discovery::is_builtin);
    let mut document = groups.into_iter().next()?;
    document["kind"] = "APIGroup".into();
    document["apiVersion"] = "v1".into();
    Some(document)
}

fn only_get(call: &Call) -> Result<()> {
    match call.parts.method {
        Method::GET => Ok(()),
        _ => Err(error::method_not_allowed()),
    }
}

/// The version of the aggregated form that the client prefers over the old form.
fn aggregated_version(call: &Call) -> Option<&'static str> {
    for clause in media::accept_clauses(&call.parts.headers) {
        let is_json = matches!(clause.media_type, "application/json" | "application/*" | "*/*");
        if clause.param("as") == Some("APIGroupDiscoveryList")
            && clause.param("g") == Some("apidiscovery.k8s.io")
        {
            match clause.param("v") {
                Some("v2") if is_json => return Some("v2"),
                _ => continue,
            }
        }
        if is_json || clause.media_type == "application/vnd.kubernetes.protobuf" {
            return None;
        }
    }
    None
}

fn aggregated(call: &Call, document: &Value, version: &str) -> Response<Body> {
    let bytes = document.to_string();
    let tag = format!("\"{}\"", hex(&Sha256::digest(&bytes)));
    let unchanged =
        call.parts.headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let content_type = match version {
        "v2" => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        _ => Format::Json.content_type(),
    };
    let mut response = match unchanged {
        true => respond::response(StatusCode::NOT_MODIFIED, content_type, body::empty()),
        false => respond::response(StatusCode::OK, content_type, body::full(bytes)),
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    response
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
