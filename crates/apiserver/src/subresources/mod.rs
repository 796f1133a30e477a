//! Subresources and resources with code of their own: those that are another kind than the resource (Scale, Binding,
//! Eviction, TokenRequest), and those that are only answers (reviews).
//!
//! `status`, `approval`, `finalize`, `ephemeralcontainers` and `resize` are parts of the object: the registry writes them
//! as it writes the object, with the strategy's `prepare_subresource_update`.

mod binding;
mod component_status;
mod eviction;
mod reviews;
mod scale;
mod token;

use std::sync::Arc;

use api_types::status;
use serde_json::Value;

use crate::error::Result;
use crate::registry::{Endpoint, Outcome, Request};
use crate::server::Server;

/// Whether a subresource is a connection to a kubelet or a pod rather than a document.
pub fn is_stream(endpoint: &Endpoint, subresource: &str) -> bool {
    endpoint.info.group.is_empty()
        && matches!(subresource, "log" | "exec" | "attach" | "portforward" | "proxy")
        && matches!(&*endpoint.info.plural, "pods" | "nodes" | "services")
}

/// Serves a subresource, or a resource that is only an answer; `None` for what the registry does by itself.
pub async fn operate(server: &Arc<Server>, request: &Request, verb: &str) -> Option<Result<Outcome>> {
    let info = &request.endpoint.info;
    let handled = match (&*info.group, &*info.plural, request.subresource.as_str()) {
        (_, _, "scale") => scale::operate(server, request, verb).await,
        ("", "pods", "binding") | ("", "bindings", "") => binding::create(server, request).await,
        ("", "pods", "eviction") => eviction::create(server, request).await,
        ("", "serviceaccounts", "token") => token::create(server, request).await,
        ("authentication.k8s.io" | "authorization.k8s.io", _, "") => reviews::create(server, request).await,
        ("", "componentstatuses", "") => component_status::operate(server, request, verb).await,
        _ => return None,
    };
    Some(handled)
}

/// The Status of a create-only subresource that did what was asked.
fn created() -> Value {
    let mut status = status::success(None);
    status["code"] = 201.into();
    status
}
