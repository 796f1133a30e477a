//! Warnings about pods and pod templates.

use std::collections::HashMap;

use api_types::quantity::Quantity;
use serde_json::Value;

use super::{OLD_NODE_LABELS, claim_spec, old_label};
use crate::registry::meta;

/// Annotations that have become fields.
const OLD_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];
const POD_SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const CONTAINER_SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";
const CONTAINER_APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_FIELD: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
const NULL_SELECTOR: &str = "a null labelSelector results in matching no pod";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Volume sources that are no longer worked on, in the order in which they are told.
const OLD_VOLUMES: [(&str, &str, &str); 7] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
];

/// A pod. `prefix` is the path of a template, "" for a pod itself.
pub(super) fn pod(owner: &Value, prefix: &str) -> Vec<String> {
    let mut told = Vec::new();
    let at = |path: &str| if prefix.is_empty() { path.to_owned() } else { format!("{prefix}.{path}") };
    let (spec, path) = (&owner["spec"], at("spec"));
    let annotations = meta::field(owner, "annotations").unwrap_or(&Value::Null);
    scheduling(&mut told, spec, &path);
    for (key, why) in OLD_ANNOTATIONS.iter().filter(|(key, _)| annotations.get(key).is_some()) {
        told.push(format!("{}[{key}]: {why}", at("metadata.annotations")));
    }
    volumes(&mut told, spec, &format!("{path}.volumes"));
    references(&mut told, spec, &path);
    for resource in ["memory", "ephemeral-storage"] {
        told.extend(fraction(&spec["overhead"][resource], &format!("{path}.overhead[{resource}]")));
    }
    if spec["securityContext"]["seccompProfile"].is_null() && annotations.get(POD_SECCOMP).is_some() {
        told.push(format!("{}[{POD_SECCOMP}]: {SECCOMP_FIELD}", at("metadata.annotations")));
    }
    for (container, place) in containers(spec, &path) {
        container_annotations(&mut told, spec, container, annotations, &at("metadata.annotations"), prefix);
        container_resources(&mut told, container, &place);
        environment(&mut told, container, &place);
    }
    ports(&mut told, spec, &path);
    if spec["terminationGracePeriodSeconds"].as_i64().is_some_and(|secs| secs < 0) {
        told.push(format!(
            "{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
    affinity(&mut told, spec, &path);
    told
}

fn list<'v>(owner: &'v Value, key: &str) -> &'v [Value] {
    owner[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'v>(owner: &'v Value, key: &str) -> &'v str {
    owner[key].as_str().unwrap_or_default()
}

/// All containers with their paths, those that start first in front.
fn containers<'v>(spec: &'v Value, path: &str) -> Vec<(&'v Value, String)> {
    let mut all = Vec::new();
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        all.extend(list(spec, kind).iter().enumerate().map(|(i, c)| (c, format!("{path}.{kind}[{i}]"))));
    }
    all
}

fn scheduling(told: &mut Vec<String>, spec: &Value, path: &str) {
    for (label, why) in OLD_NODE_LABELS.iter().filter(|(label, _)| spec["nodeSelector"].get(label).is_some())
    {
        told.push(format!("{path}.nodeSelector[{label}]: {why}"));
    }
    let node = &spec["affinity"]["nodeAffinity"];
    let place = format!("{path}.affinity.nodeAffinity");
    for (i, term) in list(&node[REQUIRED], "nodeSelectorTerms").iter().enumerate() {
        super::node_term(told, term, &format!("{place}.{REQUIRED}.nodeSelectorTerms[{i}]"));
    }
    for (i, term) in list(node, PREFERRED).iter().enumerate() {
        super::node_term(told, &term["preference"], &format!("{place}.{PREFERRED}[{i}].preference"));
    }
    for (i, constraint) in list(spec, "topologySpreadConstraints").iter().enumerate() {
        let place = format!("{path}.topologySpreadConstraints[{i}]");
        let key = text(constraint, "topologyKey");
        if let Some(why) = old_label(key) {
            told.push(format!("{place}.topologyKey: {key} is {why}"));
        }
        if constraint["labelSelector"].is_null() {
            told.push(format!("{place}.labelSelector: {NULL_SELECTOR}"));
        }
    }
}

fn volumes(told: &mut Vec<String>, spec: &Value, path: &str) {
    let volumes = list(spec, "volumes");
    for (i, volume) in volumes.iter().enumerate() {
        for (_, shown, why) in OLD_VOLUMES.iter().filter(|(kind, ..)| !volume[*kind].is_null()) {
            told.push(format!("{path}[{i}].{shown}: {why}"));
        }
        let template = &volume["ephemeral"]["volumeClaimTemplate"];
        if !template.is_null() {
            let place = format!("{path}[{i}].ephemeral.volumeClaimTemplate.spec");
            told.extend(claim_spec(&template["spec"], &place));
        }
        for kind in ["cephfs", "rbd"].iter().filter(|kind| !volume[**kind].is_null()) {
            told.push(format!("{path}[{i}].{kind}: deprecated in v1.28, non-functional in v1.31+"));
        }
    }
    token_paths(told, volumes, path);
}

/// Files that a service account token hides.
fn token_paths(told: &mut Vec<String>, volumes: &[Value], path: &str) {
    let sources = |volume: &Value| list(&volume["projected"], "sources").to_vec();
    let tokens: Vec<String> = volumes
        .iter()
        .flat_map(sources)
        .filter_map(|source| source["serviceAccountToken"]["path"].as_str().map(str::to_owned))
        .collect();
    if tokens.is_empty() {
        return;
    }
    let mut hidden = |file: &str, place: String| {
        if tokens.iter().any(|token| token == file) {
            told.push(format!("{place}: has duplicated path with ServiceAccountToken {file:?}"));
        }
    };
    for (i, volume) in volumes.iter().enumerate() {
        let place = format!("{path}[{i}].projected.sources");
        for source in sources(volume) {
            for (kind, shown) in
                [("configMap", "configMap"), ("secret", "secrets"), ("downwardAPI", "downwardAPI")]
            {
                for (j, item) in list(&source[kind], "items").iter().enumerate() {
                    hidden(text(item, "path"), format!("{place}.{shown}[{j}]"));
                }
            }
            if let Some(file) = source["clusterTrustBundle"]["path"].as_str() {
                hidden(file, format!("{place}.ClusterTrustBundle"));
            }
        }
    }
}

fn references(told: &mut Vec<String>, spec: &Value, path: &str) {
    for (key, field) in [("hostAliases", "ip"), ("imagePullSecrets", "name")] {
        let all = list(spec, key);
        for (i, one) in all.iter().enumerate() {
            let value = text(one, field);
            if all[..i].iter().any(|before| text(before, field) == value) {
                told.push(format!("{path}.{key}[{i}].{field}: duplicate {field} {value:?}"));
            }
        }
    }
    for (i, _) in list(spec, "imagePullSecrets")
        .iter()
        .enumerate()
        .filter(|(_, secret)| text(secret, "name").is_empty())
    {
        told.push(format!("{path}.imagePullSecrets[{i}].name: invalid empty name \"\""));
    }
}

fn container_annotations(
    told: &mut Vec<String>,
    spec: &Value,
    container: &Value,
    annotations: &Value,
    place: &str,
    prefix: &str,
) {
    let name = text(container, "name");
    let context = &container["securityContext"];
    let key = format!("{CONTAINER_SECCOMP}{name}");
    if context["seccompProfile"].is_null() && annotations.get(&key).is_some() {
        told.push(format!("{place}[{key}]: {SECCOMP_FIELD}"));
    }
    let key = format!("{CONTAINER_APPARMOR}{name}");
    let has_profile =
        !spec["securityContext"]["appArmorProfile"].is_null() || !context["appArmorProfile"].is_null();
    if !prefix.is_empty() && !has_profile && annotations.get(&key).is_some() {
        told.push(format!(
            "{place}[{key}]: deprecated since v1.30; use the \"appArmorProfile\" field instead"
        ));
    }
}

fn container_resources(told: &mut Vec<String>, container: &Value, path: &str) {
    for resource in ["memory", "ephemeral-storage"] {
        for list in ["limits", "requests"] {
            let place = format!("{path}.resources.{list}[{resource}]");
            told.extend(fraction(&container["resources"][list][resource], &place));
        }
    }
}

/// Bytes cannot be divided: `100m` of memory was meant to be `100M`.
pub(super) fn fraction(quantity: &Value, place: &str) -> Option<String> {
    let parsed: Quantity = quantity.as_str()?.parse().ok()?;
    let text = parsed.to_string();
    (!parsed.is_integer())
        .then(|| format!("{place}: fractional byte value {text:?} is invalid, must be an integer"))
}

/// A variable that is defined twice is kept twice, unless the second one is made from the first.
fn environment(told: &mut Vec<String>, container: &Value, path: &str) {
    let variables = list(container, "env");
    for (i, variable) in variables.iter().enumerate() {
        let name = text(variable, "name");
        if !variables[..i].iter().any(|before| text(before, "name") == name) {
            continue;
        }
        let (value, reference) = (text(variable, "value"), format!("$({name})"));
        if !variable["valueFrom"].is_null() || value == reference || !value.contains(&reference) {
            told.push(format!(
                "{path}.env[{i}]: hides previous definition of {name:?}, which may be dropped when using apply"
            ));
        }
    }
}

fn ports(told: &mut Vec<String>, spec: &Value, path: &str) {
    let mut seen: HashMap<(i64, &str), Vec<(String, &Value)>> = HashMap::new();
    for (container, place) in containers(spec, path) {
        for (i, port) in list(container, "ports").iter().enumerate() {
            let place = format!("{place}.ports[{i}]");
            let host = |port: &Value| port["hostPort"].as_i64().unwrap_or(0);
            let number = port["containerPort"].as_i64().unwrap_or(0);
            let (ip, protocol) = (text(port, "hostIP"), text(port, "protocol"));
            if !ip.is_empty() && host(port) == 0 {
                told.push(format!(
                    "{place}: hostIP set without hostPort: {{Name:{} HostPort:0 ContainerPort:{number} Protocol:{protocol} HostIP:{ip}}}",
                    text(port, "name")
                ));
            }
            let others = seen.entry((number, protocol)).or_default();
            for (other, before) in others.iter() {
                let other_ip = text(before, "hostIP");
                if ip == other_ip && host(port) == host(before) {
                    told.push(format!("{place}: duplicate port definition with {other}"));
                } else if host(port) == 0 || host(before) == 0 {
                    told.push(format!("{place}: overlapping port definition with {other}"));
                } else if host(port) == host(before) && ip.is_empty() != other_ip.is_empty() {
                    told.push(format!("{place}: dangerously ambiguous port definition with {other}"));
                }
            }
            others.push((place, port));
        }
    }
}

fn affinity(told: &mut Vec<String>, spec: &Value, path: &str) {
    for kind in ["podAffinity", "podAntiAffinity"] {
        let (terms, place) = (&spec["affinity"][kind], format!("{path}.affinity.{kind}"));
        for (i, term) in list(terms, REQUIRED).iter().enumerate() {
            if term["labelSelector"].is_null() {
                told.push(format!("{place}.{REQUIRED}[{i}].labelSelector: {NULL_SELECTOR}"));
            }
        }
        for (i, term) in list(terms, PREFERRED).iter().enumerate() {
            if term["podAffinityTerm"]["labelSelector"].is_null() {
                told.push(format!("{place}.{PREFERRED}[{i}].podAffinityTerm.labelSelector: {NULL_SELECTOR}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fractions_of_bytes() {
        let check =
            |text: &str, want: bool| assert_eq!(fraction(&json!(text), "x").is_some(), want, "{text}");
        check("100m", true);
        check("1500m", true);
        check("2000m", false);
        check("1Gi", false);
    }

    #[test]
    fn what_is_defined_twice() {
        let owner = json!({"spec": {"containers": [
            {"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "X", "value": "$(X)2"}, {"name": "X", "value": "3"}],
             "ports": [{"containerPort": 80, "protocol": "TCP"}]},
            {"name": "b", "ports": [{"containerPort": 80, "protocol": "TCP", "hostPort": 80}]},
        ]}});
        assert_eq!(
            pod(&owner, "spec.template"),
            [
                "spec.template.spec.containers[0].env[2]: hides previous definition of \"X\", which may be dropped when using apply",
                "spec.template.spec.containers[1].ports[0]: overlapping port definition with spec.template.spec.containers[0].ports[0]",
            ]
        );
    }
}
