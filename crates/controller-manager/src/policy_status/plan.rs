//! Checking the expressions of a policy against the types of its resources.

use std::collections::BTreeSet;

use api_types::k8s::api::admissionregistration::v1::{
    ExpressionWarning, NamedRuleWithOperations, TypeChecking, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyStatus,
};
use api_types::resource;
use api_types::schema::{self, SchemaRef};
use expression::{Environment, Type, admission};

/// Policies about more types than this are checked against the first of them.
const MAX_TYPES: usize = 10;

/// Group, version and kind.
type Gvk = [String; 3];

/// The status that a policy should have, or `None` when this generation has been checked.
pub(super) fn status(policy: &ValidatingAdmissionPolicy) -> Option<ValidatingAdmissionPolicyStatus> {
    let generation = policy.metadata.generation;
    let before = policy.status.clone().unwrap_or_default();
    if before.observed_generation == generation && before.type_checking.is_some() {
        return None;
    }
    let warnings = warnings(policy);
    Some(ValidatingAdmissionPolicyStatus {
        observed_generation: generation,
        type_checking: Some(TypeChecking { expression_warnings: Some(warnings).filter(|w| !w.is_empty()) }),
        ..before
    })
}

fn warnings(policy: &ValidatingAdmissionPolicy) -> Vec<ExpressionWarning> {
    let Some(spec) = &policy.spec else { return Vec::new() };
    let rules = spec.match_constraints.as_ref().and_then(|m| m.resource_rules.as_deref()).unwrap_or_default();
    let environments: Vec<(Gvk, Environment)> =
        types(rules).into_iter().filter_map(|gvk| environment(policy, &gvk).map(|e| (gvk, e))).collect();
    let mut warnings = Vec::new();
    for (i, validation) in spec.validations.iter().flatten().enumerate() {
        let message = validation.message_expression.as_deref().unwrap_or_default();
        for (field, source) in
            [("expression", validation.expression.as_str()), ("messageExpression", message)]
        {
            if let Some(warning) = problems(&environments, source.trim()) {
                warnings
                    .push(ExpressionWarning { field_ref: format!("spec.validations[{i}].{field}"), warning });
            }
        }
    }
    warnings
}

/// What is wrong with an expression, type by type.
fn problems(environments: &[(Gvk, Environment)], source: &str) -> Option<String> {
    if source.is_empty() {
        return None;
    }
    let found: Vec<String> = environments
        .iter()
        .filter_map(|([group, version, kind], environment)| {
            let error = environment.compile(source).err()?;
            Some(format!("{group}/{version}, Kind={kind}: {error}\n"))
        })
        .collect();
    (!found.is_empty()).then(|| found.join("\n"))
}

/// The types that rules name without wildcards, in order.
fn types(rules: &[NamedRuleWithOperations]) -> BTreeSet<Gvk> {
    let mut found = BTreeSet::new();
    for rule in rules {
        let plain = |list: &Option<Vec<String>>| {
            let list = list.clone().unwrap_or_default();
            if list.iter().any(|entry| entry.contains('*')) { Vec::new() } else { list }
        };
        let (groups, versions) = (plain(&rule.api_groups), plain(&rule.api_versions));
        let resources = rule.resources.iter().flatten().filter(|name| !name.contains(['*', '/']));
        for plural in resources {
            for row in resource::builtin() {
                let named = row.plural == *plural
                    && groups.iter().any(|g| row.group == *g)
                    && versions.iter().any(|v| row.version == *v);
                if named {
                    found.insert([row.group.to_string(), row.version.to_string(), row.kind.to_string()]);
                }
                if found.len() == MAX_TYPES {
                    return found;
                }
            }
        }
    }
    found
}

/// What the policy's expressions see of an object of this type.
fn environment(policy: &ValidatingAdmissionPolicy, gvk: &Gvk) -> Option<Environment> {
    let spec = policy.spec.as_ref()?;
    let object = typed(&schema_of(gvk)?, &gvk[2]);
    let mut environment =
        admission::environment().clone().with("object", object.clone()).with("oldObject", object);
    if let Some(kind) = &spec.param_kind {
        let api_version = kind.api_version.as_deref().unwrap_or_default();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = [group, version, kind.kind.as_deref().unwrap_or_default()].map(str::to_owned);
        let params = schema_of(&gvk).map_or(Type::Dyn, |schema| typed(&schema, &gvk[2]));
        environment = environment.with("params", params);
    }
    let mut variables: Vec<(String, Type)> = Vec::new();
    for variable in spec.variables.iter().flatten() {
        let so_far =
            environment.clone().with("variables", Type::object("kubernetes.variables", variables.clone()));
        let found = so_far.compile(&variable.expression).map_or(Type::Dyn, |p| p.result_type().clone());
        variables.push((variable.name.clone(), found));
    }
    Some(environment.with("variables", Type::object("kubernetes.variables", variables)))
}

fn schema_of([group, version, kind]: &Gvk) -> Option<SchemaRef> {
    schema::by_gvk(group, version, kind)
}

fn typed(schema: &SchemaRef, name: &str) -> Type {
    Type::of_resource(schema, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(resources: &[&str], expression: &str) -> ValidatingAdmissionPolicy {
        let policy = serde_json::json!({
            "metadata": {"name": "p", "generation": 2},
            "spec": {
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": resources,
                }]},
                "variables": [{"name": "spec", "expression": "object.spec"}],
                "validations": [{"expression": expression}],
            },
        });
        serde_json::from_value(policy).unwrap()
    }

    #[test]
    fn expressions_are_checked_against_the_types_of_the_rules() {
        let cases: [(&[&str], &str, Option<&str>); 5] = [
            (&["deployments"], "object.spec.replicas > 1 && variables.spec.paused", None),
            (&["deployments"], "object.metadata.labels['a'] == 'b' && object.kind == 'Deployment'", None),
            (&["*"], "object.spec.nosuch", None),
            (
                &["deployments"],
                "variables.spec.nosuch > 1",
                Some(
                    "apps/v1, Kind=Deployment: ERROR: <input>:1:15: undefined field 'nosuch'\n | variables.spec.nosuch > 1\n | ..............^\n",
                ),
            ),
            (
                &["replicasets", "deployments"],
                "object.spec.replicas > 'a'",
                Some(
                    "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'\n | object.spec.replicas > 'a'\n | .....................^\n\napps/v1, Kind=ReplicaSet: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'\n | object.spec.replicas > 'a'\n | .....................^\n",
                ),
            ),
        ];
        for (resources, expression, expected) in cases {
            let status = status(&policy(resources, expression)).unwrap();
            let found = status.type_checking.unwrap().expression_warnings.unwrap_or_default();
            assert_eq!(found.first().map(|w| w.warning.as_str()), expected, "{expression}");
            assert_eq!(status.observed_generation, Some(2));
        }
    }
}
