//! Pods. The status column condenses phase, container states and conditions into one word.

use api_types::time;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::PrinterRow;
use super::sparse::Parts::{self, All, Only};
use super::view::{NONE, View, at, cells, is_true, or, seconds_between, text};

pub const PRINTERS: &[PrinterRow] = &[("", "pods", pod)];

/// All that is read below.
pub const PARTS: Parts = Only(&[
    (
        "metadata",
        Only(&[("creationTimestamp", All), ("deletionTimestamp", All), ("name", All), ("namespace", All)]),
    ),
    (
        "spec",
        Only(&[
            ("containers", Only(&[("name", All)])),
            ("initContainers", Only(&[("name", All), ("restartPolicy", All)])),
            ("nodeName", All),
            ("readinessGates", All),
        ]),
    ),
    ("status", All),
]);

/// Row conditions: a pod that has ended is marked as such, so that clients can leave it out.
pub fn conditions(view: &View<'_>) -> Option<Value> {
    let (reason, message) = match view.text("status.phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{ "type": "Completed", "status": "True", "reason": reason, "message": message }]))
}

fn pod(view: &View<'_>) -> Vec<Value> {
    let summary = Summary::of(view.object);
    let restarts = match summary.last_restart {
        Some(moment) if summary.restarts != 0 => {
            let ago = time::human_duration(seconds_between(moment, view.now));
            format!("{} ({ago} ago)", summary.restarts)
        }
        _ => summary.restarts.to_string(),
    };
    let first_ip = view.list("status.podIPs").first().map(|ip| text(ip, "ip"));
    let ip = or(first_ip.unwrap_or_default(), view.text_or("status.podIP", NONE));
    cells![
        view.name(),
        format!("{}/{}", summary.ready, summary.containers),
        summary.reason,
        restarts,
        view.age(),
        ip,
        view.text_or("spec.nodeName", NONE),
        view.text_or("status.nominatedNodeName", NONE),
        readiness_gates(view),
    ]
}

fn readiness_gates(view: &View<'_>) -> String {
    let gates = view.list("spec.readinessGates");
    let passed = gates.iter().filter(|gate| is_true(view.object, text(gate, "conditionType"))).count();
    if gates.is_empty() { NONE.to_owned() } else { format!("{passed}/{}", gates.len()) }
}

/// What the containers of a pod amount to.
struct Summary {
    ready: usize,
    containers: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
    reason: String,
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let view = View { object: pod, now: Timestamp::UNIX_EPOCH };
        let mut summary = Summary {
            ready: 0,
            containers: view.count("spec.containers"),
            restarts: 0,
            last_restart: None,
            reason: view.text_or("status.reason", view.text("status.phase")).to_owned(),
        };
        let is_gated = |condition: &&Value| {
            condition["type"] == "PodScheduled" && condition["reason"] == "SchedulingGated"
        };
        if view.list("status.conditions").iter().any(|condition| is_gated(&condition)) {
            summary.reason = "SchedulingGated".to_owned();
        }
        let initializing = summary.add_init_containers(&view);
        if !initializing || is_true(pod, "Initialized") {
            summary.add_containers(&view);
        }
        if view.is_deleted() {
            if view.text("status.reason") == "NodeLost" {
                summary.reason = "Unknown".to_owned();
            } else if !matches!(view.text("status.phase"), "Succeeded" | "Failed") {
                summary.reason = "Terminating".to_owned();
            }
        }
        summary
    }

    /// Whether the pod is still initializing. Restarts of ordinary init containers count only until it has ended.
    fn add_init_containers(&mut self, view: &View<'_>) -> bool {
        let specs = view.list("spec.initContainers");
        let is_sidecar = |name: &Value| {
            specs.iter().any(|spec| spec["name"] == *name && spec["restartPolicy"] == "Always")
        };
        self.containers += specs.iter().filter(|spec| spec["restartPolicy"] == "Always").count();
        let (mut sidecar_restarts, mut sidecar_last) = (0, None);
        for (index, status) in view.list("status.initContainerStatuses").iter().enumerate() {
            let restarts = status["restartCount"].as_i64().unwrap_or_default();
            self.restarts += restarts;
            self.last_restart = self.last_restart.max(last_end(status));
            let sidecar = is_sidecar(&status["name"]);
            if sidecar {
                sidecar_restarts += restarts;
                sidecar_last = sidecar_last.max(last_end(status));
            }
            let state = &status["state"];
            let ended = &state["terminated"];
            if ended.is_object() && ended["exitCode"].as_i64().unwrap_or_default() == 0 {
                continue;
            }
            if sidecar && status["started"] == true {
                self.ready += usize::from(status["ready"] == true);
                continue;
            }
            let waits_for = text(state, "waiting.reason");
            self.reason = if ended.is_object() {
                format!("Init:{}", end_reason(ended))
            } else if !matches!(waits_for, "" | "PodInitializing") {
                format!("Init:{waits_for}")
            } else {
                format!("Init:{index}/{}", specs.len())
            };
            return !self.forget_unless_initializing(view, sidecar_restarts, sidecar_last);
        }
        (self.restarts, self.last_restart) = (sidecar_restarts, sidecar_last);
        false
    }

    /// Whether the pod says that it is initialized although an init container is not done (a sidecar restarts).
    fn forget_unless_initializing(
        &mut self,
        view: &View<'_>,
        sidecar_restarts: i64,
        sidecar_last: Option<Timestamp>,
    ) -> bool {
        let initialized = is_true(view.object, "Initialized");
        if initialized {
            (self.restarts, self.last_restart) = (sidecar_restarts, sidecar_last);
        }
        initialized
    }

    fn add_containers(&mut self, view: &View<'_>) {
        let mut running = false;
        // The first container's reason wins: go from the last to the first.
        for status in view.list("status.containerStatuses").iter().rev() {
            self.restarts += status["restartCount"].as_i64().unwrap_or_default();
            self.last_restart = self.last_restart.max(last_end(status));
            let state = &status["state"];
            let waits_for = text(state, "waiting.reason");
            if !waits_for.is_empty() {
                self.reason = waits_for.to_owned();
            } else if state["terminated"].is_object() {
                self.reason = end_reason(&state["terminated"]);
            } else if status["ready"] == true && state["running"].is_object() {
                running = true;
                self.ready += 1;
            }
        }
        // One container has completed while another runs: the pod has not.
        if self.reason == "Completed" && running {
            let ready = is_true(view.object, "Ready");
            self.reason = if ready { "Running" } else { "NotReady" }.to_owned();
        }
    }
}

fn last_end(status: &Value) -> Option<Timestamp> {
    at(status, "lastState.terminated.finishedAt").as_str().and_then(time::parse)
}

fn end_reason(ended: &Value) -> String {
    match (text(ended, "reason"), ended["signal"].as_i64().unwrap_or_default()) {
        ("", 0) => format!("ExitCode:{}", ended["exitCode"].as_i64().unwrap_or_default()),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}
