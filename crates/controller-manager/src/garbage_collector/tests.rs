use std::sync::Arc;

use api_types::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use client::PropagationPolicy;
use client::kube::api::ApiResource;

use super::graph::{FOREGROUND, Graph, ORPHAN, Work};
use super::plan::{Owner, Verdict, verdict};

fn resource() -> Arc<ApiResource> {
    Arc::new(ApiResource {
        group: String::new(),
        version: "v1".into(),
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        plural: "configmaps".into(),
    })
}

fn reference(uid: &str, block: bool) -> OwnerReference {
    OwnerReference {
        uid: uid.into(),
        name: uid.into(),
        kind: "ConfigMap".into(),
        api_version: "v1".into(),
        block_owner_deletion: Some(block),
        controller: None,
    }
}

fn meta(uid: &str, owners: Vec<OwnerReference>, finalizers: &[&str], deleting: bool) -> ObjectMeta {
    ObjectMeta {
        name: Some(uid.into()),
        namespace: Some("default".into()),
        uid: Some(uid.into()),
        owner_references: Some(owners),
        finalizers: Some(finalizers.iter().map(|name| (*name).to_owned()).collect()),
        deletion_timestamp: deleting.then_some(Time(jiff::Timestamp::UNIX_EPOCH)),
        ..ObjectMeta::default()
    }
}

fn upsert(graph: &mut Graph, meta: &ObjectMeta) -> Vec<Work> {
    graph.upsert(&resource(), true, meta, |_| Some((resource(), true)))
}

fn delete(uid: &str) -> Work {
    Work::Delete(uid.into())
}

#[test]
fn dependents_are_looked_at_when_an_owner_goes_or_never_was() {
    let mut graph = Graph::default();
    assert_eq!(
        upsert(&mut graph, &meta("dep", vec![reference("owner", false)], &[], false)),
        [delete("owner"), delete("dep")]
    );
    assert!(graph.node("owner").unwrap().virtual_);
    assert_eq!(upsert(&mut graph, &meta("owner", vec![], &[], false)), []);
    assert_eq!(graph.remove("owner"), [delete("dep")]);
    graph.remove("dep");
    assert!(graph.node("owner").is_none() && graph.dependents("owner").next().is_none());
}

#[test]
fn foreground_deletion_waits_for_blocking_dependents_only() {
    let mut graph = Graph::default();
    upsert(&mut graph, &meta("owner", vec![], &[], false));
    upsert(&mut graph, &meta("blocks", vec![reference("owner", true)], &[], false));
    upsert(&mut graph, &meta("free", vec![reference("owner", false)], &[], false));
    let work = upsert(&mut graph, &meta("owner", vec![], &[FOREGROUND], true));
    assert_eq!(work.len(), 3, "both dependents and the owner: {work:?}");
    assert_eq!(graph.blockers("owner").len(), 1);
    assert_eq!(graph.remove("blocks"), [delete("owner")]);
    assert!(graph.blockers("owner").is_empty());
}

#[test]
fn orphaning_is_work_of_its_own() {
    let mut graph = Graph::default();
    upsert(&mut graph, &meta("owner", vec![], &[], false));
    assert_eq!(upsert(&mut graph, &meta("owner", vec![], &[ORPHAN], true)), [Work::Orphan("owner".into())]);
}

#[test]
fn verdicts() {
    let live = |finalizers: &[&str]| meta("x", vec![], finalizers, false);
    let owners = |states: &[Owner]| -> Vec<_> {
        states.iter().enumerate().map(|(i, state)| (reference(&i.to_string(), true), *state)).collect()
    };
    let delete = |policy, unblock| Verdict::Delete { policy, unblock };
    use Owner::{Absent, Solid, Waiting};
    assert_eq!(verdict(&live(&[]), &owners(&[]), false, false), Verdict::Keep);
    assert_eq!(verdict(&live(&[]), &owners(&[Solid]), true, false), Verdict::Keep);
    assert_eq!(
        verdict(&live(&[]), &owners(&[Absent, Solid, Waiting]), true, false),
        Verdict::Rewrite(vec![reference("1", true)])
    );
    assert_eq!(
        verdict(&live(&[]), &owners(&[Absent]), true, false),
        delete(PropagationPolicy::Background, false)
    );
    assert_eq!(
        verdict(&live(&[ORPHAN]), &owners(&[Absent]), true, false),
        delete(PropagationPolicy::Orphan, false)
    );
    assert_eq!(
        verdict(&live(&[]), &owners(&[Waiting]), true, true),
        delete(PropagationPolicy::Foreground, true)
    );
    assert_eq!(
        verdict(&live(&[]), &owners(&[Waiting]), false, false),
        delete(PropagationPolicy::Background, false)
    );
}
