use std::collections::HashMap;

use api_types::k8s::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, ReplicaSet, ReplicaSetStatus, RollingUpdateDeployment,
};
use api_types::k8s::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use api_types::k8s::apimachinery::pkg::util::intstr::IntOrString;
use jiff::Timestamp;

use super::plan::{Action, Snapshot, Step, plan};
use super::sets::{self, replicas};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn template(image: &str) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some([("app".into(), "x".into())].into()),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            containers: vec![Container {
                name: "c".into(),
                image: Some(image.into()),
                ..Container::default()
            }],
            ..PodSpec::default()
        }),
    }
}

fn deployment(count: i32, image: &str, surge: i32, unavailable: i32) -> Deployment {
    Deployment {
        metadata: ObjectMeta {
            name: Some("web".into()),
            namespace: Some("default".into()),
            uid: Some("d".into()),
            generation: Some(1),
            ..ObjectMeta::default()
        },
        spec: Some(DeploymentSpec {
            replicas: Some(count),
            template: template(image),
            progress_deadline_seconds: Some(600),
            revision_history_limit: Some(1),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(surge)),
                    max_unavailable: Some(IntOrString::Int(unavailable)),
                }),
            }),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// Runs steps against sets that obey at once (`ready`: their pods become available) until nothing is left to do, checking the
/// fences after every step.
fn simulate(deployment: &mut Deployment, owned: &mut Vec<ReplicaSet>, ready: bool) -> Vec<String> {
    let mut log = Vec::new();
    for round in 0..50 {
        let snapshot =
            Snapshot { deployment: deployment.clone(), owned: owned.clone(), pods: HashMap::new() };
        let step: Step = plan(&snapshot, at(round));
        if step.actions.is_empty() {
            return log;
        }
        for action in step.actions {
            apply(deployment, owned, action, &mut log);
        }
        for set in owned.iter_mut() {
            let available = if ready { replicas(set) } else { 0 };
            set.status = Some(ReplicaSetStatus {
                replicas: replicas(set),
                ready_replicas: Some(available),
                available_replicas: Some(available),
                observed_generation: Some(1),
                terminating_replicas: Some(0),
                ..ReplicaSetStatus::default()
            });
        }
        let total: i32 = owned.iter().map(replicas).sum();
        assert!(
            total <= sets::max_total(deployment).max(sets::wanted(deployment)),
            "{total} pods after {log:?}"
        );
    }
    panic!("never settles: {log:?}");
}

fn apply(deployment: &mut Deployment, owned: &mut Vec<ReplicaSet>, action: Action, log: &mut Vec<String>) {
    match action {
        Action::Create(mut set) => {
            set.metadata.uid = set.metadata.name.clone();
            set.metadata.generation = Some(1);
            set.metadata.creation_timestamp = Some(Time(at(owned.len() as i64)));
            log.push(format!("+{}", replicas(&set)));
            owned.push(*set);
        }
        Action::Update { set, from } => {
            let known = owned.iter_mut().find(|known| known.metadata.name == set.metadata.name).unwrap();
            if let Some(from) = from {
                log.push(format!("{from}->{}", replicas(&set)));
            }
            let status = known.status.take();
            *known = *set;
            known.status = status;
        }
        Action::Delete(set) => {
            log.push("delete".into());
            owned.retain(|known| known.metadata.name != set.metadata.name);
        }
        Action::RollBack(changed, _, reason, _) => {
            log.push(reason.into());
            *deployment = *changed;
        }
        Action::Status(status, revision) => {
            deployment.status = Some(*status);
            if let Some(revision) = revision {
                deployment
                    .metadata
                    .annotations
                    .get_or_insert_default()
                    .insert(sets::REVISION.into(), revision);
            }
        }
    }
}

fn reason(deployment: &Deployment, kind: &str) -> String {
    let status = deployment.status.clone().unwrap();
    super::status::find(&status, kind).and_then(|condition| condition.reason.clone()).unwrap_or_default()
}

#[test]
fn rolls_within_the_fences_and_keeps_history() {
    let mut deployment = deployment(3, "v1", 1, 0);
    let mut owned = Vec::new();
    assert_eq!(simulate(&mut deployment, &mut owned, true), ["+3"]);
    assert_eq!(reason(&deployment, "Progressing"), "NewReplicaSetAvailable");
    for (image, revision) in [("v2", "2"), ("v3", "3")] {
        deployment.spec.as_mut().unwrap().template = template(image);
        let log = simulate(&mut deployment, &mut owned, true);
        assert_eq!(log[..6], ["+1", "3->2", "1->2", "2->1", "2->3", "1->0"], "{log:?}");
        assert_eq!(deployment.metadata.annotations.as_ref().unwrap()[sets::REVISION], revision);
    }
    assert_eq!(owned.len(), 2, "one old set is kept");
    // Back to v2: its set is found again and gets the next revision.
    deployment.spec.as_mut().unwrap().template = template("v2");
    simulate(&mut deployment, &mut owned, true);
    assert_eq!(owned.len(), 2);
    assert_eq!(deployment.metadata.annotations.as_ref().unwrap()[sets::REVISION], "4");
}

#[test]
fn a_stuck_rollout_times_out() {
    let mut deployment = deployment(2, "v1", 1, 0);
    let mut owned = Vec::new();
    simulate(&mut deployment, &mut owned, true);
    deployment.spec.as_mut().unwrap().template = template("broken");
    deployment.metadata.generation = Some(2);
    let snapshot = |deployment: &Deployment, owned: &[ReplicaSet]| Snapshot {
        deployment: deployment.clone(),
        owned: owned.to_vec(),
        pods: HashMap::new(),
    };
    for action in plan(&snapshot(&deployment, &owned), at(100)).actions {
        apply(&mut deployment, &mut owned, action, &mut Vec::new());
    }
    let waiting = plan(&snapshot(&deployment, &owned), at(101));
    assert_eq!(waiting.again_at, Some(at(701)));
    for action in plan(&snapshot(&deployment, &owned), at(701)).actions {
        apply(&mut deployment, &mut owned, action, &mut Vec::new());
    }
    assert_eq!(reason(&deployment, "Progressing"), "ProgressDeadlineExceeded");
}

#[test]
fn resizing_in_a_rollout_is_shared_out() {
    let mut deployment = deployment(10, "v1", 3, 2);
    let mut owned = Vec::new();
    simulate(&mut deployment, &mut owned, true);
    deployment.spec.as_mut().unwrap().template = template("v2");
    let step = |deployment: &mut Deployment, owned: &mut Vec<ReplicaSet>| {
        let snapshot =
            Snapshot { deployment: deployment.clone(), owned: owned.clone(), pods: HashMap::new() };
        for action in plan(&snapshot, at(100)).actions {
            apply(deployment, owned, action, &mut Vec::new());
        }
    };
    for _ in 0..5 {
        step(&mut deployment, &mut owned);
    }
    let sizes = |owned: &[ReplicaSet]| owned.iter().map(replicas).collect::<Vec<_>>();
    assert_eq!(sizes(&owned), [8, 5]);
    deployment.spec.as_mut().unwrap().replicas = Some(15);
    step(&mut deployment, &mut owned);
    assert_eq!(sizes(&owned), [11, 7]);
}

#[test]
fn recreate_waits_until_old_pods_are_gone() {
    let mut deployment = deployment(2, "v1", 0, 0);
    deployment.spec.as_mut().unwrap().strategy =
        Some(DeploymentStrategy { type_: Some("Recreate".into()), rolling_update: None });
    let mut owned = Vec::new();
    assert_eq!(simulate(&mut deployment, &mut owned, true), ["+2"]);
    deployment.spec.as_mut().unwrap().template = template("v2");
    assert_eq!(simulate(&mut deployment, &mut owned, true), ["2->0", "+2"]);
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut deployment = deployment(2, "v1", 1, 0);
    let mut owned = Vec::new();
    simulate(&mut deployment, &mut owned, true);
    let spec = deployment.spec.as_mut().unwrap();
    spec.paused = Some(true);
    spec.template = template("v2");
    spec.replicas = Some(3);
    assert_eq!(simulate(&mut deployment, &mut owned, true), ["2->3"]);
    assert_eq!(reason(&deployment, "Progressing"), "DeploymentPaused");
}
