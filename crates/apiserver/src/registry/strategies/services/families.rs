//! `ipFamilyPolicy` and `ipFamilies` (KEP-563): what the client said, the addresses it asked for, and the cluster's ranges
//! together decide which families a service has.

use std::net::IpAddr;

use api_types::field::{Error, ErrorList, Path};
use api_types::validation;
use serde_json::{Value, json};

use super::fields;
use crate::allocation::Family;

const POLICY: Path<'static> = Path::new("spec.ipFamilyPolicy");

/// Completes the families of a service. `old` is the stored one.
pub fn complete(service: &mut Value, old: Option<&Value>, cluster: &[Family]) -> Result<(), ErrorList> {
    if !fields::needs_cluster_ip(service) {
        return Ok(());
    }
    let Some(default) = cluster.first().copied() else { return Ok(()) };
    let selectorless = service["spec"]["selector"].as_object().is_none_or(serde_json::Map::is_empty);
    let headless = service["spec"]["clusterIP"] == "None" && selectorless;
    infer_policy(service, old, headless);
    let wrong = validation::service_cluster_ips(service);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let policy = fields::text(service, "ipFamilyPolicy").to_owned();
    let mut errors = ErrorList::new();
    if let Some(old) = old {
        release_secondary(&mut errors, service, old, &policy);
    }
    let mut families = inferred(&mut errors, service, &policy, cluster);
    if !errors.is_empty() {
        return Err(errors);
    }
    if headless {
        if families.is_empty() {
            families.push(default);
        }
        if policy != "SingleStack" && families.len() == 1 {
            families.push(families[0].other());
        }
        store(service, &policy, &families);
        return Ok(());
    }
    check(&policy, &families, cluster)?;
    if families.is_empty() {
        families.push(default);
    }
    if policy != "SingleStack" && families.len() == 1 && cluster.len() > 1 {
        families.push(families[0].other());
    }
    store(service, &policy, &families);
    Ok(())
}

/// A policy that the client left open is the stored one, or follows from what the service is.
fn infer_policy(service: &mut Value, old: Option<&Value>, headless: bool) {
    if !fields::text(service, "ipFamilyPolicy").is_empty() {
        return;
    }
    let stored = old.map(|old| fields::text(old, "ipFamilyPolicy")).unwrap_or_default();
    let policy = match stored {
        "" if headless => "RequireDualStack",
        "" => "SingleStack",
        stored => stored,
    };
    fields::set(service, "ipFamilyPolicy", Some(policy.into()));
}

fn list<'v>(service: &'v Value, key: &str) -> Vec<&'v str> {
    service["spec"][key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// `SingleStack` gives the second address and family back; leaving them out says nothing.
fn release_secondary(errors: &mut ErrorList, service: &mut Value, old: &Value, policy: &str) {
    for (key, what) in [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")] {
        let (new, before) = (list(service, key), list(old, key));
        if policy != "SingleStack" {
            if !new.is_empty() && new.len() == 1 && before.len() == 2 {
                let why = format!("must be 'SingleStack' to release the secondary {what}");
                errors.push(Error::invalid(&POLICY, policy, why));
            }
        } else if new == before && new.len() > 1 {
            let first = json!([new[0]]);
            fields::set(service, key, Some(first));
        }
    }
}

/// The families that the client names, and those of the addresses beyond them.
fn inferred(errors: &mut ErrorList, service: &Value, policy: &str, cluster: &[Family]) -> Vec<Family> {
    let mut families: Vec<Family> =
        list(service, "ipFamilies").into_iter().filter_map(Family::parse).collect();
    let ips = list(service, "clusterIPs");
    if policy == "SingleStack" {
        for (count, what) in [(ips.len(), "cluster IPs"), (families.len(), "IP families")] {
            if count == 2 {
                let why = format!(
                    "must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                );
                errors.push(Error::invalid(&POLICY, policy, why));
            }
        }
    }
    let path = Path::new("spec.clusterIPs");
    for (i, ip) in ips.iter().enumerate().skip(families.len()) {
        let Ok(ip) = ip.parse::<IpAddr>() else { break };
        let family = Family::of(ip);
        if cluster.contains(&family) {
            families.push(family);
        } else {
            let why = format!("{} is not configured on this cluster", family.as_str());
            errors.push(Error::invalid(&path.index(i), json!(ips), why));
        }
    }
    families
}

fn check(policy: &str, families: &[Family], cluster: &[Family]) -> Result<(), ErrorList> {
    let mut errors = ErrorList::new();
    if policy == "RequireDualStack" && cluster.len() < 2 {
        let why = "this cluster is not configured for dual-stack services";
        errors.push(Error::invalid(&POLICY, policy, why));
    }
    let path = Path::new("spec.ipFamilies");
    for (i, family) in families.iter().enumerate().filter(|(_, family)| !cluster.contains(family)) {
        errors.push(Error::invalid(&path.index(i), family.as_str(), "not configured on this cluster"));
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn store(service: &mut Value, policy: &str, families: &[Family]) {
    fields::set(service, "ipFamilyPolicy", Some(policy.into()));
    let names: Vec<&str> = families.iter().map(|family| family.as_str()).collect();
    fields::set(service, "ipFamilies", Some(json!(names)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spec: Value, cluster: &[Family], want: &str) {
        let mut service = json!({ "spec": spec });
        let got = match complete(&mut service, None, cluster) {
            Ok(()) => format!("{} {}", service["spec"]["ipFamilyPolicy"], service["spec"]["ipFamilies"]),
            Err(errors) => errors.to_string(),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn families_follow_from_policy_addresses_and_cluster() {
        let single = [Family::V4];
        let dual = [Family::V4, Family::V6];
        let ip = |spec: Value| {
            let mut spec = spec;
            spec["type"] = "ClusterIP".into();
            spec["selector"] = json!({"a": "b"});
            spec
        };
        check(ip(json!({})), &single, r#""SingleStack" ["IPv4"]"#);
        check(ip(json!({"ipFamilyPolicy": "PreferDualStack"})), &single, r#""PreferDualStack" ["IPv4"]"#);
        check(
            ip(json!({"ipFamilyPolicy": "PreferDualStack"})),
            &dual,
            r#""PreferDualStack" ["IPv4","IPv6"]"#,
        );
        check(
            ip(json!({"clusterIP": "fd00::5", "clusterIPs": ["fd00::5"]})),
            &dual,
            r#""SingleStack" ["IPv6"]"#,
        );
        check(
            ip(json!({"ipFamilyPolicy": "RequireDualStack"})),
            &single,
            "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services",
        );
        check(
            json!({"type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"]}),
            &single,
            r#""RequireDualStack" ["IPv4","IPv6"]"#,
        );
    }
}
