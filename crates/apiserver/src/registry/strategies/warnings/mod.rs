//! Warnings about what is accepted and should not be written any more, or does not do what it seems to do.

mod pod;
mod storage;

use api_types::name;
use serde_json::Value;

use crate::registry::meta;

use storage::{capacity, claim_spec, csi_driver, storage_class};
pub use storage::{claim, volume};

/// Warns about an object; the stored one is absent at creation.
pub type Warnings = fn(&Value, Option<&Value>) -> Vec<String>;

/// Annotation of service accounts that limits the secrets of their pods.
const ENFORCE_SECRETS: &str = "kubernetes.io/enforce-mountable-secrets";
const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";

/// Labels of nodes that have another name by now.
const OLD_NODE_LABELS: [(&str, &str); 5] = [
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
];

/// The warnings of a resource without a strategy of its own.
pub fn of(group: &str, plural: &str) -> Warnings {
    match (group, plural) {
        ("", "replicationcontrollers") | ("apps", "deployments" | "replicasets") => named_template,
        ("apps", "statefulsets") => stateful_set,
        ("batch", "cronjobs") => cron_job,
        ("", "podtemplates") => |object, _| pod::pod(&object["template"], "template"),
        ("", "serviceaccounts") => service_account,
        ("networking.k8s.io", "ingresses") => ingress,
        ("node.k8s.io", "runtimeclasses") => runtime_class,
        ("storage.k8s.io", "csidrivers") => csi_driver,
        ("storage.k8s.io", "storageclasses") => storage_class,
        ("storage.k8s.io", "csistoragecapacities") => capacity,
        _ => |_, _| Vec::new(),
    }
}

/// Why a label should not be used any more.
fn old_label(label: &str) -> Option<&'static str> {
    OLD_NODE_LABELS.iter().find(|(old, _)| *old == label).map(|(_, why)| *why)
}

/// A term of a node selector.
fn node_term(told: &mut Vec<String>, term: &Value, path: &str) {
    for (i, requirement) in term["matchExpressions"].as_array().into_iter().flatten().enumerate() {
        let key = requirement["key"].as_str().unwrap_or_default();
        if let Some(why) = old_label(key) {
            told.push(format!("{path}.matchExpressions[{i}].key: {key} is {why}"));
        }
    }
}

/// A pod.
pub fn pod(object: &Value, old: Option<&Value>) -> Vec<String> {
    let mut told = Vec::new();
    if old.is_none() {
        told.extend(label_recommended(object, "the Pod's hostname"));
    }
    told.append(&mut pod::pod(object, ""));
    told
}

/// A name that becomes a part of host names.
fn label_recommended(object: &Value, what: &str) -> Option<String> {
    let wrong = name::dns1123_label(meta::text(object, "name"));
    (!wrong.is_empty()).then(|| {
        format!(
            "metadata.name: this is used in {what}, which can result in surprising behavior; a DNS label is recommended: [{}]",
            wrong.join(" ")
        )
    })
}

/// A workload with a pod template. What did not change is not warned about again.
pub fn template(object: &Value, old: Option<&Value>) -> Vec<String> {
    if old.is_some_and(|old| old["spec"] == object["spec"]) {
        return Vec::new();
    }
    pod::pod(&object["spec"]["template"], "spec.template")
}

/// As [`template`], for kinds whose name begins those of their pods.
fn named_template(object: &Value, old: Option<&Value>) -> Vec<String> {
    let mut told = Vec::new();
    if old.is_none() {
        told.extend(label_recommended(object, "Pod names and hostnames"));
    }
    told.append(&mut template(object, old));
    told
}

/// A job.
pub fn job(object: &Value, old: Option<&Value>) -> Vec<String> {
    let mut told = Vec::new();
    if old.is_none() {
        told.extend(label_recommended(object, "Pod names and hostnames"));
    }
    job_spec(&mut told, &object["spec"], "spec");
    told
}

fn job_spec(told: &mut Vec<String>, spec: &Value, path: &str) {
    let over = |key: &str, limit: i64| spec[key].as_i64().is_some_and(|count| count > limit);
    if spec["completionMode"] == "Indexed" && over("completions", 100_000) && over("parallelism", 10_000) {
        told.push(format!("{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"));
    }
    told.append(&mut pod::pod(&spec["template"], &format!("{path}.template")));
}

fn cron_job(object: &Value, old: Option<&Value>) -> Vec<String> {
    let mut told = Vec::new();
    if old.is_none() {
        told.extend(label_recommended(object, "Pod names and hostnames"));
    }
    job_spec(&mut told, &object["spec"]["jobTemplate"]["spec"], "spec.jobTemplate.spec");
    let schedule = object["spec"]["schedule"].as_str().unwrap_or_default();
    if old.is_some() && schedule.contains("TZ") {
        told.push("CRON_TZ or TZ used in spec.schedule is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details".to_owned());
    }
    told
}

fn stateful_set(object: &Value, old: Option<&Value>) -> Vec<String> {
    let mut told = template(object, old);
    if old.is_none_or(|old| old["spec"] != object["spec"]) {
        let claims = object["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten();
        for (i, claim) in claims.enumerate() {
            told.extend(claim_spec(&claim["spec"], &format!("spec.volumeClaimTemplates[{i}].Spec")));
        }
    }
    if object["spec"]["revisionHistoryLimit"].as_i64().is_some_and(|limit| limit < 0) {
        told.push("spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended".to_owned());
    }
    told
}

/// A node.
pub fn node(object: &Value, _old: Option<&Value>) -> Vec<String> {
    let mut told = Vec::new();
    if !object["spec"]["configSource"].is_null() {
        told.push(
            "spec.configSource: the spec.configSource field is deprecated and has no effect".to_owned(),
        );
    }
    if object["spec"]["externalID"].as_str().is_some_and(|id| !id.is_empty()) {
        told.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
    }
    told
}

fn ingress(object: &Value, old: Option<&Value>) -> Vec<String> {
    let has = |ingress: &Value| {
        meta::field(ingress, "annotations")
            .is_some_and(|annotations| annotations.get(INGRESS_CLASS).is_some())
    };
    if !has(object) || old.is_some() {
        return Vec::new();
    }
    vec![format!("annotation {INGRESS_CLASS:?} is deprecated, please use 'spec.ingressClassName' instead")]
}

fn runtime_class(object: &Value, _old: Option<&Value>) -> Vec<String> {
    let labels = object["scheduling"]["nodeSelector"].as_object().into_iter().flatten();
    labels
        .filter_map(|(label, _)| Some(format!("scheduling.nodeSelector[{label}]: {}", old_label(label)?)))
        .collect()
}

/// A service.
pub fn service(service: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    let spec = &service["spec"];
    let had = |key: &str| old.is_some_and(|old| old["spec"][key] == spec[key]);
    if spec["externalIPs"].as_array().is_some_and(|ips| !ips.is_empty()) && !had("externalIPs") {
        warnings.push(
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned(),
        );
    }
    if spec["clusterIP"] == "None" && spec["sessionAffinity"] == "ClientIP" {
        warnings.push("spec.SessionAffinity is ignored for headless services".to_owned());
    }
    if spec["trafficDistribution"] == "PreferClose" && !had("trafficDistribution") {
        warnings.push(
            "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned(),
        );
    }
    warnings
}

fn service_account(account: &Value, old: Option<&Value>) -> Vec<String> {
    let of = |account: &Value| {
        meta::field(account, "annotations").is_some_and(|a| a.get(ENFORCE_SECRETS).is_some())
    };
    if !of(account) || old.is_some_and(of) {
        return Vec::new();
    }
    vec![format!(
        "metadata.annotations[{ENFORCE_SECRETS}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
    )]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_with_old_labels() {
        let object =
            json!({"metadata": {"name": "p"}, "spec": {"nodeSelector": {"beta.kubernetes.io/os": "linux"}}});
        assert_eq!(
            pod(&object, None),
            [
                "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead"
            ]
        );
    }
}
