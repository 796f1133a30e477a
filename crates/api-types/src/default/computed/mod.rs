//! Defaults that depend on other values: a function per type.

mod objects;
mod pod;
mod pod_level;
mod scaling;
mod service;

use serde_json::{Map as JsonMap, Value};

/// An object in its printed form.
pub(super) type Object = JsonMap<String, Value>;

/// Fills in one value of a type; what it contains is visited afterwards.
pub(super) type Hook = fn(&mut Object);

/// The types that have such defaults.
pub(super) const HOOKS: &[(&str, Hook)] = &[
    ("apiextensions.k8s.io/v1.CustomResourceDefinition", objects::custom_resource_definition),
    ("apps/v1.StatefulSetUpdateStrategy", objects::stateful_set_strategy),
    ("apps/v1.StatefulSetSpec", objects::stateful_set_spec),
    ("autoscaling/v1.HorizontalPodAutoscaler", scaling::autoscaler_v1),
    ("autoscaling/v2.HorizontalPodAutoscalerSpec", scaling::autoscaler_spec),
    ("batch/v1.Job", objects::job),
    ("core/v1.Container", pod::container),
    ("core/v1.EphemeralContainer", pod::container),
    ("core/v1.ImageVolumeSource", pod::image_volume),
    ("core/v1.LimitRangeItem", objects::limit_range_item),
    ("core/v1.Namespace", objects::namespace),
    ("core/v1.NodeSpec", objects::node_spec),
    ("core/v1.NodeStatus", objects::node_status),
    ("core/v1.Pod", pod::pod),
    ("core/v1.PodSpec", pod::pod_spec),
    ("core/v1.ReplicationController", objects::replication_controller),
    ("core/v1.ResourceList", pod::resource_list),
    ("core/v1.Secret", objects::secret),
    ("core/v1.Service", service::service),
    ("core/v1.Volume", pod::volume),
    ("networking.k8s.io/v1.NetworkPolicySpec", objects::network_policy_spec),
    ("rbac.authorization.k8s.io/v1.Subject", objects::subject),
    ("resource.k8s.io/v1alpha3.DeviceTaint", objects::device_taint),
    ("resource.k8s.io/v1beta2.DeviceTaint", objects::device_taint),
    ("resource.k8s.io/v1beta1.DeviceTaint", objects::device_taint),
    ("resource.k8s.io/v1.DeviceTaint", objects::device_taint),
];

/// Text of a field, empty when absent.
fn text<'a>(object: &'a Object, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a field is absent, `null` or empty.
fn is_unset(object: &Object, name: &str) -> bool {
    match object.get(name) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(entries)) => entries.is_empty(),
        Some(_) => false,
    }
}

/// Whether a pointer field is absent.
fn is_nil(object: &Object, name: &str) -> bool {
    object.get(name).is_none_or(Value::is_null)
}

/// The object under a name, when there is one.
fn child<'a>(object: &'a mut Object, name: &str) -> Option<&'a mut Object> {
    object.get_mut(name).and_then(Value::as_object_mut)
}

/// The objects of a list.
fn children<'a>(object: &'a mut Object, name: &str) -> impl Iterator<Item = &'a mut Object> {
    object.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}
