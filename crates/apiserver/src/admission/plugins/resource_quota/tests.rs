use serde_json::json;

use super::super::testing::{Ask, World, create, dependencies, update};
use super::*;

fn quota(name: &str, hard: Value, used: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}})
}

fn used(world: &Arc<World>, name: &str) -> Value {
    world.0.lock()[&format!("/resourcequotas/ns/{name}")]["status"]["used"].clone()
}

async fn ask(world: &Arc<World>, ask: Ask) -> Result<(), String> {
    ask.put_to(&*make(&dependencies(world)), world).await.map(drop)
}

fn pod(requests: Value, limits: Value) -> Value {
    json!({"spec": {"containers": [{"name": "main", "resources": {"requests": requests, "limits": limits}}]}})
}

fn refused(resource: &str, why: &str) -> Result<(), String> {
    Err(format!("{resource} \"x\" is forbidden: {why}"))
}

#[tokio::test]
async fn pods_are_charged_until_the_quota_is_full() {
    let world = World::with(&[(
        "/resourcequotas/ns/q",
        quota(
            "q",
            json!({"requests.cpu": "500m", "limits.memory": "1Gi"}),
            json!({"requests.cpu": "0", "limits.memory": "0"}),
        ),
    )]);
    let of =
        |cpu: &str, memory: &str| create("", "pods", pod(json!({"cpu": cpu}), json!({"memory": memory})));
    let plain = ask(&world, create("", "pods", pod(json!({}), json!({})))).await;
    assert_eq!(
        plain,
        refused("pods", "failed quota: q: must specify limits.memory for: main; requests.cpu for: main")
    );
    assert_eq!(ask(&world, of("400m", "512Mi")).await, Ok(()));
    assert_eq!(used(&world, "q"), json!({"limits.memory": "512Mi", "requests.cpu": "400m"}));
    assert_eq!(
        ask(&world, of("400m", "768Mi")).await,
        refused(
            "pods",
            "exceeded quota: q, requested: limits.memory=768Mi,requests.cpu=400m, used: limits.memory=512Mi,requests.cpu=400m, limited: limits.memory=1Gi,requests.cpu=500m"
        )
    );
    let dry = Ask { dry_run: true, ..of("50m", "1Mi") };
    assert_eq!(ask(&world, dry).await, Ok(()));
    assert_eq!(used(&world, "q"), json!({"limits.memory": "512Mi", "requests.cpu": "400m"}));
    let resize = update(
        "",
        "pods",
        pod(json!({"cpu": "400m"}), json!({})),
        pod(json!({"cpu": "2"}), json!({"memory": "1Mi"})),
    );
    assert_eq!(
        ask(&world, resize.on("resize")).await,
        refused(
            "pods",
            "exceeded quota: q, requested: requests.cpu=1600m, used: requests.cpu=400m, limited: requests.cpu=500m"
        )
    );
}

#[tokio::test]
async fn objects_services_and_storage_are_counted() {
    let service =
        |kind: &str| create("", "services", json!({"spec": {"type": kind, "ports": [{"port": 80}]}}));
    let claim = |class: &str| {
        create(
            "",
            "persistentvolumeclaims",
            json!({"spec": {"storageClassName": class, "resources": {"requests": {"storage": "2Gi"}}}}),
        )
    };
    let hard = json!({"configmaps": "0", "count/deployments.apps": "1", "services.nodeports": "1", "services.loadbalancers": "0",
        "requests.storage": "3Gi", "gold.storageclass.storage.k8s.io/requests.storage": "1Gi"});
    let zero =
        hard.as_object().unwrap().keys().map(|k| (k.clone(), json!("0"))).collect::<serde_json::Map<_, _>>();
    let world = World::with(&[("/resourcequotas/ns/q", quota("q", hard, zero.into()))]);
    let cases = [
        (
            create("", "configmaps", json!({})),
            refused(
                "configmaps",
                "exceeded quota: q, requested: configmaps=1, used: configmaps=0, limited: configmaps=0",
            ),
        ),
        (create("", "secrets", json!({})), Ok(())),
        (create("apps", "deployments", json!({})), Ok(())),
        (
            create("apps", "deployments", json!({})),
            refused(
                "deployments.apps",
                "exceeded quota: q, requested: count/deployments.apps=1, used: count/deployments.apps=1, limited: count/deployments.apps=1",
            ),
        ),
        (service("ClusterIP"), Ok(())),
        (service("NodePort"), Ok(())),
        (
            service("LoadBalancer"),
            refused(
                "services",
                "exceeded quota: q, requested: services.loadbalancers=1,services.nodeports=1, used: services.loadbalancers=0,services.nodeports=1, limited: services.loadbalancers=0,services.nodeports=1",
            ),
        ),
        (
            claim("gold"),
            refused(
                "persistentvolumeclaims",
                "exceeded quota: q, requested: gold.storageclass.storage.k8s.io/requests.storage=2Gi, used: gold.storageclass.storage.k8s.io/requests.storage=0, limited: gold.storageclass.storage.k8s.io/requests.storage=1Gi",
            ),
        ),
        (claim(""), Ok(())),
        (
            claim(""),
            refused(
                "persistentvolumeclaims",
                "exceeded quota: q, requested: requests.storage=2Gi, used: requests.storage=2Gi, limited: requests.storage=3Gi",
            ),
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(ask(&world, request).await, expected);
    }
}

#[tokio::test]
async fn scopes_and_unknown_usage() {
    let scoped = |scope: Value| {
        let mut q = quota("q", json!({"pods": "0"}), json!({"pods": "0"}));
        q["spec"]["scopeSelector"] = json!({"matchExpressions": [scope]});
        World::with(&[("/resourcequotas/ns/q", q)])
    };
    let critical = json!({"scopeName": "PriorityClass", "operator": "In", "values": ["critical"]});
    let best_effort = json!({"scopeName": "BestEffort", "operator": "Exists"});
    let of = |class: &str| {
        create("", "pods", json!({"spec": {"priorityClassName": class, "containers": [{"name": "a"}]}}))
    };
    let full = refused("pods", "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0");
    assert_eq!(ask(&scoped(critical.clone()), of("usual")).await, Ok(()));
    assert_eq!(ask(&scoped(critical), of("critical")).await, full);
    assert_eq!(ask(&scoped(best_effort.clone()), of("")).await, full);
    assert_eq!(
        ask(&scoped(best_effort), create("", "pods", pod(json!({"cpu": "1"}), json!({})))).await,
        Ok(())
    );
    let unknown = World::with(&[("/resourcequotas/ns/q", quota("q", json!({"pods": "1"}), json!({})))]);
    assert_eq!(ask(&unknown, of("")).await, refused("pods", "status unknown for quota: q, resources: pods"));
}
