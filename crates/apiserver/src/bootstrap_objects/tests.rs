use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::json;

use super::*;

/// An object store of a test: whole objects by path, and a count of writes.
#[derive(Default)]
struct Memory(Mutex<(BTreeMap<String, Value>, usize)>);

fn path(target: Target<'_>) -> String {
    format!("{}/{}/{}/{}", target.group, target.resource, target.namespace, target.name)
}

#[async_trait]
impl Objects for Memory {
    async fn get(&self, target: Target<'_>) -> Result<Option<Value>> {
        Ok(self.0.lock().0.get(&path(target)).cloned())
    }

    async fn create(&self, target: Target<'_>, object: Value) -> Result<Value> {
        self.update(target, object).await
    }

    async fn update(&self, target: Target<'_>, object: Value) -> Result<Value> {
        let mut state = self.0.lock();
        state.1 += 1;
        state.0.insert(path(target), object.clone());
        Ok(object)
    }

    async fn delete(&self, target: Target<'_>) -> Result<()> {
        self.0.lock().0.remove(&path(target));
        Ok(())
    }
}

#[tokio::test]
async fn every_object_is_made_once_and_then_left_alone() {
    let memory = Arc::new(Memory::default());
    let settings = Settings { service_cidrs: vec!["10.96.0.0/16".into()], ..Settings::default() };
    let reconciler = Reconciler::new(memory.clone(), &settings);
    let lines = [
        NAMESPACES,
        CLUSTER_ROLES,
        CLUSTER_ROLE_BINDINGS,
        ROLES,
        ROLE_BINDINGS,
        PRIORITY_CLASSES,
        PRIORITY_LEVELS,
        FLOW_SCHEMAS,
        API_SERVICES,
    ];
    let expected: usize = lines.iter().map(|file| file.lines().count()).sum::<usize>() + 3;
    for group in &reconciler.groups {
        reconciler.reconcile(&group.objects).await.unwrap();
    }
    let (stored, first) = {
        let state = memory.0.lock();
        (state.0.len(), state.1)
    };
    assert_eq!(stored, expected);
    for group in &reconciler.groups {
        reconciler.reconcile(&group.objects).await.unwrap();
    }
    assert_eq!(memory.0.lock().1, first, "a second run writes nothing");
    assert!(node_rules().len() > 10);
}

#[test]
fn what_exists_is_brought_up_to_date_without_losing_what_users_added() {
    let rule = |resource: &str| json!({"verbs": ["get"], "apiGroups": [""], "resources": [resource]});
    let auto = |value: &str| json!({"rbac.authorization.kubernetes.io/autoupdate": value});
    let subject = |name: &str| json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name});
    let role = |rules: Value| json!({"metadata": {"name": "r", "annotations": auto("true")}, "rules": rules});
    let binding = |role: &str, subjects: Value| json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": subjects});
    let cases = [
        (Policy::CreateOnly, role(json!([rule("a")])), role(json!([])), Action::Nothing),
        (
            Policy::Role,
            role(json!([rule("a"), rule("b")])),
            role(json!([rule("own"), rule("a")])),
            Action::Update(role(json!([rule("own"), rule("a"), rule("b")]))),
        ),
        (
            Policy::Role,
            role(json!([rule("a")])),
            json!({"metadata": {"annotations": auto("false")}, "rules": []}),
            Action::Nothing,
        ),
        (
            Policy::Role,
            role(json!([rule("a")])),
            role(json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}])),
            Action::Nothing,
        ),
        (
            Policy::Binding,
            binding("x", json!([subject("a")])),
            binding("x", json!([subject("own")])),
            Action::Update(binding("x", json!([subject("own"), subject("a")]))),
        ),
        (
            Policy::Binding,
            binding("x", json!([subject("a")])),
            binding("y", json!([subject("own")])),
            Action::Recreate(binding("x", json!([subject("a")]))),
        ),
        (
            Policy::FlowControl,
            json!({"metadata": {"name": "exempt"}, "spec": {"a": 1}}),
            json!({"metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": "false"}}, "spec": {"a": 2, "defaulted": 3}}),
            Action::Update(
                json!({"metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": "false"}}, "spec": {"a": 1, "defaulted": 3}}),
            ),
        ),
        (
            Policy::FlowControl,
            json!({"metadata": {"name": "other"}, "spec": {"a": 1}}),
            json!({"metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": "false"}}, "spec": {"a": 2}}),
            Action::Nothing,
        ),
        (
            Policy::Data,
            json!({"data": {"a": "1"}}),
            json!({"data": {"a": "0", "b": "2"}}),
            Action::Update(json!({"data": {"a": "1", "b": "2"}})),
        ),
    ];
    for (policy, desired, existing, action) in cases {
        assert_eq!(plan(policy, &desired, Some(&existing)), action, "{policy:?} {desired} over {existing}");
    }
}
