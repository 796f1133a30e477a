//! From wanted endpoints and existing EndpointSlices to the fewest writes.

use std::collections::HashMap;

use api_types::k8s::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

/// Label that names a slice's service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label that names who keeps a slice.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Label of what belongs to a service without a cluster IP.
pub const HEADLESS: &str = "service.kubernetes.io/headless";
/// Annotation with the time of the change that a write tells of.
pub const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// Endpoints that share address family and ports.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// `IPv4` or `IPv6`.
    pub address_type: String,
    /// Ports, in the service's order.
    pub ports: Vec<EndpointPort>,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// A write.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create a slice for this content.
    Create(Group),
    /// Give a slice this content.
    Update(Box<EndpointSlice>, Group),
    /// Delete a slice.
    Delete(Box<EndpointSlice>),
}

/// The writes that make `existing` hold exactly `wanted`, at most `max` endpoints per slice. Endpoints stay in the slices
/// that hold them; free places are used before new slices are made. An address family without endpoints keeps one empty
/// slice if `placeholders` names it. `stale` tells that a slice needs a write for other reasons (labels).
pub fn reconcile(
    existing: &[EndpointSlice],
    wanted: Vec<Group>,
    max: usize,
    placeholders: &[String],
    stale: impl Fn(&EndpointSlice) -> bool,
) -> Vec<Action> {
    let mut unused: Vec<&EndpointSlice> = existing.iter().collect();
    let mut actions = Vec::new();
    let mut groups = merge(wanted);
    for family in placeholders {
        if !groups.iter().any(|group| &group.address_type == family) {
            groups.push(Group { address_type: family.clone(), ports: Vec::new(), endpoints: Vec::new() });
        }
    }
    let mut overflow = Vec::new();
    for group in groups {
        place(group, &mut unused, max.max(1), &mut actions, &mut overflow, &stale);
    }
    // A slice that would go and one that would come are one write when the family allows.
    for group in overflow {
        let reusable = unused.iter().position(|slice| slice.address_type == group.address_type);
        match reusable.map(|at| unused.swap_remove(at)) {
            Some(slice) => actions.push(Action::Update(Box::new(slice.clone()), group)),
            None => actions.push(Action::Create(group)),
        }
    }
    actions.extend(unused.into_iter().map(|slice| Action::Delete(Box::new(slice.clone()))));
    actions
}

/// Groups with equal ports and family become one.
fn merge(wanted: Vec<Group>) -> Vec<Group> {
    let mut merged: Vec<Group> = Vec::new();
    for group in wanted {
        match merged
            .iter_mut()
            .find(|known| known.address_type == group.address_type && known.ports == group.ports)
        {
            Some(known) => known.endpoints.extend(group.endpoints),
            None => merged.push(group),
        }
    }
    merged
}

/// Keeps the group's endpoints where they are, fills free places, and leaves the rest to `overflow`.
fn place(
    group: Group,
    unused: &mut Vec<&EndpointSlice>,
    max: usize,
    actions: &mut Vec<Action>,
    overflow: &mut Vec<Group>,
    stale: &impl Fn(&EndpointSlice) -> bool,
) {
    let (mine, others): (Vec<_>, Vec<_>) = unused.drain(..).partition(|slice| {
        slice.address_type == group.address_type && slice.ports.clone().unwrap_or_default() == group.ports
    });
    *unused = others;
    let Group { address_type, ports, endpoints } = group;
    let is_placeholder = endpoints.is_empty();
    let order: Vec<String> = endpoints.iter().map(identity).collect();
    let mut left: HashMap<String, Endpoint> =
        endpoints.into_iter().map(|endpoint| (identity(&endpoint), endpoint)).collect();
    let mut contents: Vec<(&EndpointSlice, Vec<Endpoint>)> = Vec::new();
    for slice in mine {
        let current = slice.endpoints.clone().unwrap_or_default();
        let kept: Vec<Endpoint> =
            current.iter().take(max).filter_map(|endpoint| left.remove(&identity(endpoint))).collect();
        contents.push((slice, kept));
    }
    let mut rest: Vec<Endpoint> = order.iter().filter_map(|id| left.remove(id)).collect();
    // Slices that change anyway are filled first, then the fullest.
    contents.sort_by_key(|(slice, kept)| {
        (slice.endpoints.as_deref().unwrap_or_default() == kept.as_slice(), usize::MAX - kept.len())
    });
    let mut keep_empty = is_placeholder;
    for (slice, mut kept) in contents {
        let room = max.saturating_sub(kept.len()).min(rest.len());
        kept.extend(rest.drain(..room));
        if kept.is_empty() && !std::mem::take(&mut keep_empty) {
            unused.push(slice);
            continue;
        }
        let changed = slice.endpoints.as_deref().unwrap_or_default() != kept.as_slice();
        if changed || stale(slice) {
            let content = Group { address_type: address_type.clone(), ports: ports.clone(), endpoints: kept };
            actions.push(Action::Update(Box::new(slice.clone()), content));
        }
    }
    while !rest.is_empty() || keep_empty {
        keep_empty = false;
        let chunk: Vec<Endpoint> = rest.drain(..max.min(rest.len())).collect();
        overflow.push(Group { address_type: address_type.clone(), ports: ports.clone(), endpoints: chunk });
    }
}

/// What makes an endpoint the same although its conditions change.
fn identity(endpoint: &Endpoint) -> String {
    let target = endpoint.target_ref.as_ref().and_then(|target| target.uid.as_deref()).unwrap_or("");
    format!("{}|{target}", endpoint.addresses.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(port: i32, addresses: &[&str]) -> Group {
        let port = EndpointPort { port: Some(port), ..EndpointPort::default() };
        let endpoint =
            |address: &&str| Endpoint { addresses: vec![(*address).to_owned()], ..Endpoint::default() };
        Group {
            address_type: "IPv4".into(),
            ports: vec![port],
            endpoints: addresses.iter().map(endpoint).collect(),
        }
    }

    fn slice(name: &str, group: Group) -> EndpointSlice {
        let mut slice = EndpointSlice { address_type: group.address_type, ..EndpointSlice::default() };
        slice.metadata.name = Some(name.into());
        slice.endpoints = Some(group.endpoints);
        slice.ports = Some(group.ports);
        slice
    }

    fn names(actions: &[Action]) -> Vec<String> {
        let text = |action: &Action| match action {
            Action::Create(group) => format!("create {}", group.endpoints.len()),
            Action::Update(slice, group) => {
                format!("update {} {}", slice.metadata.name.as_deref().unwrap_or(""), group.endpoints.len())
            }
            Action::Delete(slice) => format!("delete {}", slice.metadata.name.as_deref().unwrap_or("")),
        };
        actions.iter().map(text).collect()
    }

    fn run(existing: &[EndpointSlice], wanted: Vec<Group>) -> Vec<String> {
        names(&reconcile(existing, wanted, 2, &["IPv4".to_owned()], |_| false))
    }

    #[test]
    fn as_few_writes_as_possible() {
        assert_eq!(run(&[], vec![]), ["create 0"]);
        assert_eq!(run(&[], vec![group(80, &["a", "b", "c"])]), ["create 2", "create 1"]);
        let existing = [slice("x", group(80, &["a", "b"])), slice("y", group(80, &["c"]))];
        assert!(run(&existing, vec![group(80, &["c", "b", "a"])]).is_empty());
        assert_eq!(run(&existing, vec![group(80, &["a", "b", "c", "d"])]), ["update y 2"]);
        assert_eq!(run(&existing, vec![group(80, &["a", "c"])]), ["update x 1"]);
        assert_eq!(run(&existing, vec![group(80, &["a", "b"])]), ["delete y"]);
        assert_eq!(run(&existing, vec![group(81, &["a"])]).len(), 2, "one slice is reused, one deleted");
        assert_eq!(run(&[slice("x", group(80, &["a"]))], vec![]), ["update x 0"]);
    }
}
