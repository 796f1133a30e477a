//! The checks that level restricted adds, in upstream's order.

use serde_json::Value;

use super::policy::{Check, Violation};
use super::visit::{Pod, containers, distinct, plural, quoted};
use crate::admission::plugins::support::{list, text};

pub(super) const CHECKS: &[Check] = &[
    since(8, privilege_escalation),
    since(22, capabilities),
    since(0, volumes),
    since(0, run_as_non_root),
    since(23, run_as_user),
    since(19, seccomp),
];

const fn since(since: u32, run: fn(&Pod<'_>, u32) -> Option<Violation>) -> Check {
    Check { since, replaced_in_restricted: None, run }
}

/// From 1.25 on, checks of what only Linux knows do not ask it of Windows pods.
fn exempt(pod: &Pod<'_>, minor: u32) -> bool {
    minor >= 25 && pod.is_windows()
}

fn privilege_escalation(pod: &Pod<'_>, minor: u32) -> Option<Violation> {
    if exempt(pod, minor) {
        return None;
    }
    let names = pod.containers_where(|c| c["securityContext"]["allowPrivilegeEscalation"] != false);
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&names));
    Violation::new("allowPrivilegeEscalation != false", detail)
}

fn capabilities(pod: &Pod<'_>, minor: u32) -> Option<Violation> {
    if exempt(pod, minor) {
        return None;
    }
    let drops_all =
        |c: &Value| list(c, "/securityContext/capabilities/drop").iter().any(|name| name == "ALL");
    let added = |c: &Value| -> Vec<String> {
        let names = list(c, "/securityContext/capabilities/add").iter().filter_map(Value::as_str);
        names.filter(|name| *name != "NET_BIND_SERVICE").map(str::to_owned).collect()
    };
    let mut details = Vec::new();
    let keeping = pod.containers_where(|c| !drops_all(c));
    if !keeping.is_empty() {
        details
            .push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&keeping)));
    }
    let adding = pod.containers_where(|c| !added(c).is_empty());
    if !adding.is_empty() {
        let all: Vec<String> = pod.containers().flat_map(added).collect();
        let all = distinct(all.iter().map(String::as_str));
        details.push(format!(
            "{} must not include {} in securityContext.capabilities.add",
            containers(&adding),
            quoted(&all)
        ));
    }
    if details.is_empty() { None } else { Violation::new("unrestricted capabilities", details.join("; ")) }
}

const VOLUME_TYPES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

fn volumes(pod: &Pod<'_>, _: u32) -> Option<Violation> {
    let bad_type = |volume: &'_ Value| -> Option<String> {
        let sources = volume.as_object()?.iter().filter(|(key, value)| *key != "name" && !value.is_null());
        let kinds: Vec<&String> = sources.map(|(key, _)| key).collect();
        match kinds.as_slice() {
            [] => Some("unknown".to_owned()),
            kinds => {
                kinds.iter().find(|kind| !VOLUME_TYPES.contains(&kind.as_str())).map(|kind| (*kind).clone())
            }
        }
    };
    let bad: Vec<(&str, String)> = list(pod.spec, "/volumes")
        .iter()
        .filter_map(|volume| Some((text(volume, "/name"), bad_type(volume)?)))
        .collect();
    if bad.is_empty() {
        return None;
    }
    let names: Vec<&str> = bad.iter().map(|(name, _)| *name).collect();
    let types = distinct(bad.iter().map(|(_, kind)| kind.as_str()));
    let uses = if names.len() == 1 { "uses" } else { "use" };
    Violation::new(
        "restricted volume types",
        format!(
            "{} {} {uses} restricted volume {} {}",
            plural("volume", names.len()),
            quoted(&names),
            plural("type", types.len()),
            quoted(&types)
        ),
    )
}

fn run_as_non_root(pod: &Pod<'_>, _: u32) -> Option<Violation> {
    let setting = |of: &Value| of["securityContext"]["runAsNonRoot"].as_bool();
    let of_pod = setting(pod.spec);
    let mut explicit = Vec::new();
    if of_pod == Some(false) {
        explicit.push("pod must not set securityContext.runAsNonRoot=false".to_owned());
    }
    let against = pod.containers_where(|c| setting(c) == Some(false));
    if !against.is_empty() {
        explicit.push(format!("{} must not set securityContext.runAsNonRoot=false", containers(&against)));
    }
    if !explicit.is_empty() {
        return Violation::new("runAsNonRoot != true", explicit.join(" and "));
    }
    let unset = pod.containers_where(|c| of_pod != Some(true) && setting(c).is_none());
    if unset.is_empty() {
        return None;
    }
    let detail = format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&unset));
    Violation::new("runAsNonRoot != true", detail)
}

fn run_as_user(pod: &Pod<'_>, _: u32) -> Option<Violation> {
    let root = |of: &Value| of["securityContext"]["runAsUser"] == 0;
    let mut whom = Vec::new();
    if root(pod.spec) {
        whom.push("pod".to_owned());
    }
    let names = pod.containers_where(root);
    if !names.is_empty() {
        whom.push(containers(&names));
    }
    if whom.is_empty() {
        return None;
    }
    Violation::new("runAsUser=0", format!("{} must not set runAsUser=0", whom.join(" and ")))
}

fn seccomp(pod: &Pod<'_>, minor: u32) -> Option<Violation> {
    const POINTER: &str = "/securityContext/seccompProfile/type";
    if exempt(pod, minor) {
        return None;
    }
    let good = |profile: &str| matches!(profile, "RuntimeDefault" | "Localhost");
    let bad = |profile: &str| !profile.is_empty() && !good(profile);
    let of_pod = text(pod.spec, POINTER);
    let mut whom = Vec::new();
    let mut values = Vec::new();
    if bad(of_pod) {
        whom.push("pod".to_owned());
        values.push(of_pod);
    }
    let against = pod.containers_where(|c| bad(text(c, POINTER)));
    if !against.is_empty() {
        whom.push(containers(&against));
        values.extend(pod.containers().map(|c| text(c, POINTER)).filter(|profile| bad(profile)));
    }
    if !whom.is_empty() {
        let values = quoted(&distinct(values));
        let detail =
            format!("{} must not set securityContext.seccompProfile.type to {values}", whom.join(" and "));
        return Violation::new("seccompProfile", detail);
    }
    let unset = pod.containers_where(|c| !good(of_pod) && text(c, POINTER).is_empty());
    if unset.is_empty() {
        return None;
    }
    let detail = format!(
        "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        containers(&unset)
    );
    Violation::new("seccompProfile", detail)
}
