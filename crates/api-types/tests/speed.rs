//! How long the walks take over one large pod. Run with
//! `cargo test --release -p api-types --test speed -- --ignored --nocapture`.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use std::hint::black_box;
use std::time::Instant;

use api_types::{codec, decode, default, schema};
use serde_json::{Value, json};

/// A pod of about 7 KB of JSON.
fn pod() -> Value {
    let container = |index: usize| {
        json!({
            "name": format!("container-{index}"), "image": "registry.example.com/team/application:1.2.3",
            "command": ["/bin/app", "--listen=:8080", "--log-level=info"],
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "env": (0..8).map(|i| json!({"name": format!("VARIABLE_{i}"), "value": "some value of it"})).collect::<Vec<_>>(),
            "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "250m", "memory": "128Mi"}},
            "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "config", "mountPath": "/etc/config", "readOnly": true}],
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "initialDelaySeconds": 10,
                "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent",
            "securityContext": {"runAsUser": 1000, "runAsNonRoot": true},
        })
    };
    let status = |index: usize| {
        json!({"name": format!("container-{index}"), "ready": true, "started": true, "restartCount": 0,
            "state": {"running": {"startedAt": "2024-01-01T00:00:00Z"}}, "lastState": {},
            "image": "registry.example.com/team/application:1.2.3", "imageID": "sha256:0123456789abcdef0123456789abcdef",
            "containerID": "containerd://0123456789abcdef0123456789abcdef0123456789abcdef"})
    };
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": "2024-01-01T00:00:00Z"});
    let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-7d4b9c8f6d-abcde", "namespace": "default", "uid": "00000000-0000-0000-0000-000000000000",
            "resourceVersion": "12345", "creationTimestamp": "2024-01-01T00:00:00Z", "generateName": "web-7d4b9c8f6d-",
            "labels": {"app": "web", "pod-template-hash": "7d4b9c8f6d"}, "annotations": {"example.com/note": "text"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d4b9c8f6d", "uid": "u",
                "controller": true, "blockOwnerDeletion": true}],
            "managedFields": [{"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": "2024-01-01T00:00:00Z",
                "fieldsType": "FieldsV1", "subresource": "status", "fieldsV1": {"f:status": {"f:conditions": {}, "f:phase": {}}}}]},
        "spec": {"containers": (0..3).map(container).collect::<Vec<_>>(), "nodeName": "node-1", "restartPolicy": "Always",
            "volumes": [{"name": "data", "emptyDir": {}}, {"name": "config", "configMap": {"name": "config", "defaultMode": 420}}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
            "serviceAccountName": "default", "serviceAccount": "default", "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "enableServiceLinks": true, "securityContext": {}},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "hostIP": "192.168.0.1",
            "startTime": "2024-01-01T00:00:00Z", "qosClass": "Burstable",
            "conditions": conditions,
            "containerStatuses": (0..3).map(status).collect::<Vec<_>>()},
    })
}

fn time(what: &str, size: usize, mut work: impl FnMut()) {
    for _ in 0..200 {
        work();
    }
    let (rounds, start) = (2_000, Instant::now());
    for _ in 0..rounds {
        work();
    }
    println!("{what:<28} {:>8.1} µs   {size} bytes", start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds));
}

#[test]
#[ignore = "a measurement"]
fn walks_over_a_pod() {
    let node = schema::by_type("core/v1.Pod").unwrap();
    let text = serde_json::to_vec(&pod()).unwrap();
    let value = decode::strict(&node, &text).unwrap().value;
    let message = codec::encode(&node, &value).unwrap();
    time("serde_json text -> Value", text.len(), || {
        drop(black_box(serde_json::from_slice::<Value>(&text).unwrap()))
    });
    time("strict text -> Value", text.len(), || drop(black_box(decode::strict(&node, &text).unwrap())));
    time("Value clone", text.len(), || drop(black_box(value.clone())));
    time("normalize (with clone)", text.len(), || {
        drop(black_box(decode::normalize(&node, value.clone()).unwrap()))
    });
    let mut defaulted = value.clone();
    time("default", text.len(), || default::apply_schema(&node, black_box(&mut defaulted)));
    time("Value -> protobuf", message.len(), || drop(black_box(codec::encode(&node, &value).unwrap())));
    time("protobuf -> Value", message.len(), || drop(black_box(codec::decode(&node, &message).unwrap())));
    time("Value -> JSON text", text.len(), || drop(black_box(serde_json::to_vec(&value).unwrap())));
}
