//! Nodes.

use serde_json::Value;

use super::Validator;
use super::check::{self, go_struct};
use super::get::{entries, get, items, text, texts};
use super::pod;
use crate::field::{Error, ErrorKind, ErrorList, Path};
use crate::name;

/// Rules of `Node`.
pub static NODE: Validator = Validator { name: name::subdomain_rule, create, update };

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

fn create(node: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &node["spec"];
    taints(&mut errors, &Path::new("metadata.taints"), spec);
    for list in ["capacity", "allocatable"] {
        let path = Path::new("status");
        let path = path.child(list);
        for (resource, amount) in entries(&node["status"], list) {
            pod::quantity_value(&mut errors, &path.child(resource), resource, amount);
        }
    }
    pod_cidrs(&mut errors, spec);
    errors
}

/// Each address is listed once.
fn addresses(errors: &mut ErrorList, status: &Value) {
    let path = Path::new("status.addresses");
    let addresses = items(status, "addresses");
    for (i, address) in addresses.iter().enumerate() {
        if addresses[..i].contains(address) {
            let fields = [("Type", "type"), ("Address", "address")];
            errors.duplicate(&path.index(i), go_struct(address, &fields));
        }
    }
}

fn taints(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (i, taint) in items(spec, "taints").iter().enumerate() {
        let path = path.index(i);
        let (key, effect) = (text(taint, "key"), text(taint, "effect"));
        errors.invalid_each(&path.child("key"), key, name::qualified_name(key));
        let wrong = name::label_value(text(taint, "value"));
        if !wrong.is_empty() {
            errors.invalid(&path.child("value"), text(taint, "value"), wrong.join(";"));
        }
        check::one_of(errors, &path.child("effect"), effect, &EFFECTS);
        if seen.contains(&(effect, key)) {
            let mut copy = taint.clone();
            if let Some(map) = copy.as_object_mut() {
                map.entry("value").or_insert_with(|| Value::from(""));
            }
            let fields =
                [("Key", "key"), ("Value", "value"), ("Effect", "effect"), ("TimeAdded", "timeAdded")];
            let detail = "taints must be unique by key and effect pair";
            errors.push(Error::new(ErrorKind::Duplicate, &path, go_struct(&copy, &fields), detail));
        }
        seen.push((effect, key));
    }
}

fn pod_cidrs(errors: &mut ErrorList, spec: &Value) {
    let path = Path::new("spec.podCIDRs");
    let cidrs: Vec<&str> = texts(spec, "podCIDRs").collect();
    for (i, cidr) in cidrs.iter().enumerate() {
        check::cidr(errors, &path.index(i), cidr);
    }
    let families: Vec<bool> =
        cidrs.iter().filter_map(|c| check::parse_cidr(c)).map(|(ip, _)| ip.is_ipv4()).collect();
    let twice = |family: bool| families.iter().filter(|f| **f == family).count() > 1;
    if cidrs.len() > 2 || twice(true) || twice(false) {
        let detail = "may specify no more than one CIDR for each IP family";
        errors.invalid(&path, spec["podCIDRs"].clone(), detail);
    }
}

fn update(new: &Value, old: &Value) -> ErrorList {
    let mut errors = create(new);
    addresses(&mut errors, &new["status"]);
    let (spec, before) = (&new["spec"], &old["spec"]);
    if !items(before, "podCIDRs").is_empty() && get(spec, "podCIDRs") != get(before, "podCIDRs") {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        errors.forbidden(&Path::new("spec.podCIDRs"), detail);
    }
    let provider = text(before, "providerID");
    if !provider.is_empty() && text(spec, "providerID") != provider {
        let detail = "node updates may not change providerID except from \"\" to valid";
        errors.forbidden(&Path::new("spec.providerID"), detail);
    }
    errors
}
