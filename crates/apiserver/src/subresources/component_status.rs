//! `componentstatuses` (deprecated): whether etcd, the scheduler and the controller manager answer on this host.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::error::{self, Result};
use crate::registry::{Item, Outcome, Request};
use crate::server::Server;

/// The health ports of the other control plane components, on this host.
const COMPONENTS: [(&str, u16); 2] = [("controller-manager", 10257), ("scheduler", 10259)];
const TIMEOUT: Duration = Duration::from_secs(2);

/// Lists the components, or gets one.
pub(super) async fn operate(server: &Arc<Server>, request: &Request, verb: &str) -> Result<Outcome> {
    let mut all = vec![status("etcd-0", server.registry.store().healthy().await.map_err(|e| e.to_string()))];
    for (name, port) in COMPONENTS {
        all.push(status(name, reachable(port).await));
    }
    match verb {
        "list" => Ok(Outcome::MadeList(all)),
        "get" => match all.into_iter().find(|component| component["metadata"]["name"] == *request.name) {
            Some(component) => Ok(Outcome::Object(StatusCode::OK, Item::Made(component))),
            None => Err(error::not_found(&request.endpoint.info, &request.name)),
        },
        _ => Err(error::method_not_allowed()),
    }
}

async fn reachable(port: u16) -> std::result::Result<(), String> {
    match tokio::time::timeout(TIMEOUT, TcpStream::connect(("127.0.0.1", port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("cannot connect to port {port}: {error}")),
        Err(_) => Err(format!("port {port} does not answer")),
    }
}

fn status(name: &str, health: std::result::Result<(), String>) -> Value {
    let condition = match health {
        Ok(()) => json!({ "type": "Healthy", "status": "True", "message": "ok" }),
        Err(why) => json!({ "type": "Healthy", "status": "False", "message": why, "error": "unreachable" }),
    };
    json!({ "metadata": { "name": name }, "conditions": [condition] })
}
