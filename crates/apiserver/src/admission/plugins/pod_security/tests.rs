use serde_json::json;

use super::super::testing::{World, create, update};
use super::*;

fn world(labels: Value) -> Arc<World> {
    World::with(&[("/namespaces//ns", json!({"metadata": {"labels": labels}}))])
}

fn pod(spec: Value, container: Value) -> Value {
    let mut main = json!({"name": "main"});
    main.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
    let mut pod = json!({"containers": [main]});
    pod.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"metadata": {"name": "x"}, "spec": pod})
}

/// A container that level restricted admits.
fn good() -> Value {
    json!({"allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}})
}

#[tokio::test]
async fn levels_and_versions() {
    let context = |context: Value| json!({"securityContext": context});
    let with = |extra: Value| {
        let mut all = good();
        all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        context(all)
    };
    let none = json!({});
    let cases = [
        ("privileged", "", pod(json!({"hostNetwork": true}), none.clone()), ""),
        ("baseline", "", pod(none.clone(), none.clone()), ""),
        (
            "baseline",
            "",
            pod(none.clone(), context(json!({"privileged": true}))),
            "privileged (container \"main\" must not set securityContext.privileged=true)",
        ),
        (
            "baseline",
            "",
            pod(
                json!({"hostNetwork": true, "hostPID": true, "volumes": [{"name": "h", "hostPath": {}}]}),
                context(json!({"privileged": true})),
            ),
            "host namespaces (hostNetwork=true, hostPID=true), hostPath volumes (volume \"h\"), privileged (container \"main\" must not set securityContext.privileged=true)",
        ),
        (
            "baseline",
            "",
            pod(none.clone(), json!({"ports": [{"hostPort": 80}, {"hostPort": 81}]})),
            "hostPort (container \"main\" uses hostPorts 80, 81)",
        ),
        (
            "baseline",
            "",
            pod(context(json!({"seccompProfile": {"type": "Unconfined"}})), none.clone()),
            "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            "baseline",
            "",
            pod(none.clone(), context(json!({"appArmorProfile": {"type": "Unconfined"}}))),
            "forbidden AppArmor profile (container \"main\" must not set AppArmor profile type to \"Unconfined\")",
        ),
        (
            "baseline",
            "v1.25",
            pod(context(json!({"sysctls": [{"name": "net.ipv4.tcp_keepalive_time"}]})), none.clone()),
            "forbidden sysctls (net.ipv4.tcp_keepalive_time)",
        ),
        (
            "baseline",
            "v1.30",
            pod(context(json!({"sysctls": [{"name": "net.ipv4.tcp_keepalive_time"}]})), none.clone()),
            "",
        ),
        (
            "baseline",
            "",
            pod(none.clone(), context(json!({"capabilities": {"add": ["NET_RAW", "CHOWN"]}}))),
            "non-default capabilities (container \"main\" must not include \"NET_RAW\" in securityContext.capabilities.add)",
        ),
        (
            "baseline",
            "",
            pod(none.clone(), context(json!({"procMount": "Unmasked"}))),
            "procMount (container \"main\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        ("restricted", "", pod(none.clone(), context(good())), ""),
        (
            "restricted",
            "",
            pod(none.clone(), none.clone()),
            "allowPrivilegeEscalation != false (container \"main\" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"main\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"main\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container \"main\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
        ),
        (
            "restricted",
            "v1.18",
            pod(none.clone(), none.clone()),
            "allowPrivilegeEscalation != false (container \"main\" must set securityContext.allowPrivilegeEscalation=false), runAsNonRoot != true (pod or container \"main\" must set securityContext.runAsNonRoot=true)",
        ),
        (
            "restricted",
            "",
            pod(context(json!({"runAsUser": 0})), context(good())),
            "runAsUser=0 (pod must not set runAsUser=0)",
        ),
        (
            "restricted",
            "",
            pod(json!({"volumes": [{"name": "n", "nfs": {}}]}), context(good())),
            "restricted volume types (volume \"n\" uses restricted volume type \"nfs\")",
        ),
        (
            "restricted",
            "",
            pod(
                none.clone(),
                with(json!({"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CHOWN"]}})),
            ),
            "unrestricted capabilities (container \"main\" must not include \"CHOWN\" in securityContext.capabilities.add)",
        ),
    ];
    for (level, version, pod, violations) in cases {
        let mut labels = json!({"pod-security.kubernetes.io/enforce": level});
        if !version.is_empty() {
            labels["pod-security.kubernetes.io/enforce-version"] = version.into();
        }
        let shown = if version.is_empty() { "latest" } else { version };
        let expected = match violations {
            "" => Ok(()),
            violations => Err(format!(
                "pods \"x\" is forbidden: violates PodSecurity \"{level}:{shown}\": {violations}"
            )),
        };
        let got = create("", "pods", pod.clone()).put_to(&PodSecurity, &world(labels)).await.map(drop);
        assert_eq!(got, expected, "{level} {version} {pod}");
    }
}

#[tokio::test]
async fn warnings_also_for_templates() {
    let world = world(json!({"pod-security.kubernetes.io/warn": "baseline"}));
    let bad = pod(json!({"hostNetwork": true}), json!({}));
    let expected =
        vec!["would violate PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)".to_owned()];
    let answer = create("", "pods", bad.clone()).put_to(&PodSecurity, &world).await.unwrap();
    assert_eq!(answer.warnings, expected);
    let deployment = create("apps", "deployments", json!({"spec": {"template": bad}}));
    assert_eq!(deployment.put_to(&PodSecurity, &world).await.unwrap().warnings, expected);
}

#[tokio::test]
async fn namespaces() {
    let labelled = |level: &str| json!({"metadata": {"name": "ns", "labels": {"pod-security.kubernetes.io/enforce": level}}});
    let world = World::with(&[("/pods/ns/p", pod(json!({"hostNetwork": true}), json!({})))]);
    let change = |level: &str| update("", "namespaces", json!({}), labelled(level)).named("ns");
    let refused = change("strict").put_to(&PodSecurity, &world).await.map(drop).unwrap_err();
    assert_eq!(
        refused,
        "Namespace \"ns\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted"
    );
    let warnings = change("baseline").put_to(&PodSecurity, &world).await.unwrap().warnings;
    assert_eq!(
        warnings,
        [
            "existing pods in namespace \"ns\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "x: host namespaces"
        ]
    );
}
