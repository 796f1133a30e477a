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
pub mod relay;
mod tunnel;

use std::sync::Arc;

use http::{Method, Response};
use serde_json::{Map, Value};

use crate::error::{self, Result};
use crate::filters::Call;
use crate::http::body::Body;
use crate::http::respond;
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
    // Reading a log is a read, which admission does not see.
    let warnings = match subresource.as_str() {
        "log" => Vec::new(),
        _ => {
            let options = options(&subresource, &call);
            server.registry.admit_connect(&endpoint.info, &call.info, &call.user, options).await?
        }
    };
    let mut response = open(server, endpoint, call, &subresource).await?;
    respond::add_warnings(response.headers_mut(), warnings);
    Ok(response)
}

async fn open(
    server: &Arc<Server>,
    endpoint: &Endpoint,
    call: Call,
    subresource: &str,
) -> Result<Response<Body>> {
    match (&*endpoint.info.plural, subresource) {
        ("pods", "log") => kubelet::log(server, call).await,
        ("pods", "exec" | "attach") => kubelet::exec(server, call, subresource).await,
        ("pods", "portforward") => kubelet::port_forward(server, call).await,
        (plural, _) => proxy::serve(server, call, plural).await,
    }
}

/// The parameters of a connection as the object that admission sees: PodExecOptions, PodProxyOptions and so on.
fn options(subresource: &str, call: &Call) -> Value {
    let query = &call.query;
    let mut options = Map::new();
    match subresource {
        "exec" | "attach" => {
            for flag in ["stdin", "stdout", "stderr", "tty"] {
                if query.flag(flag) {
                    options.insert(flag.into(), true.into());
                }
            }
            if let Some(container) = query.get("container") {
                options.insert("container".into(), container.into());
            }
            let command: Vec<&str> = query.all("command").collect();
            if subresource == "exec" && !command.is_empty() {
                options.insert("command".into(), command.into());
            }
        }
        "portforward" => {
            let ports: Vec<i64> = query.all("ports").filter_map(|port| port.parse().ok()).collect();
            if !ports.is_empty() {
                options.insert("ports".into(), ports.into());
            }
        }
        _ => {
            options.insert("path".into(), format!("/{}", call.info.rest.join("/")).into());
        }
    }
    options.into()
}
