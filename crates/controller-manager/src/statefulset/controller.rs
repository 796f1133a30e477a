//! Wiring of StatefulSets.

use std::sync::Arc;

use api_types::k8s::api::apps::v1::{ControllerRevision, StatefulSet};
use api_types::k8s::api::core::v1::{PersistentVolumeClaim, Pod};
use api_types::selector::Selector;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::events::{Kind as EventKind, Recorder};
use client::kube::ResourceExt;
use client::{Error, ErrorExt, Informer, Key, Writer, Writes, owner, write};
use jiff::Timestamp;

use super::identity;
use super::plan::{self, Action, Revision, Snapshot};
use crate::common::claim::{self, OWNER};
use crate::common::history::{self, Owner};
use crate::common::{pods, selector};
use crate::context::Context;

const NAME: &str = "statefulset-controller";

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let sets = context.informers.all::<StatefulSet>();
    let pods = context.informers.all::<Pod>();
    let claims = context.informers.all::<PersistentVolumeClaim>();
    let revisions = context.informers.all::<ControllerRevision>();
    pods.index(OWNER, claim::by_owner);
    revisions.index(OWNER, claim::by_owner);
    let reconciler = Sets {
        sets: sets.clone(),
        pods: pods.clone(),
        claims: claims.clone(),
        revisions: revisions.clone(),
        writer: context.writer(),
        pod_writer: context.writer(),
        claim_writer: context.writer(),
        revision_writer: context.writer(),
        recorder: context.recorder(NAME),
    };
    let all = sets.clone();
    let workers = context.options.tuning.concurrent_statefulset_syncs;
    Controller::new("statefulset", reconciler, context.shutdown)
        .watch(&sets, |change| vec![change.key.clone()])
        .watch(&pods, move |change| claim::concerned(change, &all, selector_of))
        .after(&claims)
        .after(&revisions)
        .run(workers)
        .await;
    Ok(())
}

fn selector_of(set: &StatefulSet) -> Selector {
    set.spec.as_ref().map_or_else(Selector::nothing, |spec| selector::of(&spec.selector))
}

struct Sets {
    sets: Informer<StatefulSet>,
    pods: Informer<Pod>,
    claims: Informer<PersistentVolumeClaim>,
    revisions: Informer<ControllerRevision>,
    writer: Writer<StatefulSet>,
    pod_writer: Writer<Pod>,
    claim_writer: Writer<PersistentVolumeClaim>,
    revision_writer: Writer<ControllerRevision>,
    recorder: Recorder,
}

#[async_trait]
impl Reconciler for Sets {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(set) = self.sets.store().get(key) else { return Ok(Next::Wait) };
        if set.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Wait);
        }
        let owned = self.owned(&set, writes).await?;
        let history = self.history(&set, writes).await?;
        let Some(update) = self.update_revision(&set, &history, writes).await? else { return Ok(Next::Wait) };
        let current = current_revision(&set, &history).unwrap_or_else(|| update.clone());
        let snapshot = Snapshot { set, pods: owned, current, update };
        let now = Timestamp::now();
        let mut failed = None;
        for action in plan::plan(&snapshot, now) {
            if let Err(error) = self.act(&snapshot, action, writes).await {
                failed = Some(error);
                break;
            }
        }
        self.write_status(&snapshot, now, writes).await?;
        self.clean(&snapshot, &history, writes).await?;
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(plan::next_available(&snapshot, now).map_or(Next::Wait, |at| Next::After(pods::until(at, now))))
    }
}

/// The revision that status names as the current one.
fn current_revision(set: &StatefulSet, history: &[Arc<ControllerRevision>]) -> Option<Revision> {
    let name = set.status.as_ref()?.current_revision.as_ref()?;
    let revision = history.iter().find(|revision| revision.metadata.name.as_ref() == Some(name))?;
    Some(Revision { name: name.clone(), template: history::template_of(revision)? })
}

impl Sets {
    /// Pods that the set owns. An orphan is adopted only when its name fits.
    async fn owned(&self, set: &Arc<StatefulSet>, writes: &Writes) -> Result<Vec<Arc<Pod>>, Error> {
        let store = self.pods.store();
        let mut candidates = store.by_index(OWNER, &set.uid().unwrap_or_default());
        let orphans = store.by_index(OWNER, &claim::orphans(&set.namespace().unwrap_or_default()));
        candidates.extend(orphans.into_iter().filter(|pod| identity::ordinal(set, pod).is_some()));
        let claims = claim::claim(&set.metadata, &selector_of(set), candidates);
        claim::settle(&**set, &self.writer, &self.pod_writer, claims, writes).await
    }

    async fn history(
        &self,
        set: &Arc<StatefulSet>,
        writes: &Writes,
    ) -> Result<Vec<Arc<ControllerRevision>>, Error> {
        let store = self.revisions.store();
        let mut candidates = store.by_index(OWNER, &set.uid().unwrap_or_default());
        candidates.extend(store.by_index(OWNER, &claim::orphans(&set.namespace().unwrap_or_default())));
        let claims = claim::claim(&set.metadata, &selector_of(set), candidates);
        claim::settle(&**set, &self.writer, &self.revision_writer, claims, writes).await
    }

    /// The revision of the present template; `None` after a name collision, which status then counts.
    async fn update_revision(
        &self,
        set: &Arc<StatefulSet>,
        history: &[Arc<ControllerRevision>],
        writes: &Writes,
    ) -> Result<Option<Revision>, Error> {
        let collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
        let owner = Owner {
            meta: &set.metadata,
            reference: owner::controller_ref(&**set),
            collisions,
            hash_label: identity::REVISION_HASH,
        };
        let template = set.spec.clone().unwrap_or_default().template;
        let action = history::current(&owner, &template, history);
        match history::settle(action, &self.revision_writer, writes).await? {
            Some(revision) => Ok(Some(Revision { name: revision.name_any(), template })),
            None => {
                let mut changed = StatefulSet::clone(set);
                changed.status.get_or_insert_default().collision_count = Some(collisions + 1);
                self.writer.update_status(writes, &changed).await?;
                Ok(None)
            }
        }
    }

    async fn act(&self, snapshot: &Snapshot, action: Action, writes: &Writes) -> Result<(), anyhow::Error> {
        let set = &snapshot.set;
        match action {
            Action::Create(ordinal, pod) => {
                self.ensure_claims(set, ordinal, writes).await?;
                let result = self.pod_writer.create(writes, &pod).await.map(|_| ());
                self.tell(set, "Create", &pod, result)
            }
            Action::Restore(pod) => {
                self.pod_writer.update(writes, &pod).await?;
                Ok(())
            }
            Action::Replace(pod) => {
                let message =
                    format!("StatefulSet {} is recreating failed Pod {}", Key::of(&**set), pod.name_any());
                self.recorder.event(&**set, EventKind::Warning, "RecreatingFailedPod", message);
                self.delete(set, &pod, writes).await
            }
            Action::ScaleDown(pod) => {
                self.hand_over_claims(set, &pod, writes).await?;
                self.delete(set, &pod, writes).await
            }
            Action::Update(pod) => self.delete(set, &pod, writes).await,
        }
    }

    async fn delete(&self, set: &Arc<StatefulSet>, pod: &Pod, writes: &Writes) -> Result<(), anyhow::Error> {
        let how = write::only(pod.metadata.uid.as_deref());
        let result = match self.pod_writer.delete(writes, &Key::of(pod), &how).await {
            Err(error) if error.is_not_found() || error.is_conflict() => return Ok(()),
            result => result,
        };
        self.tell(set, "Delete", pod, result)
    }

    fn tell(
        &self,
        set: &Arc<StatefulSet>,
        verb: &str,
        pod: &Pod,
        result: Result<(), Error>,
    ) -> Result<(), anyhow::Error> {
        let (set_name, pod_name) = (set.name_any(), pod.name_any());
        match result {
            Ok(()) => {
                let message = format!("{verb} Pod {pod_name} in StatefulSet {set_name} successful");
                self.recorder.event(&**set, EventKind::Normal, &format!("Successful{verb}"), message);
                Ok(())
            }
            Err(error) if error.is_namespace_terminating() => Ok(()),
            // Ours, only not in the cache yet.
            Err(error) if error.is_already_exists() => Err(error.into()),
            Err(error) => {
                let message =
                    format!("{verb} Pod {pod_name} in StatefulSet {set_name} failed error: {error}");
                self.recorder.event(&**set, EventKind::Warning, &format!("Failed{verb}"), message);
                Err(error.into())
            }
        }
    }

    async fn ensure_claims(
        &self,
        set: &Arc<StatefulSet>,
        ordinal: i32,
        writes: &Writes,
    ) -> Result<(), anyhow::Error> {
        for claim in identity::claims(set, ordinal) {
            if let Some(known) = self.claims.store().get(&Key::of(&claim)) {
                self.set_owners(set, &known, None, writes).await?;
                continue;
            }
            let (claim_name, set_name) = (claim.name_any(), set.name_any());
            match self.claim_writer.create(writes, &claim).await {
                Ok(_) => {
                    let message = format!(
                        "Create Claim {claim_name} Pod {set_name}-{ordinal} in StatefulSet {set_name} success"
                    );
                    self.recorder.event(&**set, EventKind::Normal, "SuccessfulCreate", message);
                }
                Err(error) if error.is_already_exists() => {}
                Err(error) => {
                    let message = format!(
                        "Create Claim {claim_name} for Pod {set_name}-{ordinal} in StatefulSet {set_name} failed error: {error}"
                    );
                    self.recorder.event(&**set, EventKind::Warning, "FailedCreate", message);
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// Lets the claims of a pod that is scaled away go with it, if the set says so.
    async fn hand_over_claims(
        &self,
        set: &Arc<StatefulSet>,
        pod: &Pod,
        writes: &Writes,
    ) -> Result<(), anyhow::Error> {
        let Some(ordinal) = identity::ordinal(set, pod) else { return Ok(()) };
        for claim in identity::claims(set, ordinal) {
            if let Some(known) = self.claims.store().get(&Key::of(&claim)) {
                self.set_owners(set, &known, Some(pod), writes).await?;
            }
        }
        Ok(())
    }

    async fn set_owners(
        &self,
        set: &StatefulSet,
        claim: &Arc<PersistentVolumeClaim>,
        condemned: Option<&Pod>,
        writes: &Writes,
    ) -> Result<(), Error> {
        let owners = identity::claim_owners(set, claim, condemned);
        if claim.metadata.owner_references.clone().unwrap_or_default() == owners {
            return Ok(());
        }
        let mut changed = PersistentVolumeClaim::clone(claim);
        changed.metadata.owner_references = (!owners.is_empty()).then_some(owners);
        self.claim_writer.update(writes, &changed).await.map(|_| ())
    }

    async fn write_status(&self, snapshot: &Snapshot, now: Timestamp, writes: &Writes) -> Result<(), Error> {
        let old = snapshot.set.status.clone();
        let collisions = old.as_ref().and_then(|status| status.collision_count).or(Some(0));
        let status = plan::status(snapshot, collisions, now);
        if old.as_ref() == Some(&status) {
            return Ok(());
        }
        let mut changed = StatefulSet::clone(&snapshot.set);
        changed.status = Some(status);
        match self.writer.update_status(writes, &changed).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    async fn clean(
        &self,
        snapshot: &Snapshot,
        history: &[Arc<ControllerRevision>],
        writes: &Writes,
    ) -> Result<(), Error> {
        let limit = snapshot.set.spec.as_ref().and_then(|spec| spec.revision_history_limit).unwrap_or(10);
        let mut live: Vec<&str> = snapshot.pods.iter().map(|pod| identity::revision(pod)).collect();
        live.extend([snapshot.current.name.as_str(), snapshot.update.name.as_str()]);
        let mut dead: Vec<&Arc<ControllerRevision>> = history
            .iter()
            .filter(|revision| !live.contains(&revision.metadata.name.as_deref().unwrap_or_default()))
            .collect();
        dead.sort_by_key(|revision| revision.revision);
        let surplus = dead.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        let expendable = dead.into_iter().take(surplus).cloned().collect();
        history::truncate(expendable, &self.revision_writer, writes).await
    }
}
