//! Warnings about what is accepted and should not be written any more, or does not do what it seems to do.

use serde_json::Value;

use crate::registry::meta;

/// Warns about an object; the stored one is absent at creation.
pub type Warnings = fn(&Value, Option<&Value>) -> Vec<String>;

/// Annotation of service accounts that limits the secrets of their pods.
const ENFORCE_SECRETS: &str = "kubernetes.io/enforce-mountable-secrets";

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

/// Volume sources that are no longer worked on.
const OLD_VOLUMES: [(&str, &str); 9] = [
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
];

/// The warnings of a resource without a strategy of its own.
pub fn of(group: &str, plural: &str) -> Warnings {
    match (group, plural) {
        ("", "replicationcontrollers") | ("apps", "deployments" | "replicasets" | "statefulsets") => template,
        ("batch", "cronjobs") => cron_job,
        ("", "serviceaccounts") => service_account,
        ("storage.k8s.io", "csidrivers") => csi_driver,
        _ => |_, _| Vec::new(),
    }
}

/// A pod.
pub fn pod(pod: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    let name = meta::text(pod, "name");
    if old.is_none() && name.len() > 63 {
        warnings.push(format!(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{}]",
            "must be no more than 63 characters"
        ));
    }
    pod_spec(&pod["spec"], "spec", &mut warnings);
    warnings
}

/// A workload with a pod template.
pub fn template(object: &Value, _old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    pod_spec(&object["spec"]["template"]["spec"], "spec.template.spec", &mut warnings);
    warnings
}

fn cron_job(object: &Value, _old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    let spec = &object["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    pod_spec(spec, "spec.jobTemplate.spec.template.spec", &mut warnings);
    warnings
}

fn pod_spec(spec: &Value, path: &str, warnings: &mut Vec<String>) {
    let list = |key: &str| spec[key].as_array().map(Vec::as_slice).unwrap_or_default();
    for (label, why) in OLD_NODE_LABELS.iter().filter(|(label, _)| spec["nodeSelector"].get(label).is_some())
    {
        warnings.push(format!("{path}.nodeSelector[{label}]: {why}"));
    }
    for (i, constraint) in list("topologySpreadConstraints").iter().enumerate() {
        if constraint["labelSelector"].is_null() {
            warnings.push(format!(
                "{path}.topologySpreadConstraints[{i}].labelSelector: a null labelSelector results in matching no pod"
            ));
        }
    }
    for (i, alias) in list("hostAliases").iter().enumerate() {
        let ip = &alias["ip"];
        if list("hostAliases")[..i].iter().any(|before| before["ip"] == *ip) {
            warnings.push(format!("{path}.hostAliases[{i}].ip: duplicate ip {ip}"));
        }
    }
    for (i, secret) in list("imagePullSecrets").iter().enumerate() {
        if secret["name"].as_str().unwrap_or_default().is_empty() {
            warnings.push(format!("{path}.imagePullSecrets[{i}].name: invalid empty name \"\""));
        }
    }
    for (i, volume) in list("volumes").iter().enumerate() {
        for (kind, why) in OLD_VOLUMES.iter().filter(|(kind, _)| volume.get(kind).is_some()) {
            warnings.push(format!("{path}.volumes[{i}].{kind}: {why}"));
        }
    }
    for kind in ["initContainers", "containers"] {
        for (i, container) in list(kind).iter().enumerate() {
            for (what, resource) in [
                ("limits", "memory"),
                ("requests", "memory"),
                ("limits", "ephemeral-storage"),
                ("requests", "ephemeral-storage"),
            ] {
                let at = format!("{path}.{kind}[{i}].resources.{what}[{resource}]");
                warnings.extend(fraction(&container["resources"][what][resource], &at));
            }
        }
    }
}

/// Bytes cannot be divided: `100m` of memory was meant to be `100M`.
fn fraction(quantity: &Value, at: &str) -> Option<String> {
    let text = quantity.as_str()?;
    let divided = ["m", "u", "n"]
        .iter()
        .any(|unit| text.strip_suffix(unit).is_some_and(|number| !number.ends_with("000")));
    divided.then(|| format!("{at}: fractional byte value {text:?} is invalid, must be an integer"))
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

/// A claim.
pub fn claim(claim: &Value, _old: Option<&Value>) -> Vec<String> {
    let storage = &claim["spec"]["resources"]["requests"]["storage"];
    fraction(storage, "spec.resources.requests[storage]").into_iter().collect()
}

/// A persistent volume.
pub fn volume(volume: &Value, _old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    if volume["spec"]["persistentVolumeReclaimPolicy"] == "Recycle" {
        warnings.push("spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.".to_owned());
    }
    warnings.extend(fraction(&volume["spec"]["capacity"]["storage"], "spec.capacity[storage]"));
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

fn csi_driver(driver: &Value, old: Option<&Value>) -> Vec<String> {
    let spec = &driver["spec"];
    let asks = spec["tokenRequests"].as_array().is_some_and(|requests| !requests.is_empty());
    if !asks || old.is_some() || !spec["serviceAccountTokenInSecrets"].is_null() {
        return Vec::new();
    }
    vec!["spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes".to_owned()]
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
