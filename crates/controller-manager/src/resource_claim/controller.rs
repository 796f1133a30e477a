//! Wiring: pods and claims wake each other.

use std::sync::Arc;

use api_types::k8s::api::core::v1::{Pod, PodResourceClaim};
use api_types::k8s::api::resource::v1::{
    ResourceClaim, ResourceClaimConsumerReference, ResourceClaimTemplate,
};
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind, Recorder};
use client::informer::by_controller;
use client::{Change, ErrorExt, Informer, Key, Patch, ResourceExt, Writer, Writes, owner, write};
use serde_json::json;

use super::plan::{self, Need};
use crate::context::Context;

const NAME: &str = "resource_claim";
/// Index of claims by the pod that owns them.
const OWNER: &str = "controller";
/// Index of pods by the claims they use.
const USED: &str = "resource claim";
/// Index of pods by the templates they name.
const TEMPLATE: &str = "resource claim template";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Target {
    Pod(Key),
    Claim(Key),
}

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let pods = context.informers.all::<Pod>();
    pods.index(USED, used).index(TEMPLATE, templates_of);
    let claims = context.informers.all::<ResourceClaim>();
    claims.index(OWNER, by_controller);
    let templates = context.informers.all::<ResourceClaimTemplate>();
    let reconciler = Claims {
        pods: pods.clone(),
        claims: claims.clone(),
        templates: templates.clone(),
        writer: context.writer(),
        pod_writer: context.writer(),
        recorder: context.recorder(NAME),
    };
    let (a, b) = (pods.clone(), pods.clone());
    let workers = context.options.tuning.concurrent_resourceclaim_syncs;
    Controller::new(NAME, reconciler, context.shutdown)
        .watch(&pods, of_pod)
        .watch(&claims, move |change| of_claim(change, &a))
        .watch(&templates, move |change| of_template(change, &b))
        .run(workers)
        .await;
    Ok(())
}

fn used(pod: &Pod) -> Vec<String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    plan::names(pod).into_iter().map(|name| format!("{namespace}/{name}")).collect()
}

fn templates_of(pod: &Pod) -> Vec<String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let wanted = wanted(pod).iter().filter_map(|wanted| wanted.resource_claim_template_name.as_ref());
    wanted.map(|name| format!("{namespace}/{name}")).collect()
}

fn wanted(pod: &Pod) -> &[PodResourceClaim] {
    pod.spec.as_ref().and_then(|spec| spec.resource_claims.as_deref()).unwrap_or_default()
}

/// A pod that runs needs claims; one that is done frees them.
fn of_pod(change: &Change<Pod>) -> Vec<Target> {
    let claims = |pod: &Pod| {
        let names = plan::names(pod).into_iter();
        names.map(|name| Target::Claim(Key::new(&change.key.namespace, name))).collect::<Vec<_>>()
    };
    let mut targets = Vec::new();
    if let Some(old) = &change.old
        && change.new.as_ref().is_none_or(|new| new.metadata.uid != old.metadata.uid)
    {
        targets.extend(claims(old));
    }
    match &change.new {
        Some(pod) if plan::is_done(pod) => targets.extend(claims(pod)),
        Some(pod) if !wanted(pod).is_empty() => targets.push(Target::Pod(change.key.clone())),
        _ => {}
    }
    targets
}

/// A claim, and when it came or went the pods that use it.
fn of_claim(change: &Change<ResourceClaim>, pods: &Informer<Pod>) -> Vec<Target> {
    let mut targets = vec![Target::Claim(change.key.clone())];
    if change.old.is_none() || change.new.is_none() {
        let users = pods.store().by_index(USED, &change.key.to_string());
        targets.extend(users.iter().map(|pod| Target::Pod(Key::of(&**pod))));
    }
    targets
}

fn of_template(change: &Change<ResourceClaimTemplate>, pods: &Informer<Pod>) -> Vec<Target> {
    let users = pods.store().by_index(TEMPLATE, &change.key.to_string());
    users.iter().map(|pod| Target::Pod(Key::of(&**pod))).collect()
}

struct Claims {
    pods: Informer<Pod>,
    claims: Informer<ResourceClaim>,
    templates: Informer<ResourceClaimTemplate>,
    writer: Writer<ResourceClaim>,
    pod_writer: Writer<Pod>,
    recorder: Recorder,
}

#[async_trait]
impl Reconciler for Claims {
    type Key = Target;

    async fn reconcile(&self, target: &Target, writes: &Writes) -> Result<Next, anyhow::Error> {
        match target {
            Target::Pod(key) => {
                if let Some(pod) = self.pods.store().get(key)
                    && pod.metadata.deletion_timestamp.is_none()
                    && !plan::is_done(&pod)
                {
                    self.pod(&pod, writes).await?;
                }
            }
            Target::Claim(key) => {
                if let Some(claim) = self.claims.store().get(key) {
                    self.claim(&claim, writes).await?;
                }
            }
        }
        Ok(Next::Wait)
    }
}

impl Claims {
    async fn pod(&self, pod: &Arc<Pod>, writes: &Writes) -> Result<(), anyhow::Error> {
        let made = self.claims.store().by_index(OWNER, pod.metadata.uid.as_deref().unwrap_or_default());
        let mut news = Vec::new();
        for wanted in wanted(pod) {
            match plan::need(pod, wanted, &made) {
                Need::Met => {}
                Need::Tell(name) => news.push((wanted.name.clone(), name)),
                Need::Make => match self.make(pod, wanted, writes).await {
                    Ok(name) => news.push((wanted.name.clone(), name)),
                    Err(error) => {
                        let message = format!("PodResourceClaim {}: {error}", wanted.name);
                        self.recorder.event(&**pod, Kind::Warning, "FailedResourceClaimCreation", message);
                        return Err(error);
                    }
                },
            }
        }
        if !news.is_empty() {
            self.tell(pod, news, writes).await?;
        }
        if !crate::common::pods::node(pod).is_empty() {
            self.reserve(pod, writes).await?;
        }
        Ok(())
    }

    /// Makes a claim from its template; gives its name.
    async fn make(
        &self,
        pod: &Pod,
        wanted: &PodResourceClaim,
        writes: &Writes,
    ) -> Result<String, anyhow::Error> {
        let name = wanted.resource_claim_template_name.as_deref().unwrap_or_default();
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let Some(template) = self.templates.store().find(namespace, name) else {
            anyhow::bail!(
                "resource claim template {name:?}: resourceclaimtemplate.resource.k8s.io {name:?} not found"
            );
        };
        let claim = self.writer.create(writes, &plan::make(pod, wanted, &template)).await;
        claim.map(|claim| claim.name_any()).map_err(|error| anyhow::anyhow!("create ResourceClaim: {error}"))
    }

    async fn tell(
        &self,
        pod: &Pod,
        news: Vec<(String, String)>,
        writes: &Writes,
    ) -> Result<(), client::Error> {
        let patch = Patch::Strategic(json!({
            "metadata": { "uid": pod.metadata.uid },
            "status": { "resourceClaimStatuses": plan::statuses(pod, news) },
        }));
        match self.pod_writer.patch_sub(writes, "status", &Key::of(pod), &patch).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Reserves allocated claims for a pod that was bound past the scheduler.
    async fn reserve(&self, pod: &Pod, writes: &Writes) -> Result<(), client::Error> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        for name in plan::names(pod) {
            let Some(claim) = self.claims.store().find(namespace, &name) else { continue };
            if !plan::lacks_reservation(pod, &claim) {
                continue;
            }
            let mut reserved = ResourceClaim::clone(&claim);
            let references = &mut reserved.status.get_or_insert_default().reserved_for;
            references.get_or_insert_default().push(plan::reservation(pod));
            self.writer.update_status(writes, &reserved).await?;
        }
        Ok(())
    }

    async fn claim(&self, claim: &Arc<ResourceClaim>, writes: &Writes) -> Result<(), anyhow::Error> {
        let mut valid = Vec::new();
        let references = claim.status.iter().flat_map(|status| status.reserved_for.iter().flatten());
        for reference in references {
            if self.holds(claim, reference).await? {
                valid.push(reference.clone());
            }
        }
        let unused = valid.is_empty();
        let upkeep = plan::upkeep(claim, valid);
        let mut present = ResourceClaim::clone(claim);
        if let Some(changed) = &upkeep.status {
            present = self.writer.update_status(writes, changed).await?;
        }
        if upkeep.unprotect {
            let finalizers = present.finalizers_mut();
            finalizers.retain(|finalizer| finalizer != plan::FINALIZER);
            match self.writer.update(writes, &present).await {
                Err(error) if error.is_not_found() => return Ok(()),
                result => drop(result?),
            }
        }
        if unused && self.outlived_its_pod(claim) {
            let how = write::only(claim.metadata.uid.as_deref());
            match self.writer.delete(writes, &Key::of(&**claim), &how).await {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a reservation is still needed. The server is asked before a pod is taken for gone.
    async fn holds(
        &self,
        claim: &ResourceClaim,
        reference: &ResourceClaimConsumerReference,
    ) -> Result<bool, client::Error> {
        let group = reference.api_group.as_deref().unwrap_or_default();
        if !group.is_empty() || reference.resource != "pods" {
            // Somebody else's consumer; only they know.
            return Ok(true);
        }
        let key = Key::new(claim.metadata.namespace.as_deref().unwrap_or_default(), &reference.name);
        let same = |pod: &Pod| pod.metadata.uid.as_deref() == Some(reference.uid.as_str());
        if let Some(pod) = self.pods.store().get(&key).filter(|pod| same(pod)) {
            return Ok(!plan::is_done(&pod));
        }
        match self.pod_writer.get(&key).await {
            Ok(pod) => Ok(same(&pod) && !plan::is_done(&pod)),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the pod that a claim was made for exists and will not need it, or has been replaced. The claim of a pod that
    /// is gone is for the garbage collector.
    fn outlived_its_pod(&self, claim: &ResourceClaim) -> bool {
        let Some(reference) = owner::controller_of(&claim.metadata).filter(|owner| owner.kind == "Pod")
        else {
            return false;
        };
        let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
        let pod = self.pods.store().find(namespace, &reference.name);
        claim.metadata.deletion_timestamp.is_none()
            && pod.is_some_and(|pod| {
                pod.metadata.uid.as_deref() != Some(reference.uid.as_str()) || plan::is_done(&pod)
            })
    }
}
