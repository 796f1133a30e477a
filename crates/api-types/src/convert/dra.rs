//! `resource.k8s.io/v1beta1` (KEP-4381): a request for a device is flat, and a device's description is nested.

use serde_json::{Map as JsonMap, Value};

use super::Object;

/// Fields of a flat request that v1beta2 moved into `exactly`.
const EXACTLY: [&str; 7] =
    ["deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations", "capacity"];

pub(super) fn from_v1beta1(kind: &str, object: &mut Object) {
    each_request(kind, object, |request| {
        let exactly: JsonMap<String, Value> = EXACTLY
            .iter()
            .filter_map(|name| request.remove_entry(*name))
            .filter(|(_, v)| !is_empty(v))
            .collect();
        if !exactly.is_empty() {
            request.insert("exactly".into(), Value::Object(exactly));
        }
    });
    each_device(kind, object, |device| {
        if let Some(Value::Object(basic)) = device.remove("basic") {
            device.extend(basic);
        }
    });
}

pub(super) fn to_v1beta1(kind: &str, object: &mut Object) {
    each_request(kind, object, |request| {
        if let Some(Value::Object(exactly)) = request.remove("exactly") {
            request.extend(exactly);
        }
    });
    each_device(kind, object, |device| {
        let name = device.remove("name").unwrap_or_default();
        let basic = std::mem::take(device);
        device.insert("name".into(), name);
        device.insert("basic".into(), Value::Object(basic));
    });
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Visits the device requests of a claim or claim template.
fn each_request(kind: &str, object: &mut Object, visit: impl Fn(&mut Object)) {
    let pointer = match kind {
        "ResourceClaim" => "/devices/requests",
        "ResourceClaimTemplate" => "/spec/devices/requests",
        _ => return,
    };
    each(object, pointer, visit);
}

/// Visits the devices of a slice.
fn each_device(kind: &str, object: &mut Object, visit: impl Fn(&mut Object)) {
    if kind == "ResourceSlice" {
        each(object, "/devices", visit);
    }
}

fn each(object: &mut Object, pointer: &str, visit: impl Fn(&mut Object)) {
    let list = object.get_mut("spec").and_then(|s| s.pointer_mut(pointer)).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut).for_each(visit);
}
