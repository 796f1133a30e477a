//! What may change in a stored service: its type, a second address and family, but not the first ones.

use serde_json::Value;

use super::check;
use super::get::{get, int, text, texts};
use super::service::{SPEC, create, is_headless};
use crate::field::{BadValue, ErrorList};

const ONCE: &str = "may not change once set";

/// The rules for a changed service.
pub(super) fn validate(new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let (spec, before) = (&new["spec"], &old["spec"]);
    let has_address = |s: &Value| matches!(text(s, "type"), "ClusterIP" | "NodePort" | "LoadBalancer");
    if has_address(spec) && has_address(before) {
        if !(is_headless(spec) && is_headless(before)) {
            cluster_ips_update(&mut errors, spec, before);
        }
        families_update(&mut errors, spec, before);
    }
    let (kind, was) = (text(spec, "type"), text(before, "type"));
    if kind == "LoadBalancer" && was == "LoadBalancer" {
        if get(spec, "loadBalancerClass") != get(before, "loadBalancerClass") {
            let shown = BadValue::maybe(get(spec, "loadBalancerClass"));
            errors.invalid(&SPEC.child("loadBalancerClass"), shown, ONCE);
        }
        let local = |s: &Value| text(s, "externalTrafficPolicy") == "Local";
        if local(spec)
            && local(before)
            && int(spec, "healthCheckNodePort") != int(before, "healthCheckNodePort")
        {
            errors.forbidden(&SPEC.child("healthCheckNodePort"), check::IMMUTABLE);
        }
    }
    errors.append(create(new));
    errors
}

/// Addresses stay; a second family may be added or given back.
fn cluster_ips_update(errors: &mut ErrorList, spec: &Value, old: &Value) {
    let path = SPEC.child("clusterIPs");
    let new: Vec<&str> = texts(spec, "clusterIPs").collect();
    let old: Vec<&str> = texts(old, "clusterIPs").collect();
    let shown = || spec.get("clusterIPs").cloned().unwrap_or(Value::Null);
    if new.len() == old.len() {
        for (i, _) in old.iter().enumerate().filter(|(i, ip)| new[*i] != **ip) {
            errors.invalid(&path.index(i), shown(), ONCE);
        }
    } else if let Some(first) = old.first() {
        match new.first() {
            None => errors.invalid(&path.index(0), shown(), "primary clusterIP can not be unset"),
            Some(ip) if ip != first => errors.invalid(&path.index(0), shown(), ONCE),
            Some(_) => {}
        }
        let policy = get(spec, "ipFamilyPolicy");
        if new.len() == 1 && policy.is_none_or(|p| p != "SingleStack") {
            let detail = "must be set to 'SingleStack' when releasing the secondary clusterIP";
            errors.invalid(&SPEC.child("ipFamilyPolicy"), BadValue::maybe(policy), detail);
        }
    }
}

/// Families stay in their places; a second one may be added or given back.
fn families_update(errors: &mut ErrorList, spec: &Value, old: &Value) {
    // What has no selector and no address may have any families.
    let is_free = |spec: &Value| is_headless(spec) && !super::get::has_entries(spec, "selector");
    if is_free(spec) && is_free(old) {
        return;
    }
    let path = SPEC.child("ipFamilies");
    let (new, old): (Vec<&str>, Vec<&str>) =
        (texts(spec, "ipFamilies").collect(), texts(old, "ipFamilies").collect());
    let shown = || spec.get("ipFamilies").cloned().unwrap_or(Value::Null);
    if new.is_empty() && !old.is_empty() {
        return errors.invalid(&path.index(0), shown(), "primary ipFamily can not be unset");
    }
    for (i, _) in new.iter().zip(&old).enumerate().filter(|(_, (new, old))| new != old) {
        errors.invalid(&path.index(i), shown(), ONCE);
    }
    let policy = get(spec, "ipFamilyPolicy");
    if new.len() < old.len() && policy.is_none_or(|p| p != "SingleStack") {
        let detail = "must be set to 'SingleStack' when releasing the secondary ipFamily";
        errors.invalid(&SPEC.child("ipFamilyPolicy"), BadValue::maybe(policy), detail);
    }
}
