//! Containers: regular, init and ephemeral.

use serde_json::Value;

use super::volume::Volumes;
use super::{env, handler, resources, security};
use crate::field::{ErrorList, Path};
use crate::name;
use crate::validation::check;
use crate::validation::get::{flag, get, int, items, text};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const ONLY_SIDECARS: &str = "may not be set for init containers without restartPolicy=Always";
const EPHEMERAL: &str = "cannot be set for an Ephemeral Container";
/// What a container that joins a running pod cannot have.
const NOT_EPHEMERAL: [&str; 9] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];
const GRACE_SECONDS: i64 = 30;

/// What a container's rules need to know of its pod.
struct Pod<'v> {
    volumes: &'v Volumes<'v>,
    claims: Vec<&'v str>,
    grace_seconds: i64,
    restart_policy: &'v str,
    own_users: bool,
}

/// All containers of a spec. `path` is the spec's.
pub(super) fn validate_all(errors: &mut ErrorList, path: &Path<'_>, spec: &Value, volumes: &Volumes<'_>) {
    let pod = Pod {
        volumes,
        claims: items(spec, "resourceClaims").iter().map(|c| text(c, "name")).collect(),
        grace_seconds: int(spec, "terminationGracePeriodSeconds").unwrap_or(GRACE_SECONDS),
        restart_policy: text(spec, "restartPolicy"),
        own_users: spec.get("hostUsers") == Some(&Value::Bool(false)),
    };
    regular(errors, &path.child("containers"), spec, &pod);
    init(errors, &path.child("initContainers"), spec, &pod);
    ephemeral(errors, &path.child("ephemeralContainers"), spec, &pod);
}

fn regular(errors: &mut ErrorList, path: &Path<'_>, spec: &Value, pod: &Pod<'_>) {
    let containers = items(spec, "containers");
    if containers.is_empty() {
        return errors.required(path, "");
    }
    let mut names: Vec<&str> = Vec::new();
    for (i, container) in containers.iter().enumerate() {
        let path = path.index(i);
        common(errors, &path, container, pod);
        unique_name(errors, &path, container, &mut names);
        handler::lifecycle(errors, &path, container, pod.grace_seconds);
        handler::probes(errors, &path, container, pod.grace_seconds);
        restart_rules(errors, &path, container);
    }
    host_port_conflicts(errors, path, containers, 0);
}

fn init(errors: &mut ErrorList, path: &Path<'_>, spec: &Value, pod: &Pod<'_>) {
    let mut names: Vec<&str> = items(spec, "containers").iter().map(|c| text(c, "name")).collect();
    let containers = items(spec, "initContainers");
    for (i, container) in containers.iter().enumerate() {
        let path_of_list = path;
        let path = path.index(i);
        common(errors, &path, container, pod);
        let is_sidecar = text(container, "restartPolicy") == "Always";
        restart_rules(errors, &path, container);
        unique_name(errors, &path, container, &mut names);
        host_port_conflicts(errors, path_of_list, &containers[i..=i], i);
        if is_sidecar {
            handler::lifecycle(errors, &path, container, pod.grace_seconds);
            handler::probes(errors, &path, container, pod.grace_seconds);
            continue;
        }
        for key in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if get(container, key).is_some() {
                errors.forbidden(&path.child(key), ONLY_SIDECARS);
            }
        }
        if !items(container, "resizePolicy").is_empty() {
            let shown = container["resizePolicy"].clone();
            errors.invalid(&path.child("resizePolicy"), shown, "must not be set for init containers");
        }
    }
}

fn ephemeral(errors: &mut ErrorList, path: &Path<'_>, spec: &Value, pod: &Pod<'_>) {
    let mut names: Vec<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| items(spec, list))
        .map(|c| text(c, "name"))
        .collect();
    let known: Vec<&str> = names.clone();
    for (i, container) in items(spec, "ephemeralContainers").iter().enumerate() {
        let path = path.index(i);
        common(errors, &path, container, pod);
        unique_name(errors, &path, container, &mut names);
        let target = text(container, "targetContainerName");
        if !target.is_empty() && !known.contains(&target) {
            errors.not_found(&path.child("targetContainerName"), target);
        }
        for key in NOT_EPHEMERAL {
            let set = get(container, key).is_some_and(|value| match value {
                Value::Array(items) => !items.is_empty(),
                Value::Object(entries) if key == "resources" => !entries.is_empty(),
                _ => true,
            });
            if set {
                errors.forbidden(&path.child(key), EPHEMERAL);
            }
        }
        let at = path.child("volumeMounts");
        for (i, mount) in items(container, "volumeMounts").iter().enumerate() {
            for key in ["subPath", "subPathExpr"] {
                if !text(mount, key).is_empty() {
                    errors.forbidden(&at.index(i).child(key), EPHEMERAL);
                }
            }
        }
    }
}

fn unique_name<'v>(errors: &mut ErrorList, path: &Path<'_>, container: &'v Value, names: &mut Vec<&'v str>) {
    let name = text(container, "name");
    if names.contains(&name) {
        errors.duplicate(&path.child("name"), name);
    } else if !name.is_empty() {
        names.push(name);
    }
}

/// Rules of every container.
fn common(errors: &mut ErrorList, path: &Path<'_>, container: &Value, pod: &Pod<'_>) {
    check::label(errors, &path.child("name"), text(container, "name"));
    if text(container, "image").is_empty() {
        errors.required(&path.child("image"), "");
    }
    let policy = text(container, "terminationMessagePolicy");
    check::one_of(
        errors,
        &path.child("terminationMessagePolicy"),
        policy,
        &["File", "FallbackToLogsOnError"],
    );
    ports(errors, &path.child("ports"), container);
    env::validate(errors, &path.child("env"), container);
    env::validate_from(errors, &path.child("envFrom"), container);
    pod.volumes.mounts(errors, &path.child("volumeMounts"), container);
    pod.volumes.devices(errors, &path.child("volumeDevices"), container);
    pull_policy(errors, &path.child("imagePullPolicy"), text(container, "imagePullPolicy"));
    resources::container(errors, &path.child("resources"), get(container, "resources"), &pod.claims);
    resize_policy(errors, &path.child("resizePolicy"), container, pod.restart_policy);
    security::container(
        errors,
        &path.child("securityContext"),
        get(container, "securityContext"),
        pod.own_users,
    );
}

/// When an image is pulled.
pub(super) fn pull_policy(errors: &mut ErrorList, path: &Path<'_>, policy: &str) {
    check::one_of(errors, path, policy, &PULL_POLICIES);
}

fn ports(errors: &mut ErrorList, path: &Path<'_>, container: &Value) {
    let mut names: Vec<&str> = Vec::new();
    for (i, port) in items(container, "ports").iter().enumerate() {
        let path = path.index(i);
        let name = text(port, "name");
        if !name.is_empty() {
            let wrong = name::port_name(name);
            if wrong.is_empty() && names.contains(&name) {
                errors.duplicate(&path.child("name"), name);
            }
            errors.invalid_each(&path.child("name"), name, wrong);
            names.push(name);
        }
        match int(port, "containerPort").unwrap_or(0) {
            0 => errors.required(&path.child("containerPort"), ""),
            number => errors.invalid_each(&path.child("containerPort"), number, name::port_number(number)),
        }
        if let Some(number) = int(port, "hostPort").filter(|n| *n != 0) {
            errors.invalid_each(&path.child("hostPort"), number, name::port_number(number));
        }
        check::one_of(errors, &path.child("protocol"), text(port, "protocol"), &PROTOCOLS);
    }
}

/// Two containers of a pod cannot have one port of the host. `offset` is the index of the first container.
fn host_port_conflicts(errors: &mut ErrorList, path: &Path<'_>, containers: &[Value], offset: usize) {
    let mut taken: Vec<String> = Vec::new();
    for (i, container) in containers.iter().enumerate() {
        let path = path.index(i + offset);
        let path = path.child("ports");
        for (i, port) in items(container, "ports").iter().enumerate() {
            let Some(number) = int(port, "hostPort").filter(|n| *n != 0) else { continue };
            let claim = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
            if taken.contains(&claim) {
                errors.duplicate(&path.index(i).child("hostPort"), claim);
            } else {
                taken.push(claim);
            }
        }
    }
}

fn resize_policy(errors: &mut ErrorList, path: &Path<'_>, container: &Value, restart_policy: &str) {
    let mut seen: Vec<&str> = Vec::new();
    for (i, policy) in items(container, "resizePolicy").iter().enumerate() {
        let (resource, restart) = (text(policy, "resourceName"), text(policy, "restartPolicy"));
        if seen.contains(&resource) {
            errors.duplicate(&path.index(i), resource);
        }
        seen.push(resource);
        check::one_of(errors, path, resource, &["cpu", "memory"]);
        check::one_of(errors, path, restart, &["NotRequired", "RestartContainer"]);
        if restart_policy == "Never" && restart == "RestartContainer" {
            errors.invalid(path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'");
        }
    }
}

/// Restart policy and rules of one container (KEP-5307).
fn restart_rules(errors: &mut ErrorList, path: &Path<'_>, container: &Value) {
    let policy = text(container, "restartPolicy");
    check::one_of_if_set(errors, &path.child("restartPolicy"), policy, &["Always", "Never", "OnFailure"]);
    let at = path.child("restartPolicyRules");
    let rules = items(container, "restartPolicyRules");
    if policy.is_empty() && !rules.is_empty() {
        errors.required(
            &path.child("restartPolicy"),
            "must specify restartPolicy when restartPolicyRules are used",
        );
    }
    for (i, rule) in rules.iter().enumerate() {
        let at = at.index(i);
        let action = text(rule, "action");
        check::one_of(errors, &at.child("action"), action, &["Restart", "RestartAllContainers"]);
        match get(rule, "exitCodes") {
            Some(codes) => {
                let operator = text(codes, "operator");
                check::one_of(errors, &at.child("exitCodes.operator"), operator, &["In", "NotIn"]);
            }
            None => errors.required(&at.child("exitCodes"), "must be specified"),
        }
    }
}

/// Images of pods (not of templates, which were stored before the rule) have no surrounding white space.
pub(in crate::validation) fn checked_image_whitespace(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        let path = path.child(list);
        for (i, container) in items(spec, list).iter().enumerate() {
            let image = text(container, "image");
            if image != image.trim() {
                errors.invalid(
                    &path.index(i).child("image"),
                    image,
                    "must not have leading or trailing whitespace",
                );
            }
        }
    }
}

/// Whether the container runs privileged.
pub(super) fn is_privileged(container: &Value) -> bool {
    get(container, "securityContext").is_some_and(|c| flag(c, "privileged"))
}
