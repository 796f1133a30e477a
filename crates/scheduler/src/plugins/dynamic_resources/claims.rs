//! Which claims a pod has, and what they ask for.

use std::collections::HashMap;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{Container, ContainerExtendedResourceRequest};
use api_types::k8s::api::resource::v1::{
    DeviceClass, DeviceConstraint, DeviceRequest, DeviceSelector, DeviceToleration, ExactDeviceRequest,
    ResourceClaim,
};
use api_types::quantity::Quantity;
use client::kube::ResourceExt;

use crate::cache::{NodeInfo, PodInfo, is_extended};
use crate::framework::{Objects, Rejection};

/// Pods that may share a claim.
const MAX_USERS: usize = 256;
/// Prefix under which every device class is an extended resource.
const IMPLICIT: &str = "deviceclass.resource.kubernetes.io/";

/// A claim that needs devices.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The claim; `None` for the one that is made for extended resources.
    pub claim: Option<Arc<ResourceClaim>>,
    /// Each with its alternatives, best first.
    pub requests: Vec<Vec<Request>>,
    /// What the devices must agree or differ in.
    pub constraints: Vec<DeviceConstraint>,
}

/// What is asked for, by one alternative.
#[derive(Clone, Debug)]
pub struct Request {
    /// Name as constraints and results give it: `request` or `request/alternative`.
    pub name: String,
    /// The class.
    pub class: Arc<DeviceClass>,
    /// The request's own selectors.
    pub selectors: Vec<DeviceSelector>,
    /// How many; `None` for all there are.
    pub count: Option<usize>,
    /// Only to look after devices that others use.
    pub admin: bool,
    /// Taints that do not matter.
    pub tolerations: Vec<DeviceToleration>,
    /// The extended resource that this stands for.
    pub resource: Option<String>,
}

impl Wanted {
    /// What a claim asks for.
    ///
    /// # Errors
    /// When a class does not exist.
    pub fn new(objects: &Objects, claim: Arc<ResourceClaim>) -> Result<Self, Rejection> {
        let devices = claim.spec.devices.clone().unwrap_or_default();
        let requests = devices.requests.iter().flatten().map(|request| alternatives(objects, request));
        Ok(Self {
            requests: requests.collect::<Result<_, _>>()?,
            constraints: devices.constraints.unwrap_or_default(),
            claim: Some(claim),
        })
    }

    /// The same on a node: a claim for extended resources leaves out what the node has by itself. `None` when nothing
    /// is left.
    pub fn on(&self, _: &PodInfo, node: &NodeInfo) -> Option<Self> {
        let needed = |request: &Vec<Request>| {
            let resource = request.first().and_then(|request| request.resource.as_ref());
            resource.is_none_or(|resource| node.allocatable.amount(resource) == 0)
        };
        let mut copy = self.clone();
        copy.requests.retain(needed);
        (self.claim.is_some() || !copy.requests.is_empty()).then_some(copy)
    }

    /// The claim's uid, or the pod's for extended resources.
    pub fn uid<'a>(&'a self, pod: &'a PodInfo) -> &'a str {
        match &self.claim {
            Some(claim) => claim.metadata.uid.as_deref().unwrap_or_default(),
            None => &pod.uid,
        }
    }
}

fn alternatives(objects: &Objects, request: &DeviceRequest) -> Result<Vec<Request>, Rejection> {
    let class = |name: &str| {
        let found = objects.device_classes.store().find("", name);
        let missing = || format!("request {}: device class {name} does not exist", request.name);
        found.ok_or_else(|| Rejection::unresolvable(missing()))
    };
    let count = |mode: Option<&str>, count: Option<i64>| match mode {
        Some("All") => None,
        _ => Some(usize::try_from(count.unwrap_or(1)).unwrap_or(1)),
    };
    if let Some(exact) = &request.exactly {
        return Ok(vec![Request {
            name: request.name.clone(),
            class: class(&exact.device_class_name)?,
            selectors: exact.selectors.clone().unwrap_or_default(),
            count: count(exact.allocation_mode.as_deref(), exact.count),
            admin: exact.admin_access.unwrap_or(false),
            tolerations: exact.tolerations.clone().unwrap_or_default(),
            resource: None,
        }]);
    }
    let sub_requests = request.first_available.iter().flatten().map(|sub| {
        Ok(Request {
            name: format!("{}/{}", request.name, sub.name),
            class: class(&sub.device_class_name)?,
            selectors: sub.selectors.clone().unwrap_or_default(),
            count: count(sub.allocation_mode.as_deref(), sub.count),
            admin: false,
            tolerations: sub.tolerations.clone().unwrap_or_default(),
            resource: None,
        })
    });
    sub_requests.collect()
}

/// Whether a pod names claims.
pub fn has_claims(pod: &PodInfo) -> bool {
    pod.spec().resource_claims.as_ref().is_some_and(|claims| !claims.is_empty())
}

/// The pod's claims.
///
/// # Errors
/// When one is not there yet, or is not the pod's.
pub fn of_pod(objects: &Objects, pod: &PodInfo) -> Result<Vec<Arc<ResourceClaim>>, Rejection> {
    let statuses =
        pod.status().and_then(|status| status.resource_claim_statuses.as_deref()).unwrap_or_default();
    let mut claims = Vec::new();
    for reference in pod.spec().resource_claims.iter().flatten() {
        let made = statuses.iter().find(|status| status.name == reference.name);
        let (name, own) = match (&reference.resource_claim_name, made) {
            (Some(name), _) => (name, false),
            (None, Some(status)) => match &status.resource_claim_name {
                Some(name) => (name, true),
                // No claim is needed.
                None => continue,
            },
            (None, None) => {
                let text = format!("pod {}: ResourceClaim not created yet", pod.key);
                return Err(Rejection::unresolvable(text));
            }
        };
        let Some(claim) = objects.resource_claims.store().find(&pod.namespace, name) else {
            return Err(Rejection::unresolvable(format!("resourceclaim.resource.k8s.io {name:?} not found")));
        };
        if claim.metadata.deletion_timestamp.is_some() {
            return Err(Rejection::unresolvable(format!("resourceclaim {name:?} is being deleted")));
        }
        if own && !client::owner::is_controlled_by(&claim.metadata, &*pod.pod) {
            let text = format!("ResourceClaim {}/{name} was not created for pod {}", pod.namespace, pod.key);
            return Err(Rejection::unresolvable(text));
        }
        claims.push(claim);
    }
    Ok(claims)
}

/// Whether the pod uses the claim or may still join its users.
pub fn has_room(claim: &ResourceClaim, pod: &PodInfo) -> bool {
    let users = claim.status.as_ref().and_then(|status| status.reserved_for.as_deref()).unwrap_or_default();
    users.len() < MAX_USERS || users.iter().any(|user| user.uid == *pod.uid)
}

/// A claim for the extended resources of the pod that device classes serve, and which request is for which container.
pub fn extended(objects: &Objects, pod: &PodInfo) -> Option<(Wanted, Vec<ContainerExtendedResourceRequest>)> {
    if !pod.requests.exact.scalars.iter().any(|(name, _)| is_extended(name) || name.starts_with(IMPLICIT)) {
        return None;
    }
    let mut classes: HashMap<String, Arc<DeviceClass>> = HashMap::new();
    objects.device_classes.store().for_each(|_, class| {
        if let Some(name) = &class.spec.extended_resource_name {
            // Of several classes the one created last serves, then the first by name.
            let newer = |known: &Arc<DeviceClass>| class.creation_timestamp() > known.creation_timestamp();
            if classes.get(name).is_none_or(newer) {
                classes.insert(name.clone(), Arc::clone(class));
            }
        }
        classes.insert(format!("{IMPLICIT}{}", class.name_any()), Arc::clone(class));
    });
    let (mut requests, mut mappings) = (Vec::new(), Vec::new());
    let spec = pod.spec();
    for (at, container) in spec.init_containers.iter().flatten().chain(&spec.containers).enumerate() {
        let served = amounts(container)
            .into_iter()
            .filter_map(|(name, count)| Some((classes.get(&name)?, name, count)));
        for (number, (class, resource, count)) in served.enumerate() {
            let name = format!("container-{at}-request-{number}");
            mappings.push(ContainerExtendedResourceRequest {
                container_name: container.name.clone(),
                request_name: name.clone(),
                resource_name: resource.clone(),
            });
            requests.push(vec![Request {
                name,
                class: Arc::clone(class),
                selectors: Vec::new(),
                count: Some(count),
                admin: false,
                tolerations: Vec::new(),
                resource: Some(resource),
            }]);
        }
    }
    let wanted = Wanted { claim: None, requests, constraints: Vec::new() };
    (!mappings.is_empty()).then_some((wanted, mappings))
}

/// The extended resources of a container, by name.
fn amounts(container: &Container) -> Vec<(String, usize)> {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let counted = requests.into_iter().flatten().filter_map(|(name, quantity)| {
        let count =
            usize::try_from(Quantity::parse(&quantity.0).ok()?.value()).ok().filter(|count| *count > 0)?;
        (is_extended(name) || name.starts_with(IMPLICIT)).then(|| (name.clone(), count))
    });
    counted.collect()
}

/// The specification of the claim that is made for extended resources.
pub fn specification(wanted: &Wanted) -> Vec<DeviceRequest> {
    let requests = wanted.requests.iter().flatten().map(|request| DeviceRequest {
        name: request.name.clone(),
        exactly: Some(ExactDeviceRequest {
            device_class_name: request.class.name_any(),
            allocation_mode: Some("ExactCount".to_owned()),
            count: request.count.and_then(|count| i64::try_from(count).ok()),
            ..ExactDeviceRequest::default()
        }),
        first_available: None,
    });
    requests.collect()
}
