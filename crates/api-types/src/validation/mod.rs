//! The rules that an object must satisfy to be stored, per kind, in upstream's words and order.
//!
//! Rules read the printed JSON form after defaulting. They are pure: what needs other objects (allocation, quotas,
//! references) belongs to the apiserver's strategies and admission. A kind without rules of its own still has those
//! of its metadata.

mod admission;
mod autoscaling;
mod batch;
mod batch_success;
mod check;
mod cluster;
mod config;
mod cron;
mod csi;
mod custom;
mod custom_definition;
mod devices;
mod endpoints;
mod flowcontrol;
mod format;
mod get;
mod meta;
mod networking;
mod node;
mod pod;
mod policy;
mod rbac;
mod selector;
mod service;
mod service_update;
mod status;
mod storage;
mod workloads;

use serde_json::Value;

use crate::field::ErrorList;
use crate::name;
use crate::resource::ResourceInfo;

pub use admission::RESERVED_WORDS;
pub use custom::counterpart;
pub use custom_definition::{approval, schema_places, shown_rule};
pub use meta::{validate_create as metadata_create, validate_update as metadata_update};
pub use pod::{spec_rules as pod_spec, update_ephemeral as pod_ephemeral_update};
pub use service::cluster_ips as service_cluster_ips;

/// The rules of one kind, beside those of its metadata.
pub struct Validator {
    /// What the name must look like.
    pub name: name::Rule,
    /// Rules for a new object.
    pub create: fn(&Value) -> ErrorList,
    /// Rules for a changed object, given the stored one.
    pub update: fn(&Value, &Value) -> ErrorList,
}

/// A kind whose rules for changes are those for new objects.
const fn same(
    name: name::Rule,
    create: fn(&Value) -> ErrorList,
    update: fn(&Value, &Value) -> ErrorList,
) -> Validator {
    Validator { name, create, update }
}

/// All rules for a new object, metadata first.
pub fn create(resource: &ResourceInfo, object: &Value) -> ErrorList {
    let validator = for_kind(&resource.group, &resource.kind);
    if let Some(validator) = validator
        .filter(|_| reported_group(&resource.group, &resource.kind).is_empty() && resource.kind == "Event")
    {
        return event(validator, object);
    }
    let rule = validator.map_or(name::subdomain_rule as name::Rule, |v| v.name);
    let mut errors = meta::validate_create(object, resource.namespaced, rule, resource.is_custom());
    if let Some(validator) = validator {
        errors.append((validator.create)(object));
    }
    errors.append(custom(resource, object, None));
    errors
}

/// The metadata of events is looked at only when they are fine otherwise, and their names need only fit into a path.
fn event(validator: &Validator, object: &Value) -> ErrorList {
    let errors = (validator.create)(object);
    if !errors.is_empty() {
        return errors;
    }
    meta::validate_create(object, true, name::path_segment_rule, false)
}

/// All rules for a changed object, metadata first.
///
/// Upstream checks metadata in its generic registry and again with the kind, so that each fault is a cause twice (or
/// more, where the kind runs its rules for new objects too); clients see the causes.
pub fn update(resource: &ResourceInfo, object: &Value, old: &Value) -> ErrorList {
    let mut errors = meta::validate_create(object, resource.namespaced, name::path_segment_rule, true);
    errors.append(meta::validate_update(object, old));
    errors.append(meta::validate_update(object, old));
    if let Some(validator) = for_kind(&resource.group, &resource.kind) {
        if runs_creation_rules(&resource.group, &resource.kind) {
            errors.append(meta::validate_create(object, resource.namespaced, validator.name, false));
        }
        errors.append(without_stored((validator.update)(object, old), old));
    }
    errors.append(custom(resource, object, Some(old)));
    errors
}

/// The rules that a definition states for its objects; none for built-in resources.
fn custom(resource: &ResourceInfo, object: &Value, old: Option<&Value>) -> ErrorList {
    if !resource.is_custom() {
        return ErrorList::new();
    }
    let mut errors = custom::validate(&resource.schema, object, old);
    errors.append(custom::validate_scale(resource, object));
    errors
}

/// Drops the errors of younger rules about values that are stored already.
fn without_stored(errors: ErrorList, old: &Value) -> ErrorList {
    let is_stored = |error: &crate::field::Error| match &error.bad_value {
        crate::field::BadValue::Json(value) if error.ratchets => contains(old, value),
        _ => false,
    };
    errors.into_iter().filter(|error| !is_stored(error)).collect()
}

fn contains(haystack: &Value, value: &Value) -> bool {
    match haystack {
        Value::Array(items) => items.iter().any(|item| contains(item, value)),
        Value::Object(entries) => entries.values().any(|entry| contains(entry, value)),
        scalar => scalar == value,
    }
}

/// Kinds whose changed objects have their metadata checked as new ones have.
fn runs_creation_rules(group: &str, kind: &str) -> bool {
    matches!(
        (group, kind),
        (
            "",
            "ConfigMap"
                | "Secret"
                | "Pod"
                | "Service"
                | "PersistentVolumeClaim"
                | "PersistentVolume"
                | "LimitRange"
                | "Endpoints"
        ) | ("batch", "Job")
            | ("rbac.authorization.k8s.io", _)
    )
}

/// All rules for a change through the status subresource.
pub fn update_status(resource: &ResourceInfo, object: &Value, old: &Value) -> ErrorList {
    let mut errors = meta::validate_create(object, resource.namespaced, name::path_segment_rule, true);
    errors.append(meta::validate_update(object, old));
    errors.append(meta::validate_update(object, old));
    errors.append(status::validate(&resource.group, &resource.kind, object, old));
    errors.append(custom(resource, object, Some(old)));
    errors
}

/// The group under which failures of a kind are reported: events of both groups are one kind, the core one.
pub fn reported_group<'a>(group: &'a str, kind: &str) -> &'a str {
    if (group, kind) == ("events.k8s.io", "Event") { "" } else { group }
}

/// The rules of a built-in kind; `None` when it has none beside its metadata's.
pub fn for_kind(group: &str, kind: &str) -> Option<&'static Validator> {
    Some(match (group, kind) {
        ("", "Pod") => &pod::POD,
        ("", "PodTemplate") => &pod::POD_TEMPLATE,
        ("", "ReplicationController") => &workloads::REPLICATION_CONTROLLER,
        ("apps", "Deployment") => &workloads::DEPLOYMENT,
        ("apps", "ReplicaSet") => &workloads::REPLICA_SET,
        ("apps", "DaemonSet") => &workloads::DAEMON_SET,
        ("apps", "StatefulSet") => &workloads::STATEFUL_SET,
        ("apps", "ControllerRevision") => &workloads::CONTROLLER_REVISION,
        ("batch", "Job") => &batch::JOB,
        ("batch", "CronJob") => &batch::CRON_JOB,
        ("", "Service") => &service::SERVICE,
        ("", "ConfigMap") => &config::CONFIG_MAP,
        ("", "Secret") => &config::SECRET,
        ("", "Namespace") => &config::NAMESPACE,
        ("", "LimitRange") => &config::LIMIT_RANGE,
        ("", "ResourceQuota") => &config::RESOURCE_QUOTA,
        ("", "ServiceAccount") => &config::SERVICE_ACCOUNT,
        ("", "Node") => &node::NODE,
        ("rbac.authorization.k8s.io", "Role") => &rbac::ROLE,
        ("rbac.authorization.k8s.io", "ClusterRole") => &rbac::CLUSTER_ROLE,
        ("rbac.authorization.k8s.io", "RoleBinding") => &rbac::ROLE_BINDING,
        ("rbac.authorization.k8s.io", "ClusterRoleBinding") => &rbac::CLUSTER_ROLE_BINDING,
        ("", "PersistentVolumeClaim") => &storage::PERSISTENT_VOLUME_CLAIM,
        ("", "PersistentVolume") => &storage::PERSISTENT_VOLUME,
        ("storage.k8s.io", "StorageClass") => &storage::STORAGE_CLASS,
        ("networking.k8s.io", "Ingress") => &networking::INGRESS,
        ("networking.k8s.io", "IngressClass") => &networking::INGRESS_CLASS,
        ("networking.k8s.io", "NetworkPolicy") => &networking::NETWORK_POLICY,
        ("autoscaling", "HorizontalPodAutoscaler") => &autoscaling::HORIZONTAL_POD_AUTOSCALER,
        ("policy", "PodDisruptionBudget") => &policy::POD_DISRUPTION_BUDGET,
        ("scheduling.k8s.io", "PriorityClass") => &policy::PRIORITY_CLASS,
        ("coordination.k8s.io", "Lease") => &policy::LEASE,
        ("", "Endpoints") => &endpoints::ENDPOINTS,
        ("discovery.k8s.io", "EndpointSlice") => &endpoints::ENDPOINT_SLICE,
        ("", "Event") => &endpoints::EVENT,
        ("events.k8s.io", "Event") => &endpoints::EVENTS_EVENT,
        ("storage.k8s.io", "CSIDriver") => &csi::CSI_DRIVER,
        ("storage.k8s.io", "CSINode") => &csi::CSI_NODE,
        ("storage.k8s.io", "CSIStorageCapacity") => &csi::CSI_STORAGE_CAPACITY,
        ("storage.k8s.io", "VolumeAttachment") => &csi::VOLUME_ATTACHMENT,
        ("storage.k8s.io", "VolumeAttributesClass") => &csi::VOLUME_ATTRIBUTES_CLASS,
        ("node.k8s.io", "RuntimeClass") => &cluster::RUNTIME_CLASS,
        ("networking.k8s.io", "IPAddress") => &cluster::IP_ADDRESS,
        ("networking.k8s.io", "ServiceCIDR") => &cluster::SERVICE_CIDR,
        ("apiregistration.k8s.io", "APIService") => &cluster::API_SERVICE,
        ("certificates.k8s.io", "CertificateSigningRequest") => &cluster::CERTIFICATE_SIGNING_REQUEST,
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => &flowcontrol::FLOW_SCHEMA,
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => &flowcontrol::PRIORITY_LEVEL,
        ("resource.k8s.io", "ResourceClaim") => &devices::RESOURCE_CLAIM,
        ("resource.k8s.io", "ResourceClaimTemplate") => &devices::RESOURCE_CLAIM_TEMPLATE,
        ("resource.k8s.io", "DeviceClass") => &devices::DEVICE_CLASS,
        ("resource.k8s.io", "ResourceSlice") => &devices::RESOURCE_SLICE,
        ("admissionregistration.k8s.io", kind) => return admission(kind),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            &custom_definition::CUSTOM_RESOURCE_DEFINITION
        }
        _ => return None,
    })
}

fn admission(kind: &str) -> Option<&'static Validator> {
    Some(match kind {
        "MutatingWebhookConfiguration" => &admission::MUTATING_WEBHOOK_CONFIGURATION,
        "ValidatingWebhookConfiguration" => &admission::VALIDATING_WEBHOOK_CONFIGURATION,
        "ValidatingAdmissionPolicy" => &admission::VALIDATING_ADMISSION_POLICY,
        "ValidatingAdmissionPolicyBinding" => &admission::VALIDATING_ADMISSION_POLICY_BINDING,
        "MutatingAdmissionPolicy" => &admission::MUTATING_ADMISSION_POLICY,
        "MutatingAdmissionPolicyBinding" => &admission::MUTATING_ADMISSION_POLICY_BINDING,
        _ => return None,
    })
}
