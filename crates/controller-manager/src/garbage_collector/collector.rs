//! Carrying out what the graph asks for, against live objects.

use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::ObjectReference;
use api_types::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind as EventKind, Recorder};
use client::kube::api::ApiResource;
use client::{Client, ErrorExt, Key, Patch, Writer, Writes, write};
use serde_json::json;

use super::graph::{FOREGROUND, Node, ORPHAN, Uid, Work};
use super::monitors::{Metadata, Monitors};
use super::plan::{self, Owner, Verdict};
use crate::context::Context;

/// How often new resources are looked for.
const REFRESH: Duration = Duration::from_secs(20);

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    if !context.options.tuning.enable_garbage_collector {
        tracing::info!("--enable-garbage-collector=false: garbage is not collected");
        return Ok(());
    }
    let monitors =
        Arc::new(Monitors::new(context.client.clone(), context.informers.clone(), context.shutdown.clone()));
    while let Err(error) = monitors.refresh().await {
        tracing::warn!(%error, "cannot see what the server serves, trying again");
        tokio::select! {
            () = context.shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
    tokio::select! {
        () = context.shutdown.cancelled() => return Ok(()),
        () = monitors.synced() => {}
    }
    let refresher = Arc::clone(&monitors);
    let stop = context.shutdown.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(REFRESH) => {}
            }
            if let Err(error) = refresher.refresh().await {
                tracing::warn!(%error, "cannot see what the server serves");
            }
        }
    });
    let queue = monitors.queue.clone();
    let collector = Collector {
        client: context.client.clone(),
        monitors,
        recorder: context.recorder("garbage-collector-controller"),
    };
    let workers = context.options.tuning.concurrent_gc_syncs;
    Controller::shared("garbagecollector", Arc::new(collector), queue, context.shutdown).run(workers).await;
    Ok(())
}

struct Collector {
    client: Client,
    monitors: Arc<Monitors>,
    recorder: Recorder,
}

#[async_trait]
impl Reconciler for Collector {
    type Key = Work;

    async fn reconcile(&self, work: &Work, writes: &Writes) -> Result<Next, anyhow::Error> {
        match work {
            Work::Delete(uid) => self.attempt_delete(uid, writes).await?,
            Work::Orphan(uid) => self.attempt_orphan(uid, writes).await?,
        }
        Ok(Next::Wait)
    }
}

impl Collector {
    fn writer(&self, resource: &ApiResource) -> Writer<Metadata> {
        Writer::blind(&self.client, resource.clone())
    }

    /// The object as the server has it, if it is still the same one.
    async fn live(&self, uid: &str, node: &Node) -> Result<Option<ObjectMeta>, client::Error> {
        match self.writer(&node.resource).get(&node.key).await {
            Ok(object) if object.metadata.uid.as_deref() == Some(uid) => Ok(Some(object.metadata)),
            Ok(_) => Ok(None),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn attempt_delete(&self, uid: &Uid, writes: &Writes) -> Result<(), client::Error> {
        let Some(node) = self.monitors.graph.lock().node(uid).cloned() else { return Ok(()) };
        if node.deleting && !node.foreground {
            return Ok(());
        }
        let Some(live) = self.live(uid, &node).await? else {
            // It never existed, or its end has not reached us: either way its dependents have to know.
            let work = self.monitors.graph.lock().remove(uid);
            for item in work {
                self.monitors.queue.add(item);
            }
            return Ok(());
        };
        if node.virtual_ {
            // It exists; its own monitor will tell more.
            return Ok(());
        }
        if node.foreground {
            return self.finish_foreground(uid, &node, &live, writes).await;
        }
        let mut owners = Vec::new();
        for owner in live.owner_references.clone().unwrap_or_default() {
            match self.state(&node, &live, &owner).await? {
                Some(state) => owners.push((owner, state)),
                // A reference that can never be followed keeps the object.
                None => return Ok(()),
            }
        }
        let (has, wait) = {
            let graph = self.monitors.graph.lock();
            (graph.dependents(uid).next().is_some(), graph.dependents(uid).any(|(_, node)| node.foreground))
        };
        match plan::verdict(&live, &owners, has, wait) {
            Verdict::Keep => Ok(()),
            Verdict::Rewrite(kept) => self.rewrite(&node, &live, &kept, writes).await,
            Verdict::Delete { policy, unblock } => {
                if unblock {
                    let freed: Vec<OwnerReference> = live
                        .owner_references
                        .clone()
                        .unwrap_or_default()
                        .into_iter()
                        .map(|owner| OwnerReference { block_owner_deletion: Some(false), ..owner })
                        .collect();
                    self.rewrite(&node, &live, &freed, writes).await?;
                }
                let mut how = write::only(Some(uid));
                how.propagation_policy = Some(policy);
                tracing::info!(object = %node.key, kind = node.resource.kind, "deleting: all owners are gone");
                ignore_gone(self.writer(&node.resource).delete(writes, &node.key, &how).await)
            }
        }
    }

    /// The state of an owner; `None` when the reference makes no sense and must be left alone.
    async fn state(
        &self,
        node: &Node,
        live: &ObjectMeta,
        owner: &OwnerReference,
    ) -> Result<Option<Owner>, client::Error> {
        let known = self.monitors.graph.lock().node(&owner.uid).cloned();
        let resource = known.as_ref().map(|known| (Arc::clone(&known.resource), known.namespaced));
        let Some((resource, namespaced)) = self.monitors.resource_of(owner).or(resource) else {
            // A kind that nobody serves: nothing can be said, so nothing is deleted.
            return Ok(None);
        };
        let foreign = known.as_ref().is_some_and(|known| {
            !known.virtual_ && known.namespaced && known.key.namespace != node.key.namespace
        });
        if foreign || (namespaced && !node.namespaced) {
            self.warn_invalid(node, live, owner);
            return Ok(node.namespaced.then_some(Owner::Absent));
        }
        if let Some(known) = known.filter(|known| !known.virtual_) {
            return Ok(Some(if known.foreground { Owner::Waiting } else { Owner::Solid }));
        }
        let namespace = if namespaced { &*node.key.namespace } else { "" };
        match self.writer(&resource).get(&Key::new(namespace, &owner.name)).await {
            Ok(found) if found.metadata.uid.as_deref() == Some(&owner.uid) => {
                let finalizers = found.metadata.finalizers.unwrap_or_default();
                let waits =
                    found.metadata.deletion_timestamp.is_some() && finalizers.iter().any(|f| f == FOREGROUND);
                Ok(Some(if waits { Owner::Waiting } else { Owner::Solid }))
            }
            Ok(_) => Ok(Some(Owner::Absent)),
            Err(error) if error.is_not_found() => Ok(Some(Owner::Absent)),
            Err(error) => Err(error),
        }
    }

    fn warn_invalid(&self, node: &Node, live: &ObjectMeta, owner: &OwnerReference) {
        let regarding = ObjectReference {
            api_version: Some(node.resource.api_version.clone()),
            kind: Some(node.resource.kind.clone()),
            namespace: live.namespace.clone(),
            name: live.name.clone(),
            uid: live.uid.clone(),
            ..ObjectReference::default()
        };
        let namespace = live.namespace.as_deref().unwrap_or_default();
        let message = format!(
            "ownerRef [{}/{}, namespace: {namespace}, name: {}, uid: {}] does not exist in namespace {namespace:?}",
            owner.api_version, owner.kind, owner.name, owner.uid
        );
        self.recorder.about(regarding, EventKind::Warning, "OwnerRefInvalidNamespace", "", message);
    }

    /// An object that goes after its dependents: let it go when none blocks any more.
    async fn finish_foreground(
        &self,
        uid: &Uid,
        node: &Node,
        live: &ObjectMeta,
        writes: &Writes,
    ) -> Result<(), client::Error> {
        let blockers = self.monitors.graph.lock().blockers(uid);
        if blockers.is_empty() {
            return self.drop_finalizer(node, live, FOREGROUND, writes).await;
        }
        for blocker in blockers {
            self.monitors.queue.add(Work::Delete(blocker));
        }
        Ok(())
    }

    async fn attempt_orphan(&self, uid: &Uid, writes: &Writes) -> Result<(), client::Error> {
        let Some(node) = self.monitors.graph.lock().node(uid).cloned() else { return Ok(()) };
        let dependents: Vec<(Uid, Node)> = {
            let graph = self.monitors.graph.lock();
            graph.dependents(uid).map(|(uid, node)| (Uid::clone(uid), node.clone())).collect()
        };
        for (dependent, dependent_node) in dependents {
            let Some(live) = self.live(&dependent, &dependent_node).await? else { continue };
            let owners = live.owner_references.clone().unwrap_or_default();
            let kept: Vec<OwnerReference> = owners.into_iter().filter(|owner| owner.uid != **uid).collect();
            self.rewrite(&dependent_node, &live, &kept, writes).await?;
        }
        match self.live(uid, &node).await? {
            Some(live) => self.drop_finalizer(&node, &live, ORPHAN, writes).await,
            None => Ok(()),
        }
    }

    async fn rewrite(
        &self,
        node: &Node,
        live: &ObjectMeta,
        owners: &[OwnerReference],
        writes: &Writes,
    ) -> Result<(), client::Error> {
        let owners = (!owners.is_empty()).then_some(owners);
        self.patch(node, live, json!({ "ownerReferences": owners }), writes).await
    }

    async fn drop_finalizer(
        &self,
        node: &Node,
        live: &ObjectMeta,
        name: &str,
        writes: &Writes,
    ) -> Result<(), client::Error> {
        let all = live.finalizers.clone().unwrap_or_default();
        let kept: Vec<&String> = all.iter().filter(|finalizer| *finalizer != name).collect();
        if kept.len() == all.len() {
            return Ok(());
        }
        self.patch(node, live, json!({ "finalizers": (!kept.is_empty()).then_some(kept) }), writes).await
    }

    /// Changes metadata of exactly the object that was read.
    async fn patch(
        &self,
        node: &Node,
        live: &ObjectMeta,
        mut change: serde_json::Value,
        writes: &Writes,
    ) -> Result<(), client::Error> {
        change["uid"] = json!(live.uid);
        change["resourceVersion"] = json!(live.resource_version);
        let patch = Patch::Merge(json!({ "metadata": change }));
        ignore_gone(self.writer(&node.resource).patch(writes, &node.key, &patch).await.map(|_| ()))
    }
}

fn ignore_gone(result: Result<(), client::Error>) -> Result<(), client::Error> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        result => result,
    }
}
