use std::sync::Arc;

use super::*;
use crate::cri::view::{ContainerView, SandboxView, State, TerminationMessage};

struct Probes(bool);

impl Probed for Probes {
    fn started(&self, _: &str, _: &str) -> bool {
        true
    }

    fn ready(&self, _: &str, _: &str) -> bool {
        self.0
    }
}

fn container(name: &str, attempt: u32, state: State, exit_code: i32) -> Arc<ContainerView> {
    Arc::new(ContainerView {
        id: format!("{name}{attempt}"),
        name: name.into(),
        attempt,
        sandbox: "s".into(),
        state,
        hash: String::new(),
        image: "i".into(),
        image_ref: "sha256:i".into(),
        created_at: None,
        started_at: None,
        finished_at: None,
        exit_code,
        reason: String::new(),
        message: String::new(),
        log_path: String::new(),
        termination_message: TerminationMessage::default(),
        grace: None,
    })
}

fn view(containers: Vec<Arc<ContainerView>>) -> PodView {
    let sandbox = SandboxView {
        id: "s".into(),
        attempt: 0,
        ready: true,
        ips: vec!["10.0.0.2".into()],
        host_network: false,
    };
    PodView { sandboxes: vec![sandbox], containers }
}

fn pod(spec: &str) -> Pod {
    serde_yaml::from_str(&format!("{{metadata: {{name: p, generation: 3}}, spec: {{{spec}}}}}")).unwrap()
}

fn status(pod: &Pod, view: &PodView, old: PodStatus, ready: bool, ended: bool) -> PodStatus {
    let waiting = HashMap::from([("w".to_owned(), ("CrashLoopBackOff".to_owned(), "back-off".to_owned()))]);
    let context = Context {
        old: &old,
        waiting: &waiting,
        probes: &Probes(ready),
        host_ips: &["192.0.2.1".into()],
        ended,
        verdict: None,
        now: Time(jiff::Timestamp::UNIX_EPOCH),
    };
    generate(pod, view, &context)
}

fn condition<'a>(status: &'a PodStatus, name: &str) -> (&'a str, &'a str) {
    let found = status.conditions.iter().flatten().find(|condition| condition.type_ == name).unwrap();
    (&found.status, found.reason.as_deref().unwrap_or_default())
}

#[test]
fn phases_follow_containers() {
    let always = "containers: [{name: a}]";
    let never = "restartPolicy: Never, containers: [{name: a}]";
    let init = "restartPolicy: Never, initContainers: [{name: i}], containers: [{name: a}]";
    for (spec, containers, ended, expected) in [
        (always, vec![], false, "Pending"),
        (always, vec![container("a", 0, State::Running, 0)], false, "Running"),
        (always, vec![container("a", 0, State::Exited, 1)], false, "Running"),
        (always, vec![container("a", 0, State::Exited, 137)], true, "Failed"),
        (never, vec![container("a", 0, State::Exited, 0)], false, "Succeeded"),
        (never, vec![container("a", 0, State::Exited, 2)], false, "Failed"),
        (init, vec![container("i", 0, State::Running, 0)], false, "Pending"),
        (init, vec![container("i", 0, State::Exited, 1)], false, "Failed"),
    ] {
        let status = status(&pod(spec), &view(containers), PodStatus::default(), true, ended);
        assert_eq!(status.phase.as_deref(), Some(expected), "{spec}");
    }
}

#[test]
fn a_crashing_container_waits_and_remembers_its_end() {
    let view = view(vec![container("w", 3, State::Exited, 1)]);
    let status = status(&pod("containers: [{name: w}]"), &view, PodStatus::default(), true, false);
    let container = &status.container_statuses.as_ref().unwrap()[0];
    let state = container.state.as_ref().unwrap();
    assert_eq!(state.waiting.as_ref().unwrap().reason.as_deref(), Some("CrashLoopBackOff"));
    assert_eq!(container.last_state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code, 1);
    assert_eq!((container.restart_count, status.phase.as_deref()), (3, Some("Running")));
}

#[test]
fn conditions_say_what_is_missing() {
    let view = view(vec![container("a", 0, State::Running, 0)]);
    let pod = pod("readinessGates: [{conditionType: x}], containers: [{name: a}]");
    let not_ready = status(&pod, &view, PodStatus::default(), false, false);
    assert_eq!(condition(&not_ready, "Ready"), ("False", "ContainersNotReady"));
    let gated = status(&pod, &view, PodStatus::default(), true, false);
    assert_eq!(condition(&gated, "ContainersReady"), ("True", ""));
    assert_eq!(condition(&gated, "Ready"), ("False", "ReadinessGatesNotReady"));
    let gate = PodCondition { type_: "x".into(), status: "True".into(), ..PodCondition::default() };
    let old = PodStatus { conditions: Some(vec![gate]), ..PodStatus::default() };
    let ready = status(&pod, &view, old, true, false);
    assert_eq!(condition(&ready, "Ready"), ("True", ""));
    assert_eq!((ready.pod_ip.as_deref(), ready.observed_generation), (Some("10.0.0.2"), Some(3)));
}

#[test]
fn init_containers_hold_back_the_others() {
    let pod = pod("initContainers: [{name: i}], containers: [{name: a}]");
    let status =
        status(&pod, &view(vec![container("i", 0, State::Running, 0)]), PodStatus::default(), true, false);
    let state = status.container_statuses.as_ref().unwrap()[0].state.clone().unwrap();
    assert_eq!(state.waiting.unwrap().reason.as_deref(), Some("PodInitializing"));
    assert_eq!(condition(&status, "Initialized"), ("False", "ContainersNotInitialized"));
}
