use serde_json::json;

use super::super::testing::{World, create};
use super::*;

async fn pod(limit: Value, spec: Value) -> Result<Value, String> {
    let world = World::with(&[("/limitranges/ns/lr", json!({"spec": {"limits": [limit]}}))]);
    create("", "pods", json!({"metadata": {}, "spec": spec}))
        .put_to(&LimitRanger, &world)
        .await
        .map(|a| a.object)
}

fn one(resources: Value) -> Value {
    json!({"containers": [{"name": "main", "resources": resources}]})
}

#[tokio::test]
async fn defaults_are_set_and_recorded() {
    let limit = json!({"type": "Container", "default": {"cpu": "500m", "memory": "128Mi"}, "defaultRequest": {"cpu": "100m", "memory": "128Mi"}});
    let spec = json!({"containers": [{"name": "main"}], "initContainers": [{"name": "i", "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "2"}}}]});
    let answer = pod(limit, spec).await.unwrap();
    assert_eq!(
        answer["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "500m", "memory": "128Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}})
    );
    assert_eq!(
        answer["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu, memory request for container main; cpu, memory limit for container main; memory request for init container i; memory limit for init container i"
    );
}

#[tokio::test]
async fn bounds() {
    let container = json!({"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "1", "memory": "1Gi"}, "maxLimitRequestRatio": {"cpu": "2"}});
    let whole = json!({"type": "Pod", "min": {"cpu": "200m"}, "max": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "3"}});
    let both = |request: &str, limit: &str| json!({"requests": {"cpu": request, "memory": "1Mi"}, "limits": {"cpu": limit, "memory": "1Mi"}});
    let over = json!({"requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}});
    let two = json!({"containers": [{"name": "a", "resources": both("600m", "600m")}, {"name": "b", "resources": both("600m", "600m")}]});
    let cases = [
        (&container, one(both("1", "1")), Ok(())),
        (
            &container,
            one(over),
            Err(
                "[maximum cpu usage per Container is 1, but limit is 2, maximum memory usage per Container is 1Gi, but limit is 2Gi]",
            ),
        ),
        (
            &container,
            one(both("50m", "50m")),
            Err("minimum cpu usage per Container is 100m, but request is 50m"),
        ),
        (
            &container,
            one(both("200m", "900m")),
            Err("cpu max limit to request ratio per Container is 2, but provided ratio is 4.500000"),
        ),
        (
            &whole,
            one(json!({})),
            Err(
                "[minimum cpu usage per Pod is 200m.  No request is specified, maximum cpu usage per Pod is 1.  No limit is specified, cpu max limit to request ratio per Pod is 3, but no request is specified or request is 0]",
            ),
        ),
        (&whole, two, Err("maximum cpu usage per Pod is 1, but limit is 1200m")),
    ];
    for (limit, spec, expected) in cases {
        let got = pod(limit.clone(), spec.clone()).await.map(drop);
        assert_eq!(got, expected.map_err(|why| format!("pods \"x\" is forbidden: {why}")), "{spec}");
    }
}
