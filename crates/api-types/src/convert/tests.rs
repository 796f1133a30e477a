use serde_json::{Value, json};

use super::*;
use crate::resource;

fn both(group: &str, version: &str, other: (&str, &str), plural: &str, value: &Value, want: &Value) {
    let from = resource::find(group, version, plural).unwrap();
    let to = resource::find(other.0, other.1, plural).unwrap();
    let there = convert(&from, &to, value.clone()).unwrap();
    assert_eq!(&there, want);
    assert_eq!(&convert(&to, &from, there).unwrap(), value);
}

#[test]
fn events_keep_everything() {
    let core = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p"},
        "reason": "R", "message": "m", "source": {"component": "c"}, "firstTimestamp": "2020-01-01T00:00:00Z",
        "lastTimestamp": null, "count": 3, "type": "Normal", "eventTime": null, "reportingComponent": "rc",
        "reportingInstance": "ri", "action": "A",
    });
    let events = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "regarding": {"kind": "Pod", "name": "p"},
        "reason": "R", "note": "m", "deprecatedSource": {"component": "c"}, "deprecatedFirstTimestamp": "2020-01-01T00:00:00Z",
        "deprecatedLastTimestamp": null, "deprecatedCount": 3, "type": "Normal", "eventTime": null,
        "reportingController": "rc", "reportingInstance": "ri", "action": "A",
    });
    both("", "v1", ("events.k8s.io", "v1"), "events", &core, &events);
}

#[test]
fn autoscalers_keep_what_v1_does_not_know_in_annotations() {
    let v2 = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "d"}, "minReplicas": 1, "maxReplicas": 5,
            "metrics": [
                {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "200Mi"}}},
                {"type": "Pods", "pods": {"metric": {"name": "rps", "selector": {"matchLabels": {"a": "b"}}},
                    "target": {"type": "AverageValue", "averageValue": "100"}}},
                {"type": "Object", "object": {"describedObject": {"kind": "Ingress", "name": "i"}, "metric": {"name": "hits"},
                    "target": {"type": "Value", "value": "2k"}}},
                {"type": "External", "external": {"metric": {"name": "queue"},
                    "target": {"type": "AverageValue", "averageValue": "30"}}},
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}},
            ],
            "behavior": {"scaleUp": {"stabilizationWindowSeconds": 10, "selectPolicy": "Min", "tolerance": "50m",
                "policies": [{"type": "Pods", "value": 2, "periodSeconds": 30}]}},
        },
        "status": {"desiredReplicas": 0, "currentMetrics": null},
    });
    let from = resource::find("autoscaling", "v2", "horizontalpodautoscalers").unwrap();
    let to = resource::find("autoscaling", "v1", "horizontalpodautoscalers").unwrap();
    let v1 = convert(&from, &to, v2.clone()).unwrap();
    assert_eq!(v1["spec"]["targetCPUUtilizationPercentage"], 60);
    assert_eq!(
        v1["metadata"]["annotations"],
        json!({
            "autoscaling.alpha.kubernetes.io/behavior": r#"{"ScaleUp":{"StabilizationWindowSeconds":10,"SelectPolicy":"Min","Policies":[{"Type":"Pods","Value":2,"PeriodSeconds":30}],"Tolerance":"50m"},"ScaleDown":null}"#,
            "autoscaling.alpha.kubernetes.io/metrics": r#"[{"type":"Resource","resource":{"name":"memory","targetAverageValue":"200Mi"}},{"type":"Pods","pods":{"metricName":"rps","targetAverageValue":"100","selector":{"matchLabels":{"a":"b"}}}},{"type":"Object","object":{"target":{"kind":"Ingress","name":"i"},"metricName":"hits","targetValue":"2k"}},{"type":"External","external":{"metricName":"queue","targetAverageValue":"30"}}]"#,
        })
    );
    assert_eq!(convert(&to, &from, v1).unwrap(), v2);
}

#[test]
fn device_requests_become_flat_and_back() {
    let v1 = json!({
        "metadata": {"name": "c"}, "status": {},
        "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}}]}},
    });
    let v1beta1 = json!({
        "metadata": {"name": "c"}, "status": {},
        "spec": {"devices": {"requests": [{"name": "r", "deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}]}},
    });
    both("resource.k8s.io", "v1", ("resource.k8s.io", "v1beta1"), "resourceclaims", &v1, &v1beta1);
    let slice = json!({"metadata": {"name": "s"}, "spec": {"driver": "d", "pool": {"name": "p", "generation": 1,
        "resourceSliceCount": 1}, "nodeName": "n", "devices": [{"name": "x", "attributes": {"a": {"int": 1}}}]}});
    let old = json!({"metadata": {"name": "s"}, "spec": {"driver": "d", "pool": {"name": "p", "generation": 1,
        "resourceSliceCount": 1}, "nodeName": "n", "devices": [{"name": "x", "basic": {"attributes": {"a": {"int": 1}}}}]}});
    both("resource.k8s.io", "v1", ("resource.k8s.io", "v1beta1"), "resourceslices", &slice, &old);
}

#[test]
fn other_kinds_are_refused() {
    let pods = resource::find("", "v1", "pods").unwrap();
    let nodes = resource::find("", "v1", "nodes").unwrap();
    assert!(convert(&pods, &nodes, json!({})).is_err());
}
