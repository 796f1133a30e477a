//! The ReplicaSets of a Deployment: which is new, which are old, their revisions and annotations.

use std::collections::BTreeMap;

use api_types::int_or_string::IntOrString;
use api_types::k8s::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet, ReplicaSetSpec};
use api_types::k8s::api::core::v1::PodTemplateSpec;
use api_types::k8s::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use client::kube::ResourceExt;
use client::owner;

use crate::common::hash;
use crate::common::pods::annotation;

/// Label that keeps the sets' pods apart.
pub(super) const HASH_LABEL: &str = "pod-template-hash";
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";
const ROLLBACK_TO: &str = "deprecated.deployment.rollback.to";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Longest value of the revision history, in bytes.
const HISTORY_BYTES: usize = 2000;

/// The sets that a Deployment owns, sorted out.
#[derive(Clone, Debug, Default)]
pub(super) struct Sets {
    /// The set with the present template.
    pub new: Option<ReplicaSet>,
    /// All others, by age.
    pub old: Vec<ReplicaSet>,
}

impl Sets {
    /// Of several sets with the present template the oldest is the new one.
    pub(super) fn of(deployment: &Deployment, owned: Vec<ReplicaSet>) -> Self {
        let mut owned = owned;
        owned.sort_by(by_age);
        let template = &spec(deployment).template;
        let at = owned.iter().position(|set| same_template(template, set));
        let new = at.map(|at| owned.remove(at));
        Self { new, old: owned }
    }

    /// All sets, the new one first.
    pub(super) fn all(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.new.iter().chain(&self.old)
    }

    /// Replicas asked for in all sets.
    pub(super) fn replicas(&self) -> i32 {
        self.all().map(replicas).sum()
    }

    /// The revision that the new set gets.
    pub(super) fn next_revision(&self) -> i64 {
        self.old.iter().map(revision).max().unwrap_or(0) + 1
    }
}

/// Orders by creation, then name.
pub(super) fn by_age(a: &ReplicaSet, b: &ReplicaSet) -> std::cmp::Ordering {
    let created = |set: &ReplicaSet| set.metadata.creation_timestamp.clone();
    created(a).cmp(&created(b)).then_with(|| a.metadata.name.cmp(&b.metadata.name))
}

/// The spec; every Deployment from the server has one.
pub(super) fn spec(deployment: &Deployment) -> DeploymentSpec {
    deployment.spec.clone().unwrap_or_default()
}

/// Replicas the Deployment asks for.
pub(super) fn wanted(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Replicas a set asks for.
pub(super) fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Sets the replicas a set asks for.
pub(super) fn set_replicas(set: &mut ReplicaSet, replicas: i32) {
    set.spec.get_or_insert_default().replicas = Some(replicas);
}

/// Available replicas of a set.
pub(super) fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}

/// Pods that a set has.
pub(super) fn actual(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

/// Revision in an object's annotations; 0 without one.
pub(super) fn revision<K: ResourceExt>(object: &K) -> i64 {
    annotation(object.meta(), REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// How many pods a rolling update may have too many and too few. At least one of them is not zero.
pub(super) fn fences(deployment: &Deployment) -> (i32, i32) {
    let spec = spec(deployment);
    let strategy = spec.strategy.unwrap_or_default();
    if strategy.type_.as_deref() == Some("Recreate") {
        return (0, 0);
    }
    let total = i64::from(wanted(deployment));
    let rolling = strategy.rolling_update.unwrap_or_default();
    let resolve = |value: Option<IntOrString>, up: bool| {
        let value = value.unwrap_or(IntOrString::String("25%".to_owned()));
        // Validation has let through only numbers and percentages.
        i32::try_from(value.scaled(total, up).unwrap_or(0)).unwrap_or(i32::MAX)
    };
    let surge = resolve(rolling.max_surge.as_ref().map(IntOrString::from), true);
    let unavailable = resolve(rolling.max_unavailable.as_ref().map(IntOrString::from), false);
    // Both zero would never move.
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

/// The most pods that may be missing at any time.
pub(super) fn max_unavailable(deployment: &Deployment) -> i32 {
    let recreate = spec(deployment).strategy.unwrap_or_default().type_.as_deref() == Some("Recreate");
    if recreate || wanted(deployment) == 0 {
        return 0;
    }
    fences(deployment).1.min(wanted(deployment))
}

/// The most pods that may be there at any time.
pub(super) fn max_total(deployment: &Deployment) -> i32 {
    wanted(deployment) + fences(deployment).0
}

/// Whether the set's template is this one, but for the hash label.
fn same_template(template: &PodTemplateSpec, set: &ReplicaSet) -> bool {
    let Some(theirs) = set.spec.as_ref().and_then(|spec| spec.template.as_ref()) else { return false };
    let without_hash = |meta: Option<&ObjectMeta>| {
        let mut meta = meta.cloned().unwrap_or_default();
        if let Some(labels) = &mut meta.labels {
            labels.remove(HASH_LABEL);
        }
        meta.labels = meta.labels.filter(|labels| !labels.is_empty());
        meta.creation_timestamp = None;
        meta
    };
    template.spec == theirs.spec
        && without_hash(template.metadata.as_ref()) == without_hash(theirs.metadata.as_ref())
}

/// A new set for the present template, without replicas.
pub(super) fn fresh(deployment: &Deployment, revision: i64) -> ReplicaSet {
    let spec = spec(deployment);
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    let hash = hash::template(&spec.template, collisions);
    let labelled = |labels: Option<BTreeMap<String, String>>| {
        let mut labels = labels.unwrap_or_default();
        labels.insert(HASH_LABEL.to_owned(), hash.clone());
        Some(labels)
    };
    let mut template = spec.template;
    let meta = template.metadata.get_or_insert_default();
    meta.labels = labelled(meta.labels.take());
    let mut set = ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", deployment.name_any())),
            namespace: deployment.namespace(),
            labels: meta.labels.clone(),
            owner_references: Some(vec![owner::controller_ref(deployment)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(0),
            min_ready_seconds: spec.min_ready_seconds,
            selector: LabelSelector {
                match_labels: labelled(spec.selector.match_labels),
                match_expressions: spec.selector.match_expressions,
            },
            template: Some(template),
        }),
        status: None,
    };
    annotate_new(deployment, &mut set, revision);
    annotate_replicas(deployment, &mut set);
    set
}

/// Copies the Deployment's annotations and the revision to its new set. Whether anything changed.
pub(super) fn annotate_new(deployment: &Deployment, set: &mut ReplicaSet, revision: i64) -> bool {
    let before = set.metadata.annotations.clone();
    let annotations = set.metadata.annotations.get_or_insert_default();
    for (key, value) in deployment.annotations() {
        if ![LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED, MAX, ROLLBACK_TO].contains(&key.as_str()) {
            annotations.insert(key.clone(), value.clone());
        }
    }
    let old = annotations.get(REVISION).cloned();
    if old.as_ref().and_then(|text| text.parse::<i64>().ok()).unwrap_or(0) < revision {
        annotations.insert(REVISION.to_owned(), revision.to_string());
        if let Some(old) = old {
            append_history(annotations, &old);
        }
    }
    before != set.metadata.annotations
}

/// Remembers a former revision of a set that became the new one again; the oldest are forgotten first.
fn append_history(annotations: &mut BTreeMap<String, String>, revision: &str) {
    let mut history: Vec<String> = annotations
        .get(REVISION_HISTORY)
        .map(|text| text.split(',').map(str::to_owned).collect())
        .unwrap_or_default();
    history.retain(|known| !known.is_empty());
    history.push(revision.to_owned());
    while history.len() > 1 && history.join(",").len() > HISTORY_BYTES {
        history.remove(0);
    }
    annotations.insert(REVISION_HISTORY.to_owned(), history.join(","));
}

/// Writes down for how many replicas the set was sized. Whether anything changed.
pub(super) fn annotate_replicas(deployment: &Deployment, set: &mut ReplicaSet) -> bool {
    let annotations = set.metadata.annotations.get_or_insert_default();
    let desired = annotations.insert(DESIRED.to_owned(), wanted(deployment).to_string());
    let most = annotations.insert(MAX.to_owned(), max_total(deployment).to_string());
    desired != annotations.get(DESIRED).cloned() || most != annotations.get(MAX).cloned()
}

/// For how many replicas of the Deployment the set was last sized.
pub(super) fn desired_annotation(set: &ReplicaSet) -> Option<i32> {
    annotation(&set.metadata, DESIRED)?.parse().ok()
}

/// How many pods there might be at most when the set was last sized.
pub(super) fn max_annotation(set: &ReplicaSet) -> Option<i32> {
    annotation(&set.metadata, MAX)?.parse().ok()
}

/// The revision that a rollback was asked for by annotation (kubectl of old); 0 means the one before.
pub(super) fn rollback_to(deployment: &Deployment) -> Option<i64> {
    annotation(&deployment.metadata, ROLLBACK_TO)?.parse().ok()
}

/// The Deployment with a set's template, and without the request for a rollback.
pub(super) fn rolled_back(deployment: &Deployment, to: Option<&ReplicaSet>) -> Deployment {
    let mut changed = deployment.clone();
    if let Some(annotations) = &mut changed.metadata.annotations {
        annotations.remove(ROLLBACK_TO);
    }
    if let Some(mut template) = to.and_then(|set| set.spec.as_ref()?.template.clone()) {
        if let Some(labels) = template.metadata.as_mut().and_then(|meta| meta.labels.as_mut()) {
            labels.remove(HASH_LABEL);
        }
        changed.spec.get_or_insert_default().template = template;
        for (key, value) in to.iter().flat_map(|set| set.annotations()) {
            if ![LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED, MAX, ROLLBACK_TO].contains(&key.as_str())
            {
                changed.metadata.annotations.get_or_insert_default().insert(key.clone(), value.clone());
            }
        }
    }
    changed
}
