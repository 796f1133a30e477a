//! Cells of objects, as tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::view::View;
use super::{builtin, created_at};

fn now() -> Timestamp {
    "2026-01-01T00:10:00Z".parse().expect("a time")
}

fn cells(group: &str, plural: &str, object: &Value) -> Value {
    let print = builtin(group, plural).unwrap_or(created_at);
    Value::Array(print(&View { object, now: now() }))
}

fn pod(spec: Value, status: Value) -> Value {
    json!({ "metadata": { "name": "p", "creationTimestamp": "2026-01-01T00:00:00Z" }, "spec": spec, "status": status })
}

#[test]
fn every_row_of_the_tables_has_a_cell_for_each_column() {
    for info in api_types::resource::builtin() {
        if info.columns.is_empty() {
            continue;
        }
        let hub = (info.group.as_ref(), info.plural.as_ref());
        // Events of both groups are stored as those of the core group.
        let hub = if hub.1 == "events" { ("", "events") } else { hub };
        let made = cells(hub.0, hub.1, &json!({ "metadata": { "name": "x" } }));
        // An IPAddress has one cell more than columns; see its printer.
        let extra = usize::from(hub.1 == "ipaddresses");
        assert_eq!(
            made.as_array().map(Vec::len),
            Some(info.columns.len() + extra),
            "{}",
            info.group_resource()
        );
    }
}

#[test]
fn status_of_a_pod() {
    let main = json!({ "containers": [{ "name": "main" }] });
    let two = json!({ "containers": [{ "name": "main" }, { "name": "b" }] });
    let init =
        json!({ "containers": [{ "name": "main" }], "initContainers": [{ "name": "a" }, { "name": "b" }] });
    let sidecar = json!({ "containers": [{ "name": "main" }], "initContainers": [{ "name": "s", "restartPolicy": "Always" }] });
    let running = json!({ "running": {} });
    let crash = json!({ "phase": "Running", "containerStatuses": [{
        "restartCount": 7, "state": { "waiting": { "reason": "CrashLoopBackOff" } },
        "lastState": { "terminated": { "finishedAt": "2026-01-01T00:08:00Z" } },
    }]});
    let one_done = json!({ "phase": "Running", "containerStatuses": [
        { "restartCount": 0, "state": { "terminated": { "exitCode": 0, "reason": "Completed" } } },
        { "restartCount": 1, "ready": true, "state": running },
    ]});
    let initializing = json!({ "phase": "Pending", "initContainerStatuses": [
        { "name": "a", "restartCount": 2, "state": { "terminated": { "exitCode": 0 } } },
        { "name": "b", "restartCount": 0, "state": running },
    ]});
    let init_failed = json!({ "phase": "Pending", "initContainerStatuses": [
        { "name": "a", "restartCount": 1, "state": { "terminated": { "exitCode": 3 } } },
    ]});
    let with_sidecar = json!({ "phase": "Running",
        "initContainerStatuses": [{ "name": "s", "restartCount": 1, "started": true, "ready": true, "state": running }],
        "containerStatuses": [{ "restartCount": 2, "ready": true, "state": running }],
    });
    let gated = json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled", "reason": "SchedulingGated" }] });
    let cases = [
        ("new", &main, json!({ "phase": "Pending" }), "0/1", "Pending", "0"),
        ("crash", &main, crash, "0/1", "CrashLoopBackOff", "7 (2m ago)"),
        ("one done", &two, one_done, "1/2", "NotReady", "1"),
        ("initializing", &init, initializing, "0/1", "Init:1/2", "2"),
        ("init failed", &init, init_failed, "0/1", "Init:ExitCode:3", "1"),
        ("sidecar", &sidecar, with_sidecar, "2/2", "Running", "3"),
        ("gated", &main, gated, "0/1", "SchedulingGated", "0"),
        ("evicted", &main, json!({ "phase": "Failed", "reason": "Evicted" }), "0/1", "Evicted", "0"),
    ];
    for (name, spec, status, ready, reason, restarts) in cases {
        let made = cells("", "pods", &pod(spec.clone(), status));
        assert_eq!(
            made,
            json!(["p", ready, reason, restarts, "10m", "<none>", "<none>", "<none>", "<none>"]),
            "{name}"
        );
    }
}

#[test]
fn deleted_pods_are_terminating_until_they_have_ended() {
    for (phase, reason) in [("Running", "Terminating"), ("Succeeded", "Succeeded")] {
        let mut object = pod(json!({}), json!({ "phase": phase }));
        object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        assert_eq!(cells("", "pods", &object)[2], reason);
    }
}

#[test]
fn external_addresses_of_a_service() {
    let balanced = json!({ "loadBalancer": { "ingress": [{ "hostname": "b" }, { "ip": "192.0.2.1" }] } });
    let cases = [
        (json!({ "type": "ClusterIP" }), json!({}), "<none>"),
        (json!({ "type": "NodePort", "externalIPs": ["192.0.2.7"] }), json!({}), "192.0.2.7"),
        (json!({ "type": "LoadBalancer" }), json!({}), "<pending>"),
        (json!({ "type": "LoadBalancer", "externalIPs": ["192.0.2.7"] }), balanced, "192.0.2.1,b,192.0.2.7"),
        (json!({ "type": "ExternalName", "externalName": "example.com" }), json!({}), "example.com"),
    ];
    for (spec, status, expected) in cases {
        let object = json!({ "metadata": { "name": "s" }, "spec": spec, "status": status });
        assert_eq!(cells("", "services", &object)[3], expected);
    }
}

#[test]
fn endpoints_are_cut_after_three() {
    let object = json!({ "subsets": [{
        "addresses": [{ "ip": "192.0.2.1" }, { "ip": "2001:db8::1" }], "ports": [{ "port": 80 }, { "port": 81 }],
    }]});
    let shown = &cells("", "endpoints", &object)[1];
    assert_eq!(shown, "192.0.2.1:80,[2001:db8::1]:80,192.0.2.1:81 + 1 more...");
}

#[test]
fn progress_of_a_job() {
    let cases = [
        (json!({ "completions": 4 }), "1/4"),
        (json!({ "parallelism": 3 }), "1/1 of 3"),
        (json!({ "parallelism": 1 }), "1/1"),
    ];
    for (spec, expected) in cases {
        let status = json!({ "succeeded": 1, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:01:30Z",
            "conditions": [{ "type": "Complete", "status": "True" }] });
        let made = cells("batch", "jobs", &json!({ "spec": spec, "status": status }));
        assert_eq!((&made[1], &made[2], &made[3]), (&json!("Complete"), &json!(expected), &json!("90s")));
    }
}

#[test]
fn kinds_without_columns_show_when_they_were_made() {
    let role = json!({ "metadata": { "name": "r", "creationTimestamp": "2026-01-01T00:00:00Z" } });
    assert_eq!(cells("rbac.authorization.k8s.io", "roles", &role), json!(["r", "2026-01-01T00:00:00Z"]));
}
