//! What a pod's status may say.

use serde_json::Value;

use crate::field::{BadValue, Error, ErrorList, Path};
use crate::name;
use crate::validation::check;
use crate::validation::get::{get, items, text};

const STATUS: Path<'static> = Path::new("status");
const ONE_PER_FAMILY: &str = "may specify no more than one IP for each IP family";
/// Conditions that the system itself sets.
const SYSTEM_CONDITIONS: [&str; 7] = [
    "PodScheduled",
    "Ready",
    "Initialized",
    "ContainersReady",
    "DisruptionTarget",
    "PodReadyToStartContainers",
    "PodResizePending",
];

/// The rules for a changed status.
pub(in crate::validation) fn validate(errors: &mut ErrorList, pod: &Value, old: &Value) {
    let (status, before) = (&pod["status"], &old["status"]);
    super::update::annotations(errors, pod, old);
    let path = STATUS.child("conditions");
    for (i, condition) in items(status, "conditions").iter().enumerate() {
        let kind = text(condition, "type");
        if !SYSTEM_CONDITIONS.contains(&kind) {
            errors.invalid_each(&path.index(i).child("Type"), kind, name::qualified_name(kind));
        }
    }
    let nominated = text(status, "nominatedNodeName");
    if nominated != text(before, "nominatedNodeName") && !nominated.is_empty() {
        let path = STATUS.child("nominatedNodeName");
        errors.invalid_each(&path, nominated, name::dns1123_subdomain(nominated));
    }
    for (list, containers) in
        [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")]
    {
        transitions(errors, list, containers, pod, old);
    }
    addresses(errors, status, before, "hostIPs");
    addresses(errors, status, before, "podIPs");
    if get(status, "qosClass") != get(before, "qosClass") && get(before, "qosClass").is_some() {
        let shown = BadValue::maybe(get(status, "qosClass"));
        errors.invalid(&STATUS.child("qosClass"), shown, check::IMMUTABLE);
    }
}

/// Containers that are not restarted stay terminated.
fn transitions(errors: &mut ErrorList, list: &str, containers: &str, pod: &Value, old: &Value) {
    let spec = &old["spec"];
    let policy = text(spec, "restartPolicy");
    if policy == "Always" {
        return;
    }
    let path = STATUS.child(list);
    let (new, before) = (items(&pod["status"], list), items(&old["status"], list));
    for (i, was) in before.iter().enumerate() {
        let Some(ended) = was.get("state").and_then(|state| get(state, "terminated")) else { continue };
        let exit_code = ended.get("exitCode").and_then(Value::as_i64).unwrap_or(0);
        if policy == "OnFailure" && exit_code != 0 {
            continue;
        }
        let name = text(was, "name");
        let container = items(spec, containers).iter().find(|c| text(c, "name") == name);
        // A policy or rules of its own may restart the container.
        if container.is_some_and(|c| get(c, "restartPolicy").is_some()) {
            continue;
        }
        let now = new.iter().find(|status| text(status, "name") == name);
        if now.is_some_and(|now| now.get("state").is_none_or(|state| get(state, "terminated").is_none())) {
            let detail = "may not be transitioned to non-terminated state";
            errors.push(Error::forbidden(&path.index(i).child("state"), detail));
        }
    }
}

fn addresses(errors: &mut ErrorList, status: &Value, before: &Value, key: &str) {
    let path = STATUS.child(key);
    let ips: Vec<&str> = items(status, key).iter().map(|entry| text(entry, "ip")).collect();
    let stored: Vec<&str> = items(before, key).iter().map(|entry| text(entry, "ip")).collect();
    for (i, ip) in ips.iter().enumerate().filter(|(_, ip)| !stored.contains(ip)) {
        check::ip(errors, &path.index(i), ip);
    }
    let families: Vec<bool> =
        ips.iter().filter_map(|ip| check::parse_ip(ip)).map(|ip| ip.is_ipv4()).collect();
    let twice = |family: bool| families.iter().filter(|f| **f == family).count() > 1;
    if ips.len() > 2 || twice(true) || twice(false) {
        let type_name = if key == "podIPs" { "core/v1.PodIP" } else { "core/v1.HostIP" };
        let shown = check::internal_list(type_name, get(status, key));
        errors.invalid(&path, shown, ONE_PER_FAMILY);
    }
    for (i, ip) in ips.iter().enumerate() {
        if ips[..i].contains(ip) {
            errors.duplicate(&path.index(i), *ip);
        }
    }
}
