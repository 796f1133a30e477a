//! Deleting what a namespace holds.

use client::discovery::{Discovery, Served};
use client::kube::core::{DynamicObject, ObjectList, PartialObjectMeta, Request};
use client::kube::{Resource, ResourceExt};
use client::{Client, DeleteParams, Error, ErrorExt, ListParams, PropagationPolicy};
use serde::de::IgnoredAny;

use super::plan::Findings;

type Metadata = PartialObjectMeta<DynamicObject>;

/// Asks everything in the namespace to go and reports what is still there. While there are pods, nothing else is touched:
/// they may need their secrets, accounts and volumes to end well (KEP-5080).
pub(super) async fn empty(client: &Client, namespace: &str, discovered: &Discovery) -> Findings {
    let mut findings = Findings::default();
    let deletable = |served: &&Served| served.namespaced && served.can(&["list", "delete"]);
    let (pods, others): (Vec<&Served>, Vec<&Served>) = discovered
        .resources
        .iter()
        .filter(deletable)
        .partition(|served| served.resource.group.is_empty() && served.resource.plural == "pods");
    for served in pods {
        clear(client, namespace, served, &mut findings).await;
    }
    if !findings.remaining.is_empty() {
        return findings;
    }
    for served in others {
        clear(client, namespace, served, &mut findings).await;
    }
    if !discovered.complete {
        findings.discovery_error = Some("an aggregated API server does not answer".to_owned());
    }
    findings
}

async fn clear(client: &Client, namespace: &str, served: &Served, findings: &mut Findings) {
    let left = match list(client, namespace, served).await {
        Ok(objects) if objects.is_empty() => return,
        Ok(_) => match delete_all(client, namespace, served).await {
            Ok(()) => list(client, namespace, served).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    match left {
        Ok(objects) => note(served, &objects, findings),
        Err(error) if error.is_not_found() || error.status() == Some(405) => {}
        Err(error) => findings.failures.push(error.to_string()),
    }
}

fn note(served: &Served, objects: &[Metadata], findings: &mut Findings) {
    if objects.is_empty() {
        return;
    }
    findings.remaining.insert(format!("{}.{}", served.resource.plural, served.resource.group), objects.len());
    for object in objects {
        for finalizer in object.finalizers() {
            *findings.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
        findings.grace = findings.grace.max(object.meta().deletion_grace_period_seconds.unwrap_or(0));
    }
}

fn request(namespace: &str, served: &Served) -> Request {
    Request::new(Metadata::url_path(&served.resource, Some(namespace)))
}

async fn list(client: &Client, namespace: &str, served: &Served) -> Result<Vec<Metadata>, Error> {
    let request =
        request(namespace, served).list_metadata(&ListParams::default()).map_err(Error::BuildRequest)?;
    let list: ObjectList<Metadata> = client.request(request).await?;
    Ok(list.items)
}

async fn delete_all(client: &Client, namespace: &str, served: &Served) -> Result<(), Error> {
    let how =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
    let base = request(namespace, served);
    if served.can(&["deletecollection"]) {
        let request = base.delete_collection(&how, &ListParams::default()).map_err(Error::BuildRequest)?;
        return client.request::<IgnoredAny>(request).await.map(|_| ());
    }
    for object in list(client, namespace, served).await? {
        let request = base.delete(&object.name_any(), &how).map_err(Error::BuildRequest)?;
        match client.request::<IgnoredAny>(request).await {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
