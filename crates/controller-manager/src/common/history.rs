//! ControllerRevisions: the templates that a DaemonSet or StatefulSet has had.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::k8s::api::apps::v1::ControllerRevision;
use api_types::k8s::api::core::v1::PodTemplateSpec;
use api_types::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use api_types::k8s::apimachinery::pkg::runtime::RawExtension;
use client::{Error, ErrorExt, Key, Writer, Writes, write};
use serde_json::json;

use super::hash;

/// Label with a revision's hash, on revisions and pods.
pub const HASH_LABEL: &str = "controller-revision-hash";

/// What has to be written so that the present template is the newest revision.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The newest revision has this template already.
    Keep(Arc<ControllerRevision>),
    /// An older revision has it: it becomes the newest.
    Renew(Box<ControllerRevision>),
    /// No revision has it.
    Create(Box<ControllerRevision>),
}

/// The owner of a history, as revisions are named after it.
pub struct Owner<'a> {
    /// Its metadata.
    pub meta: &'a ObjectMeta,
    /// The reference that revisions carry.
    pub reference: OwnerReference,
    /// Name collisions so far.
    pub collisions: i32,
    /// Label that carries the hash on revisions.
    pub hash_label: &'static str,
}

/// Finds or makes the revision for `template`.
pub fn current(owner: &Owner<'_>, template: &PodTemplateSpec, history: &[Arc<ControllerRevision>]) -> Action {
    let newest = history.iter().map(|revision| revision.revision).max().unwrap_or(0);
    let same = history.iter().filter(|revision| template_of(revision).as_ref() == Some(template));
    match same.max_by_key(|revision| revision.revision) {
        Some(found) if found.revision == newest => Action::Keep(Arc::clone(found)),
        Some(found) => Action::Renew(Box::new(ControllerRevision {
            revision: newest + 1,
            ..ControllerRevision::clone(found)
        })),
        None => Action::Create(Box::new(fresh(owner, template, newest + 1))),
    }
}

fn fresh(owner: &Owner<'_>, template: &PodTemplateSpec, number: i64) -> ControllerRevision {
    let hash = hash::template(template, owner.collisions);
    let mut labels: BTreeMap<String, String> =
        template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
    labels.insert(owner.hash_label.to_owned(), hash.clone());
    // The patch that restores the template, as upstream stores it; `$patch` makes it replace instead of merge.
    let mut data = json!({ "spec": { "template": template } });
    data["spec"]["template"]["$patch"] = json!("replace");
    let name = owner.meta.name.as_deref().unwrap_or_default();
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{hash}")),
            namespace: owner.meta.namespace.clone(),
            labels: Some(labels),
            annotations: owner.meta.annotations.clone().map(|mut annotations| {
                annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
                annotations
            }),
            owner_references: Some(vec![owner.reference.clone()]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(data)),
        revision: number,
    }
}

/// The template that a revision stores.
pub fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0.get("spec")?.get("template")?.clone();
    template.as_object_mut()?.remove("$patch");
    if let Some(meta) = template.get_mut("metadata").and_then(|meta| meta.as_object_mut()) {
        meta.remove("creationTimestamp");
    }
    serde_json::from_value(template).ok()
}

/// A revision's hash, as pods carry it.
pub fn hash_of(revision: &ControllerRevision) -> String {
    let label = revision.metadata.labels.as_ref().and_then(|labels| labels.get(HASH_LABEL).cloned());
    label.unwrap_or_default()
}

/// Revisions beyond `limit` that no hash in `live` names, oldest first.
pub fn expendable(
    history: &[Arc<ControllerRevision>],
    live: &[String],
    limit: usize,
) -> Vec<Arc<ControllerRevision>> {
    let mut dead: Vec<&Arc<ControllerRevision>> =
        history.iter().filter(|revision| !live.contains(&hash_of(revision))).collect();
    dead.sort_by_key(|revision| revision.revision);
    let surplus = dead.len().saturating_sub(limit);
    dead.into_iter().take(surplus).cloned().collect()
}

/// Carries an action out. `None`: the name is taken by another template, and the owner has to count a collision.
///
/// # Errors
/// As the server answers.
pub async fn settle(
    action: Action,
    writer: &Writer<ControllerRevision>,
    writes: &Writes,
) -> Result<Option<Arc<ControllerRevision>>, Error> {
    match action {
        Action::Keep(revision) => Ok(Some(revision)),
        Action::Renew(revision) => Ok(Some(Arc::new(writer.update(writes, &revision).await?))),
        Action::Create(revision) => match writer.create(writes, &revision).await {
            Ok(created) => Ok(Some(Arc::new(created))),
            Err(error) if error.is_already_exists() => {
                let theirs = writer.get(&Key::of(&*revision)).await?;
                let same = template_of(&theirs) == template_of(&revision);
                Ok(same.then(|| Arc::new(theirs)))
            }
            Err(error) => Err(error),
        },
    }
}

/// Deletes revisions that are not needed any more.
///
/// # Errors
/// As the server answers; those that are gone already are no error.
pub async fn truncate(
    expendable: Vec<Arc<ControllerRevision>>,
    writer: &Writer<ControllerRevision>,
    writes: &Writes,
) -> Result<(), Error> {
    for revision in expendable {
        let how = write::only(revision.metadata.uid.as_deref());
        match writer.delete(writes, &Key::of(&*revision), &how).await {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
