//! Connections to kubelets, pods and services: logs, exec, attach, port-forward and proxy.
//!
//! ```text
//!  request ─► location (which URL) ─► dial (TCP, TLS) ─► relay (HTTP, or an upgraded connection byte by byte)
//!                                                        └► tunnel (SPDY inside a WebSocket)
//! ```
//!
//! Nothing here understands the streams: SPDY and WebSocket frames pass between the client and the kubelet as they are.
//! The one exception is the tunnel, which takes bytes out of WebSocket messages and puts them into them.

mod dial;
mod kubelet;
mod location;
mod proxy;
mod relay;
mod tunnel;

use std::sync::Arc;

use http::{Method, Response};

use crate::error::{self, Result};
use crate::filters::Call;
use crate::http::body::Body;
use crate::registry::Endpoint;
use crate::server::Server;

/// Serves a subresource that is a connection.
///
/// # Errors
/// As upstream: the object does not exist, has no host, or cannot be reached.
pub async fn serve(server: &Arc<Server>, endpoint: &Endpoint, call: Call) -> Result<Response<Body>> {
    let subresource = call.info.subresource.clone();
    let known = match subresource.as_str() {
        "proxy" => true,
        "log" => call.parts.method == Method::GET,
        _ => matches!(call.parts.method, Method::GET | Method::POST),
    };
    if !known {
        return Err(error::method_not_allowed());
    }
    match (&*endpoint.info.plural, subresource.as_str()) {
        ("pods", "log") => kubelet::log(server, call).await,
        ("pods", "exec" | "attach") => kubelet::exec(server, call, &subresource).await,
        ("pods", "portforward") => kubelet::port_forward(server, call).await,
        (plural, _) => proxy::serve(server, call, plural).await,
    }
}
