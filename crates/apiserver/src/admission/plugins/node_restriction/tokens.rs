//! Service account tokens: a kubelet asks for them on behalf of the pods of its node, for the audiences that
//! these want.

use access::authz::Attributes;
use api_types::field::quote;
use serde_json::Value;

use super::NodeRestriction;
use crate::admission::plugins::support::{fetch, list, refuse, text};
use crate::admission::{Reader, Request};
use crate::error::Error;

pub(super) async fn token(
    plugin: &NodeRestriction,
    request: &Request<'_>,
    reader: &dyn Reader,
    node: &str,
) -> Result<(), Error> {
    let Some(asked) = &request.object else { return Ok(()) };
    let reference = asked.pointer("/spec/boundObjectRef").unwrap_or(&Value::Null);
    if text(reference, "/kind") != "Pod"
        || text(reference, "/apiVersion") != "v1"
        || text(reference, "/name").is_empty()
    {
        return Err(refuse(request, "node requested token not bound to a pod"));
    }
    let uid = text(reference, "/uid");
    if uid.is_empty() {
        return Err(refuse(request, "node requested token with a pod binding without a uid"));
    }
    let name = text(reference, "/name");
    let pod: Value = fetch(reader, ("", "pods"), request.namespace, name)
        .await?
        .ok_or_else(|| Error::not_found("", "pods", name))?;
    if text(&pod, "/metadata/uid") != uid {
        return Err(refuse(
            request,
            format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            ),
        ));
    }
    if text(&pod, "/spec/nodeName") != node {
        return Err(refuse(request, "node requested token bound to a pod scheduled on a different node"));
    }
    audience(plugin, request, reader, asked, &pod).await
}

/// The audience must be one that the pod, or a driver of its volumes, wants (KEP-4412).
async fn audience(
    plugin: &NodeRestriction,
    request: &Request<'_>,
    reader: &dyn Reader,
    asked: &Value,
    pod: &Value,
) -> Result<(), Error> {
    let wanted = match list(asked, "/spec/audiences") {
        [] => "",
        [one] => one.as_str().unwrap_or_default(),
        _ => return Err(refuse(request, "node may only request 0 or 1 audiences")),
    };
    if wanted.is_empty()
        || in_projected_volumes(plugin, pod, wanted)
        || in_drivers(request, reader, pod, wanted).await?
    {
        return Ok(());
    }
    let allowed = Attributes::resource(request.user, "request-serviceaccounts-token-audience", "", wanted)
        .in_namespace(request.namespace)
        .named(request.name);
    if plugin.authorizer.authorize(&allowed).await.allowed() {
        return Ok(());
    }
    Err(refuse(request, format!("audience {} not found in pod spec volume", quote(wanted))))
}

fn in_projected_volumes(plugin: &NodeRestriction, pod: &Value, wanted: &str) -> bool {
    let sources = list(pod, "/spec/volumes").iter().flat_map(|v| list(v, "/projected/sources"));
    let mut tokens = sources.filter_map(|s| s.get("serviceAccountToken").filter(|t| !t.is_null()));
    tokens.any(|token| match text(token, "/audience") {
        "" => plugin.api_audiences.iter().any(|own| own == wanted),
        audience => audience == wanted,
    })
}

async fn in_drivers(
    request: &Request<'_>,
    reader: &dyn Reader,
    pod: &Value,
    wanted: &str,
) -> Result<bool, Error> {
    for volume in list(pod, "/spec/volumes") {
        let driver = match text(volume, "/csi/driver") {
            "" => driver_of_claim(request, reader, pod, volume).await?,
            inline => inline.to_owned(),
        };
        if driver.is_empty() {
            continue;
        }
        let object: Option<Value> = fetch(reader, ("storage.k8s.io", "csidrivers"), "", &driver).await?;
        let object = object.unwrap_or_default();
        if list(&object, "/spec/tokenRequests").iter().any(|r| text(r, "/audience") == wanted) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The CSI driver of the volume that a claim is bound to, or "".
async fn driver_of_claim(
    request: &Request<'_>,
    reader: &dyn Reader,
    pod: &Value,
    volume: &Value,
) -> Result<String, Error> {
    let claim = match text(volume, "/persistentVolumeClaim/claimName") {
        "" if volume.get("ephemeral").is_some_and(|v| !v.is_null()) => {
            format!("{}-{}", text(pod, "/metadata/name"), text(volume, "/name"))
        }
        name => name.to_owned(),
    };
    if claim.is_empty() {
        return Ok(String::new());
    }
    let claim: Option<Value> =
        fetch(reader, ("", "persistentvolumeclaims"), request.namespace, &claim).await?;
    let name = claim.as_ref().map(|c| text(c, "/spec/volumeName")).unwrap_or_default();
    if name.is_empty() {
        return Ok(String::new());
    }
    let volume: Option<Value> = fetch(reader, ("", "persistentvolumes"), "", name).await?;
    Ok(volume.map(|v| text(&v, "/spec/csi/driver").to_owned()).unwrap_or_default())
}
