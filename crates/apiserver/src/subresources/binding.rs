//! `pods/binding`: the scheduler assigns a pod to a node.

use std::sync::Arc;

use api_types::field::{self, Path};
use http::StatusCode;
use serde_json::{Value, json};

use crate::admission::Operation;
use crate::error::{Error, Result};
use crate::registry::body::{self, Expected};
use crate::registry::options::WriteOptions;
use crate::registry::{Outcome, Registry, Request, meta};
use crate::server::Server;

/// Binds the pod that the path names, or (for the collection `bindings`) the one that the body names.
pub(super) async fn create(server: &Arc<Server>, request: &Request) -> Result<Outcome> {
    let registry = &server.registry;
    let options = WriteOptions::parse("CreateOptions", &request.query, false)?;
    let expected = Expected::kind("", "v1", "Binding");
    let mut binding = body::decode(request, &expected, options.field_validation)?;
    let named = meta::text(&binding, "name").to_owned();
    let name = match (request.name.as_str(), named.as_str()) {
        ("", _) => named,
        (path, "") => path.to_owned(),
        (path, named) if path == named => named.to_owned(),
        _ => return Err(Error::bad_request("name in URL does not match name in Binding object")),
    };
    meta::set(&mut binding, "name", Some(name.clone().into()));
    meta::set(&mut binding, "namespace", Some(request.namespace.clone().into()));
    let binding = registry.admit_foreign(request, Operation::Create, &options, &name, binding).await?;
    check(&binding)?;
    assign(registry, &request.namespace, &name, &binding, options.dry_run).await?;
    Ok(Outcome::Status(StatusCode::CREATED, super::created()))
}

fn check(binding: &Value) -> Result<()> {
    let kind = binding["target"]["kind"].as_str().unwrap_or_default();
    let error = if !matches!(kind, "" | "Node") {
        field::Error::not_supported(&Path::new("target.kind"), kind, &["Node", "<empty>"])
    } else if binding["target"]["name"].as_str().unwrap_or_default().is_empty() {
        field::Error::required(&Path::new("target.name"), "")
    } else {
        return Ok(());
    };
    // Upstream hands the list of mistakes on as it is, which makes it a failure of the server.
    Err(Error::plain(500, "", error.to_string()))
}

async fn assign(
    registry: &Registry,
    namespace: &str,
    name: &str,
    binding: &Value,
    dry_run: bool,
) -> Result<()> {
    let node = binding["target"]["name"].as_str().unwrap_or_default();
    let refuse = |why: String| Error::conflict("", "pods/binding", name, &why);
    let assign = |pod: &mut Value| {
        precondition(pod, binding, name)?;
        if meta::is_deleting(pod) {
            return Err(refuse(format!("pod {name} is being deleted, cannot be assigned to a host")));
        }
        let present = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        if !present.is_empty() {
            return Err(refuse(format!("pod {name} is already assigned to node {present:?}")));
        }
        if pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
            return Err(refuse(format!("pod {name} has non-empty .spec.schedulingGates")));
        }
        pod["spec"]["nodeName"] = node.into();
        for key in ["annotations", "labels"] {
            merge(pod, binding, key);
        }
        if let Some(status) = pod["status"].as_object_mut() {
            // The nomination has come true, or is void (KEP-5278).
            status.remove("nominatedNodeName");
        }
        set_scheduled(pod);
        // A nomination has served its purpose (KEP-5278).
        if let Some(status) = pod["status"].as_object_mut() {
            status.remove("nominatedNodeName");
        }
        Ok(())
    };
    registry.mutate_stored("", "pods", namespace, name, dry_run, &assign).await.map(drop)
}

fn precondition(pod: &Value, binding: &Value, name: &str) -> Result<()> {
    let broken = |what: &str, wanted: &str, found: &str| {
        let namespace = meta::text(pod, "namespace");
        Error::conflict(
            "",
            "pods",
            name,
            &format!(
                "StorageError: invalid object, Code: 4, Key: /registry/pods/{namespace}/{name}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
            ),
        )
    };
    for (key, what) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
        let (wanted, found) = (meta::text(binding, key), meta::text(pod, key));
        if !wanted.is_empty() && wanted != found {
            return Err(broken(what, wanted, found));
        }
    }
    Ok(())
}

fn merge(pod: &mut Value, binding: &Value, key: &str) {
    let Some(extra) = meta::field(binding, key).and_then(Value::as_object) else { return };
    let target = meta::map(pod).entry(key).or_insert_with(|| json!({}));
    if let Some(target) = target.as_object_mut() {
        target.extend(extra.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
}

/// The condition `PodScheduled` becomes true.
fn set_scheduled(pod: &mut Value) {
    let condition = json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": meta::now(),
    });
    let status = &mut pod["status"];
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    match conditions.iter_mut().find(|c| c["type"] == "PodScheduled") {
        Some(present) => *present = condition,
        None => conditions.push(condition),
    }
}
