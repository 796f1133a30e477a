//! Logs, exec, attach and port-forward: what the node's kubelet serves for a pod.

use std::sync::Arc;

use api_types::field::{ErrorList, Path};
use api_types::status::reason;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::dial::Identity;
use super::location::{self, Location};
use super::{relay, tunnel};
use crate::error::{Error, Result};
use crate::filters::Call;
use crate::http::body::{self, Body};
use crate::http::query::Query;
use crate::loopback::{Objects, Target};
use crate::server::Server;

/// How much of a kubelet's refusal is read.
const REFUSAL_BYTES: usize = 50_000;

/// The parameters of a log request that the kubelet understands by the same name.
const LOG_PARAMETERS: [&str; 9] = [
    "follow",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "timestamps",
    "tailLines",
    "limitBytes",
    "stream",
    "insecureSkipTLSVerifyBackend",
];

/// `pods/NAME/log`. A pod that has no node yet has an empty log.
pub async fn log(server: &Arc<Server>, call: Call) -> Result<Response<Body>> {
    let options = check_log_options(&call.query);
    if !options.is_empty() {
        return Err(Error::invalid("", "PodLogOptions", &call.info.name, options));
    }
    let pod = pod(server, &call).await?;
    let container = location::container(&pod, call.query.text("container"))?;
    let Some(node) = node_of(&pod) else {
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    };
    let known = call.query.iter().filter(|(key, value)| LOG_PARAMETERS.contains(key) && !value.is_empty());
    let query = location::encode_query(&known.collect::<Vec<_>>());
    let path = format!("/containerLogs/{}/{}/{container}{query}", call.info.namespace, call.info.name);
    let location = kubelet(server, node, path).await?;
    let name = call.info.name.clone();
    let response = relay::pass(call, &location, &Identity::Kubelet(&server.options.cluster)).await?;
    match response.status().as_u16() {
        200..=206 => Ok(response),
        code => Err(refused(code, response, &name).await),
    }
}

/// What a kubelet's refusal to show a log means to the client: its own words where they tell the cause.
async fn refused(code: u16, response: Response<Body>, name: &str) -> Error {
    let body = http_body_util::Limited::new(response.into_body(), REFUSAL_BYTES).collect().await;
    let said = body.map(|body| body.to_bytes()).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let about = |what: String| format!("{what} ( pods/log {name})");
    match code {
        400 => Error::bad_request(said),
        404 => Error::plain(
            404,
            reason::NOT_FOUND,
            about("the server could not find the requested resource".to_owned()),
        ),
        500 => Error::internal(said),
        501.. => Error::plain(
            code,
            reason::INTERNAL_ERROR,
            about(format!("an error on the server ({said:?}) has prevented the request from succeeding")),
        ),
        _ => Error::plain(
            code,
            "",
            about(format!(
                "the server responded with the status code {code} but did not return more information"
            )),
        ),
    }
}

/// `pods/NAME/exec` and `pods/NAME/attach`.
pub async fn exec(server: &Arc<Server>, call: Call, what: &str) -> Result<Response<Body>> {
    let pod = pod(server, &call).await?;
    let container = location::container(&pod, call.query.text("container"))?;
    let node = node_of(&pod).ok_or_else(|| no_host(&call))?;
    let query = location::exec_query(&call.query);
    let path = format!("/{what}/{}/{}/{container}{query}", call.info.namespace, call.info.name);
    let location = kubelet(server, node, path).await?;
    relay::pass(call, &location, &Identity::Kubelet(&server.options.cluster)).await
}

/// `pods/NAME/portforward`.
pub async fn port_forward(server: &Arc<Server>, call: Call) -> Result<Response<Body>> {
    let pod = pod(server, &call).await?;
    let node = node_of(&pod).ok_or_else(|| no_host(&call))?;
    let ports: Vec<(&str, &str)> = call.query.all("ports").map(|port| ("port", port)).collect();
    let query = location::encode_query(&ports);
    let path = format!("/portForward/{}/{}{query}", call.info.namespace, call.info.name);
    let location = kubelet(server, node, path).await?;
    let identity = Identity::Kubelet(&server.options.cluster);
    if tunnel::is_wanted(&call.parts.headers) {
        return tunnel::open(call, &location, &identity).await;
    }
    relay::pass(call, &location, &identity).await
}

async fn pod(server: &Server, call: &Call) -> Result<Value> {
    let target = Target {
        group: "",
        resource: "pods",
        namespace: &call.info.namespace,
        name: &call.info.name,
        subresource: "",
    };
    Objects::get(&*server.registry, target)
        .await?
        .ok_or_else(|| Error::not_found("", "pods", &call.info.name))
}

fn node_of(pod: &Value) -> Option<&str> {
    pod["spec"]["nodeName"].as_str().filter(|name| !name.is_empty())
}

fn no_host(call: &Call) -> Error {
    Error::bad_request(format!("pod {} does not have a host assigned", call.info.name))
}

/// Where the kubelet of a node serves `path`.
pub async fn kubelet(server: &Server, node: &str, path: String) -> Result<Location> {
    let target = Target { group: "", resource: "nodes", namespace: "", name: node, subresource: "" };
    let object =
        Objects::get(&*server.registry, target).await?.ok_or_else(|| Error::not_found("", "nodes", node))?;
    let (host, port) = location::kubelet(&object, &server.options.cluster.kubelet_preferred_address_types)?;
    Ok(Location { tls: true, host, port, path })
}

/// The rules of PodLogOptions.
fn check_log_options(query: &Query) -> ErrorList {
    let mut errors = ErrorList::default();
    let number =
        |key: &str| query.get(key).filter(|text| !text.is_empty()).and_then(|text| text.parse::<i64>().ok());
    if let Some(lines) = number("tailLines").filter(|lines| *lines < 0) {
        errors.invalid(&Path::new("tailLines"), lines, "must be greater than or equal to 0");
    }
    if let Some(bytes) = number("limitBytes").filter(|bytes| *bytes < 1) {
        errors.invalid(&Path::new("limitBytes"), bytes, "must be greater than 0");
    }
    let seconds = number("sinceSeconds");
    if seconds.is_some() && query.get("sinceTime").is_some() {
        errors.forbidden(
            &Path::new("").key(""),
            "at most one of `sinceTime` or `sinceSeconds` may be specified",
        );
    } else if let Some(seconds) = seconds.filter(|seconds| *seconds < 1) {
        errors.invalid(&Path::new("sinceSeconds"), seconds, "must be greater than 0");
    }
    errors
}
