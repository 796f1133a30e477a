use std::sync::Arc;

use super::*;
use crate::cri::view::{SandboxView, TerminationMessage};

fn container(name: &str, state: State, exit_code: i32) -> Arc<ContainerView> {
    Arc::new(ContainerView {
        id: name.into(),
        name: name.into(),
        attempt: 0,
        sandbox: "s".into(),
        state,
        hash: String::new(),
        image: String::new(),
        image_ref: String::new(),
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

fn view(ready: Option<bool>, containers: Vec<Arc<ContainerView>>) -> PodView {
    let sandbox = |ready| SandboxView {
        id: "s".into(),
        attempt: 0,
        ready,
        ips: vec!["10.0.0.2".into()],
        host_network: false,
    };
    PodView { sandboxes: ready.map(sandbox).into_iter().collect(), containers }
}

fn pod(spec: &str) -> Pod {
    serde_yaml::from_str(&format!("{{metadata: {{name: p}}, spec: {{{spec}}}}}")).unwrap()
}

/// One line per plan: `sandbox`, `kill-pod`, `-name` for a kill, `+name` for a start.
fn check(spec: &str, view: &PodView, failed: &[&str], expected: &str) {
    let failed: HashMap<String, String> =
        failed.iter().map(|id| ((*id).to_owned(), "liveness probe".to_owned())).collect();
    let plan = plan(&pod(spec), view, &Health { failed: &failed, started: &|_, _| true });
    let mut words = Vec::new();
    words.extend(plan.kill_pod.then(|| "kill-pod".to_owned()));
    words.extend(plan.create_sandbox.map(|attempt| format!("sandbox{attempt}")));
    words.extend(plan.kill.iter().map(|(target, _)| format!("-{}", target.name)));
    words.extend(plan.start.iter().map(|start| format!("+{}{}", start.container.name, start.attempt)));
    assert_eq!(words.join(" "), expected, "{spec}");
}

#[test]
fn sandboxes_come_first_and_are_replaced() {
    let spec = "containers: [{name: a}, {name: b}]";
    check(spec, &view(None, vec![]), &[], "sandbox0 +a0 +b0");
    check(spec, &view(Some(true), vec![]), &[], "+a0 +b0");
    let lost = view(Some(false), vec![container("a", State::Exited, 137)]);
    check(spec, &lost, &[], "kill-pod sandbox1 +a1 +b0");
    let never = "restartPolicy: Never, containers: [{name: a}]";
    check(never, &view(Some(false), vec![container("a", State::Exited, 0)]), &[], "kill-pod");
}

#[test]
fn init_containers_run_one_after_the_other() {
    let spec =
        "initContainers: [{name: i}, {name: s, restartPolicy: Always}, {name: j}], containers: [{name: a}]";
    let running = |name| container(name, State::Running, 0);
    let done = |name| container(name, State::Exited, 0);
    check(spec, &view(None, vec![]), &[], "sandbox0 +i0");
    check(spec, &view(Some(true), vec![running("i")]), &[], "");
    check(spec, &view(Some(true), vec![done("i")]), &[], "+s0");
    check(spec, &view(Some(true), vec![done("i"), running("s")]), &[], "+j0");
    check(spec, &view(Some(true), vec![done("i"), running("s"), done("j")]), &[], "+a0");
    let all = vec![done("i"), container("s", State::Exited, 1), done("j"), running("a")];
    check(spec, &view(Some(true), all), &[], "+s1");
}

#[test]
fn ended_containers_restart_by_policy() {
    let ended = |code| view(Some(true), vec![container("a", State::Exited, code)]);
    for (policy, code, expected) in
        [("Always", 0, "+a1"), ("OnFailure", 0, ""), ("OnFailure", 1, "+a1"), ("Never", 1, "")]
    {
        check(&format!("restartPolicy: {policy}, containers: [{{name: a}}]"), &ended(code), &[], expected);
    }
    let failed_init = view(Some(true), vec![container("i", State::Exited, 1)]);
    check(
        "restartPolicy: Never, initContainers: [{name: i}], containers: [{name: a}]",
        &failed_init,
        &[],
        "",
    );
}

#[test]
fn unhealthy_containers_are_replaced() {
    let running = view(Some(true), vec![container("a", State::Running, 0)]);
    check("containers: [{name: a}]", &running, &["a"], "-a +a1");
    check("restartPolicy: Never, containers: [{name: a}]", &running, &["a"], "-a");
    check("containers: [{name: a}]", &running, &[], "");
}
