//! Security contexts of pods and containers.

use serde_json::Value;

use crate::field::{BadValue, ErrorList, Path};
use crate::name;
use crate::validation::check::{self, go_struct_text};
use crate::validation::get::{flag, get, int, items, text, texts};

const ID_MAX: i64 = 2_147_483_647;
const SECCOMP: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
const SYSCTL_FORM: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
const SYSCTL_MAX: usize = 253;
const HOST_USERS: &str = "when `hostUsers` is false";

/// The pod's own context, and what the host's namespaces forbid. `path` is the spec's.
pub(super) fn pod(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    if flag(spec, "hostNetwork") {
        host_ports(errors, &path.child("containers"), items(spec, "containers"));
    }
    let Some(context) = get(spec, "securityContext") else { return };
    let at = path.child("securityContext");
    id(errors, &at, context, "fsGroup");
    id(errors, &at, context, "runAsUser");
    id(errors, &at, context, "runAsGroup");
    let groups = at.child("supplementalGroups");
    for (i, group) in items(context, "supplementalGroups").iter().enumerate() {
        let group = group.as_i64().unwrap_or(0);
        errors.invalid_each(&groups.index(i), group, name::in_range(group, 0, ID_MAX));
    }
    let policy = text(context, "supplementalGroupsPolicy");
    check::one_of_if_set(errors, &at.child("supplementalGroupsPolicy"), policy, &["Merge", "Strict"]);
    if flag(spec, "shareProcessNamespace") && flag(spec, "hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.invalid(&at.child("shareProcessNamespace"), true, detail);
    }
    sysctls(errors, &at.child("sysctls"), spec, context);
    let policy = text(context, "fsGroupChangePolicy");
    check::one_of_if_set(errors, &at.child("fsGroupChangePolicy"), policy, &["Always", "OnRootMismatch"]);
    profile(errors, &at, context, "seccompProfile", "seccomp");
    super::windows::validate(errors, &at, context);
    profile(errors, &at, context, "appArmorProfile", "AppArmor");
    let policy = text(context, "seLinuxChangePolicy");
    check::one_of_if_set(errors, &at.child("seLinuxChangePolicy"), policy, &["MountOption", "Recursive"]);
}

fn id(errors: &mut ErrorList, path: &Path<'_>, context: &Value, key: &str) {
    if let Some(id) = int(context, key) {
        errors.invalid_each(&path.child(key), id, name::in_range(id, 0, ID_MAX));
    }
}

fn host_ports(errors: &mut ErrorList, path: &Path<'_>, containers: &[Value]) {
    for (i, container) in containers.iter().enumerate() {
        let path = path.index(i);
        let path = path.child("ports");
        for (i, port) in items(container, "ports").iter().enumerate() {
            let host = int(port, "hostPort").unwrap_or(0);
            // Only pods, not templates, have their host ports filled in.
            if host != 0 && host != int(port, "containerPort").unwrap_or(0) {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errors.invalid(&path.index(i).child("hostPort"), host, detail);
            }
        }
    }
}

fn sysctls(errors: &mut ErrorList, path: &Path<'_>, spec: &Value, context: &Value) {
    let mut seen: Vec<String> = Vec::new();
    for (i, sysctl) in items(context, "sysctls").iter().enumerate() {
        let path = path.index(i);
        let path = path.child("name");
        let name = text(sysctl, "name");
        let dotted = name.replace('/', ".");
        if name.is_empty() {
            errors.required(&path, "");
        } else if !is_sysctl(name) {
            let detail = format!("must have at most {SYSCTL_MAX} characters and match regex {SYSCTL_FORM}");
            errors.invalid(&path, name, detail);
        } else if seen.contains(&dotted) {
            errors.duplicate(&path, name);
        }
        if flag(spec, "hostNetwork") && dotted.starts_with("net.") {
            errors.invalid(&path, name, "may not be specified when 'hostNetwork' is true");
        }
        let is_ipc =
            dotted.starts_with("kernel.shm") || dotted.starts_with("kernel.msg") || dotted == "kernel.sem";
        if flag(spec, "hostIPC") && (is_ipc || dotted.starts_with("fs.mqueue.")) {
            errors.invalid(&path, name, "may not be specified when 'hostIPC' is true");
        }
        seen.push(dotted);
    }
}

fn is_sysctl(name: &str) -> bool {
    let is_part = |part: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        edge(part.chars().next())
            && edge(part.chars().next_back())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
    };
    name.len() <= SYSCTL_MAX && name.split(['.', '/']).all(is_part)
}

/// A seccomp or AppArmor profile.
fn profile(errors: &mut ErrorList, path: &Path<'_>, context: &Value, key: &str, what: &str) {
    let Some(profile) = get(context, key) else { return };
    let path = path.child(key);
    let kind = text(profile, "type");
    if kind.is_empty() {
        errors.required(&path.child("type"), &format!("type is required when {key} is set"));
    } else {
        check::one_of_if_set(errors, &path.child("type"), kind, &SECCOMP);
    }
    let at = path.child("localhostProfile");
    let local = get(profile, "localhostProfile").and_then(Value::as_str);
    match (kind, local) {
        ("Localhost", None) => errors.required(&at, &format!("must be set when {what} type is Localhost")),
        ("Localhost", Some(file)) if what == "seccomp" => check::descending_path(errors, &at, file),
        ("Localhost", Some(name)) if name.trim().is_empty() => {
            errors.required(&at, &format!("must be set when {what} type is Localhost"));
        }
        (_, Some(file)) => {
            errors.invalid(&at, file, format!("can only be set when {what} type is Localhost"));
        }
        _ => {}
    }
}

/// The context of a container.
pub(super) fn container(errors: &mut ErrorList, path: &Path<'_>, context: Option<&Value>, own_users: bool) {
    let Some(context) = context else { return };
    id(errors, path, context, "runAsUser");
    id(errors, path, context, "runAsGroup");
    if let Some(mount) = get(context, "procMount").and_then(Value::as_str) {
        let path = path.child("procMount");
        check::one_of_if_set(errors, &path, mount, &["Default", "Unmasked"]);
        if mount == "Unmasked" && !own_users {
            errors.invalid(&path, mount, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    profile(errors, path, context, "seccompProfile", "seccomp");
    if context.get("allowPrivilegeEscalation") == Some(&Value::Bool(false)) {
        if flag(context, "privileged") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.invalid(path, shown(context), detail);
        }
        let admin =
            get(context, "capabilities").is_some_and(|c| texts(c, "add").any(|c| c == "CAP_SYS_ADMIN"));
        if admin {
            let detail =
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.invalid(path, shown(context), detail);
        }
    }
    super::windows::validate(errors, path, context);
    profile(errors, path, context, "appArmorProfile", "AppArmor");
}

/// A container's context as messages show it.
fn shown(context: &Value) -> BadValue {
    const FIELDS: [(&str, &str); 11] = [
        ("Privileged", "privileged"),
        ("SELinuxOptions", "seLinuxOptions"),
        ("WindowsOptions", "windowsOptions"),
        ("RunAsUser", "runAsUser"),
        ("RunAsGroup", "runAsGroup"),
        ("RunAsNonRoot", "runAsNonRoot"),
        ("ReadOnlyRootFilesystem", "readOnlyRootFilesystem"),
        ("AllowPrivilegeEscalation", "allowPrivilegeEscalation"),
        ("ProcMount", "procMount"),
        ("SeccompProfile", "seccompProfile"),
        ("AppArmorProfile", "appArmorProfile"),
    ];
    let capabilities = match get(context, "capabilities") {
        Some(capabilities) => go_struct_text(capabilities, &[("Add", "add"), ("Drop", "drop")]),
        None => "null".to_owned(),
    };
    let rest = go_struct_text(context, &FIELDS);
    BadValue::Raw(format!("{{\"Capabilities\":{capabilities},{}", rest.trim_start_matches('{')))
}

/// User namespaces do not go with the host's other namespaces (KEP-127).
pub(super) fn host_users(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    if spec.get("hostUsers") != Some(&Value::Bool(false)) {
        return;
    }
    for (key, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if flag(spec, key) {
            errors.forbidden(&path.child(shown), HOST_USERS);
        }
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        let path = path.child(list);
        for (i, container) in items(spec, list).iter().enumerate() {
            if !items(container, "volumeDevices").is_empty() {
                errors.forbidden(&path.index(i).child("volumeDevices"), HOST_USERS);
            }
        }
    }
}
