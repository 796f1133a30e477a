//! `ipFamilyPolicy` and `ipFamilies` (KEP-563): what the client said, the addresses it asked for, and the cluster's ranges
//! together decide which families a service has.

use std::net::IpAddr;

use api_types::field::{Error, ErrorList, Path};
use serde_json::{Value, json};

use super::fields;
use crate::allocation::Family;

/// Completes the families of a service.
pub fn complete(service: &mut Value, cluster: &[Family]) -> Result<(), ErrorList> {
    if !fields::needs_cluster_ip(service) {
        return Ok(());
    }
    let Some(default) = cluster.first().copied() else { return Ok(()) };
    let dual_cluster = cluster.len() > 1;
    let mut families: Vec<Family> = service["spec"]["ipFamilies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|family| Family::parse(family.as_str()?))
        .collect();
    let policy = fields::text(service, "ipFamilyPolicy").to_owned();
    let selectorless = service["spec"]["selector"].as_object().is_none_or(serde_json::Map::is_empty);
    if fields::is_headless(service) && selectorless {
        let policy = if policy.is_empty() { "RequireDualStack".to_owned() } else { policy };
        if families.is_empty() {
            families.push(default);
        }
        if policy != "SingleStack" && families.len() == 1 {
            families.push(families[0].other());
        }
        store(service, &policy, &families);
        return Ok(());
    }
    for (i, ip) in fields::cluster_ips(service).iter().enumerate() {
        if let Ok(ip) = ip.parse::<IpAddr>()
            && families.len() == i
        {
            families.push(Family::of(ip));
        }
    }
    let policy = match (policy.as_str(), families.len()) {
        ("", 2..) => "RequireDualStack".to_owned(),
        ("", _) => "SingleStack".to_owned(),
        _ => policy,
    };
    check(&policy, &families, cluster)?;
    if families.is_empty() {
        families.push(default);
    }
    if policy == "SingleStack" {
        families.truncate(1);
    } else if families.len() == 1 && dual_cluster {
        families.push(families[0].other());
    }
    store(service, &policy, &families);
    Ok(())
}

fn check(policy: &str, families: &[Family], cluster: &[Family]) -> Result<(), ErrorList> {
    let spec = Path::new("spec");
    let mut errors = ErrorList::new();
    if policy == "RequireDualStack" && cluster.len() < 2 {
        let why = "this cluster is not configured for dual-stack services";
        errors.push(Error::invalid(&spec.child("ipFamilyPolicy"), policy, why));
    }
    if policy == "SingleStack" && families.len() == 2 {
        let why = "may only hold up to 1 value when `ipFamilyPolicy` is \"SingleStack\"";
        let shown = json!(families.iter().map(|family| family.as_str()).collect::<Vec<_>>());
        errors.push(Error::invalid(&spec.child("ipFamilies"), shown, why));
    }
    let path = spec.child("ipFamilies");
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
        let got = match complete(&mut service, cluster) {
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
        check(ip(json!({"clusterIPs": ["fd00::5"]})), &dual, r#""SingleStack" ["IPv6"]"#);
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
