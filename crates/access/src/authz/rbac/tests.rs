use serde_json::json;

use super::*;
use crate::authz::Decision;

/// Roles and bindings as `(resource, namespace, name, body)`.
fn rbac(objects: &[(&str, &str, &str, serde_json::Value)]) -> Rbac {
    let rbac = Rbac::new();
    for (resource, namespace, name, body) in objects {
        rbac.upsert(resource, namespace, name, body.to_string().as_bytes()).unwrap();
    }
    rbac
}

fn role(rule: serde_json::Value) -> serde_json::Value {
    json!({"rules": [rule]})
}

fn binding(kind: &str, role: &str, subject: serde_json::Value) -> serde_json::Value {
    json!({"roleRef": {"apiGroup": GROUP, "kind": kind, "name": role}, "subjects": [subject]})
}

#[test]
fn rules_match_as_documented() {
    let rule = |v: serde_json::Value| serde_json::from_value::<PolicyRule>(v).unwrap();
    let user = UserInfo::new("u", [""; 0]);
    let pods = || Attributes::resource(&user, "get", "", "pods");
    let cases = [
        (json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}), pods(), true),
        (json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}), pods().of_subresource("log"), true),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}),
            pods().of_subresource("log"),
            false,
        ),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]}),
            pods().of_subresource("log"),
            true,
        ),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["*/log"]}),
            pods().of_subresource("log"),
            true,
        ),
        (json!({"verbs": ["get"], "apiGroups": [""], "resources": ["*/log"]}), pods(), false),
        (json!({"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}), pods(), false),
        (json!({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["pods"]}), pods(), false),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}),
            pods().named("a"),
            true,
        ),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}),
            pods(),
            false,
        ),
        (
            json!({"verbs": ["get"], "nonResourceURLs": ["/healthz/*"]}),
            Attributes::path(&user, "get", "/healthz/etcd"),
            true,
        ),
        (
            json!({"verbs": ["get"], "nonResourceURLs": ["/healthz"]}),
            Attributes::path(&user, "get", "/healthz/x"),
            false,
        ),
        (
            json!({"verbs": ["get"], "nonResourceURLs": ["*"], "resources": null}),
            Attributes::path(&user, "get", "/x"),
            true,
        ),
        (json!({"verbs": ["get"], "nonResourceURLs": ["*"]}), pods(), false),
    ];
    for (given, request, allowed) in cases {
        assert_eq!(rule(given.clone()).allows(&request), allowed, "{given} {request:?}");
    }
}

#[test]
fn subjects_scopes_and_reasons() {
    let read = role(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}));
    let rbac = rbac(&[
        ("clusterroles", "", "reader", read.clone()),
        ("roles", "a", "local", read),
        (
            "clusterrolebindings",
            "",
            "ops",
            binding("ClusterRole", "reader", json!({"kind": "Group", "name": "ops"})),
        ),
        ("rolebindings", "a", "b", binding("Role", "local", json!({"kind": "User", "name": "alice"}))),
        (
            "rolebindings",
            "a",
            "sa",
            binding("ClusterRole", "reader", json!({"kind": "ServiceAccount", "name": "bot"})),
        ),
    ]);
    let ask = |user: UserInfo, namespace: &str| {
        let verdict = rbac.authorize(&Attributes::resource(&user, "get", "", "pods").in_namespace(namespace));
        (verdict.decision, verdict.reason)
    };
    let none = [""; 0];
    let cases = [
        (
            UserInfo::new("x", ["ops"]),
            "",
            Some("RBAC: allowed by ClusterRoleBinding \"ops\" of ClusterRole \"reader\" to Group \"ops\""),
        ),
        (
            UserInfo::new("x", ["ops"]),
            "z",
            Some("RBAC: allowed by ClusterRoleBinding \"ops\" of ClusterRole \"reader\" to Group \"ops\""),
        ),
        (
            UserInfo::new("alice", none),
            "a",
            Some("RBAC: allowed by RoleBinding \"b/a\" of Role \"local\" to User \"alice\""),
        ),
        (UserInfo::new("alice", none), "b", None),
        (UserInfo::new("alice", none), "", None),
        (
            UserInfo::new("system:serviceaccount:a:bot", none),
            "a",
            Some(
                "RBAC: allowed by RoleBinding \"sa/a\" of ClusterRole \"reader\" to ServiceAccount \"bot/a\"",
            ),
        ),
        (UserInfo::new("system:serviceaccount:b:bot", none), "a", None),
    ];
    for (user, namespace, reason) in cases {
        let (decision, why) = ask(user.clone(), namespace);
        assert_eq!(decision == Decision::Allow, reason.is_some(), "{user:?} in {namespace:?}");
        assert_eq!(why, reason.unwrap_or_default());
    }
}

#[test]
fn changes_take_effect_at_once() {
    let read = role(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}));
    let rbac = rbac(&[(
        "clusterrolebindings",
        "",
        "b",
        binding("ClusterRole", "reader", json!({"kind": "User", "name": "alice"})),
    )]);
    let alice = UserInfo::new("alice", [""; 0]);
    let ask = || rbac.authorize(&Attributes::resource(&alice, "get", "", "pods"));
    assert_eq!(ask().reason, "RBAC: clusterrole.rbac.authorization.k8s.io \"reader\" not found");

    rbac.upsert("clusterroles", "", "reader", read.to_string().as_bytes()).unwrap();
    assert!(ask().allowed());

    let other = binding("ClusterRole", "reader", json!({"kind": "User", "name": "bob"}));
    rbac.upsert("clusterrolebindings", "", "b", other.to_string().as_bytes()).unwrap();
    assert!(!ask().allowed());

    let both = json!({"roleRef": {"kind": "ClusterRole", "name": "reader"}, "subjects": [
        {"kind": "User", "name": "alice"}, {"kind": "User", "name": "bob"}]});
    rbac.upsert("clusterrolebindings", "", "b", both.to_string().as_bytes()).unwrap();
    assert!(ask().allowed());
    assert!(rbac.upsert("clusterrolebindings", "", "b", b"{}").is_err());
    assert!(!ask().allowed(), "a binding that cannot be read grants nothing");
}

#[test]
fn what_was_deleted_unseen_grants_nothing() {
    let read = role(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}));
    let to = |name: &str| binding("ClusterRole", "reader", json!({"kind": "User", "name": name}));
    let rbac = rbac(&[
        ("clusterroles", "", "reader", read),
        ("clusterrolebindings", "", "kept", to("alice")),
        ("clusterrolebindings", "", "gone", to("bob")),
        ("rolebindings", "ns", "gone", to("carol")),
    ]);
    let allowed = |name: &str| {
        let user = UserInfo::new(name, [""; 0]);
        rbac.authorize(&Attributes::resource(&user, "get", "", "pods").in_namespace("ns")).allowed()
    };
    assert!(["alice", "bob", "carol"].into_iter().all(allowed));
    rbac.retain("clusterrolebindings", &HashSet::from([(String::new(), "kept".to_owned())]));
    rbac.retain("rolebindings", &HashSet::new());
    assert_eq!(["alice", "bob", "carol"].map(allowed), [true, false, false]);
}
