//! What the operating system of a pod allows.

use serde_json::Value;

use crate::field::{ErrorList, Path};
use crate::validation::get::{at, flag, get, items, text};

const NOT_ON_WINDOWS: &str = "cannot be set for a windows pod";
const NOT_ON_LINUX: &str = "windows options cannot be set for a linux pod";

pub(super) fn validate(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    let Some(os) = get(spec, "os") else { return };
    match text(os, "name") {
        "" => errors.required(&path.child("os.name"), "cannot be empty"),
        "linux" => linux(errors, path, spec),
        "windows" => windows(errors, path, spec),
        other => errors.not_supported(&path.child("os"), other, &["linux", "windows"]),
    }
}

fn linux(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    if at(spec, "/securityContext/windowsOptions").is_some() {
        errors.forbidden(&path.child("securityContext.windowsOptions"), NOT_ON_LINUX);
    }
    each_container(spec, |list, i, container| {
        if at(container, "/securityContext/windowsOptions").is_some() {
            let path = path.child(list);
            errors.forbidden(&path.index(i).child("securityContext.windowsOptions"), NOT_ON_LINUX);
        }
    });
}

fn windows(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    let context = &spec["securityContext"];
    let mut refuse = |set: bool, at: &str| {
        if set {
            errors.forbidden(&path.child(at), NOT_ON_WINDOWS);
        }
    };
    refuse(get(context, "seLinuxOptions").is_some(), "securityContext.seLinuxOptions");
    refuse(get(spec, "hostUsers").is_some(), "hostUsers");
    refuse(flag(spec, "hostPID"), "hostPID");
    refuse(flag(spec, "hostIPC"), "hostIPC");
    refuse(get(context, "seccompProfile").is_some(), "securityContext.seccompProfile");
    refuse(get(context, "fsGroup").is_some(), "securityContext.fsGroup");
    refuse(get(context, "fsGroupChangePolicy").is_some(), "securityContext.fsGroupChangePolicy");
    refuse(!items(context, "sysctls").is_empty(), "securityContext.sysctls");
    refuse(get(spec, "shareProcessNamespace").is_some(), "securityContext.shareProcessNamespace");
    refuse(get(context, "runAsUser").is_some(), "securityContext.runAsUser");
    refuse(get(context, "runAsGroup").is_some(), "securityContext.runAsGroup");
    refuse(get(context, "supplementalGroups").is_some(), "securityContext.supplementalGroups");
    const CONTAINER: [&str; 9] = [
        "seLinuxOptions",
        "seccompProfile",
        "capabilities",
        "readOnlyRootFilesystem",
        "privileged",
        "allowPrivilegeEscalation",
        "procMount",
        "runAsUser",
        "runAsGroup",
    ];
    each_container(spec, |list, i, container| {
        let path = path.child(list);
        let path = path.index(i);
        let path = path.child("securityContext");
        for key in CONTAINER {
            if get(&container["securityContext"], key).is_some() {
                errors.forbidden(&path.child(key), NOT_ON_WINDOWS);
            }
        }
    });
}

/// Windows host-process containers share the host's network, and do not mix with others.
pub(super) fn host_process(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    let of =
        |owner: &Value| at(owner, "/securityContext/windowsOptions/hostProcess").and_then(Value::as_bool);
    let pod = of(spec);
    let (mut with, mut without) = (false, false);
    each_container(spec, |list, i, container| {
        let own = of(container);
        if let (Some(pod), Some(own)) = (pod, own)
            && pod != own
        {
            let detail = format!("pod hostProcess value must be identical if both are specified, was {pod}");
            let path = path.child(list);
            errors.invalid(&path.index(i).child("securityContext.windowsOptions.hostProcess"), own, detail);
        }
        if own.or(pod).unwrap_or(false) { with = true } else { without = true }
    });
    if with && without {
        let detail =
            "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.invalid(path, "", detail);
    }
    if with && !flag(spec, "hostNetwork") {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.invalid(&path.child("hostNetwork"), false, detail);
    }
}

fn each_container(spec: &Value, mut visit: impl FnMut(&'static str, usize, &Value)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for (i, container) in items(spec, list).iter().enumerate() {
            visit(list, i, container);
        }
    }
}
