//! Subresources with code of their own. `status` needs none: the registry writes it as it writes the object.

use std::sync::Arc;

use ::http::Response;

use crate::error::{Error, Result};
use crate::filters::Call;
use crate::http::body::Body;
use crate::registry::{Endpoint, Outcome, Request};
use crate::server::Server;

/// Whether a subresource is a connection to a kubelet or a pod rather than a document.
pub fn is_stream(endpoint: &Endpoint, subresource: &str) -> bool {
    endpoint.info.group.is_empty()
        && matches!(subresource, "log" | "exec" | "attach" | "portforward" | "proxy")
        && matches!(&*endpoint.info.plural, "pods" | "nodes" | "services")
}

/// Serves a connection to a kubelet or a pod.
///
/// # Errors
/// Streams are not served yet.
pub async fn stream(_server: &Arc<Server>, endpoint: Arc<Endpoint>, call: Call) -> Result<Response<Body>> {
    Err(Error::service_unavailable(format!(
        "{}/{} is not served by this build",
        endpoint.info.plural, call.info.subresource
    )))
}

/// Serves a subresource, or a resource that is only an answer; `None` for what the registry does by itself.
pub async fn operate(_server: &Arc<Server>, request: &Request, _verb: &str) -> Option<Result<Outcome>> {
    match request.subresource.as_str() {
        "" | "status" => None,
        other => Some(Err(Error::service_unavailable(format!(
            "{}/{other} is not served by this build",
            request.endpoint.info.plural
        )))),
    }
}
