//! Finds devices on one node for all requests of a pod, by trying one after the other and stepping back.

use std::collections::HashSet;

use api_types::k8s::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};
use api_types::k8s::api::resource::v1::{
    AllocationResult, DeviceAllocationConfiguration, DeviceAllocationResult, DeviceConstraint,
    DeviceRequestAllocationResult, DeviceTaint, DeviceToleration,
};

use super::claims::{Request, Wanted};
use super::inventory::{Available, DeviceId};
use super::selector::Selectors;
use crate::cache::NodeInfo;

/// Choices tried on one node before it counts as unsuitable: a search may take exponentially long.
const MAX_CHOICES: usize = 100_000;

/// Devices for every claim, in their order, or `None` when there are not enough.
pub fn allocate(
    selectors: &Selectors,
    devices: &[Available],
    used: &HashSet<DeviceId>,
    wanted: &[Wanted],
    node: &NodeInfo,
) -> Option<Vec<AllocationResult>> {
    let mut search = Search { selectors, devices, used, wanted, taken: Vec::new(), choices: 0 };
    if !search.claim(0, 0) {
        return None;
    }
    let results = |at: usize| search.taken.iter().filter(move |taken| taken.claim == at);
    Some(wanted.iter().enumerate().map(|(at, want)| result(want, results(at), devices, node)).collect())
}

/// A device for a request.
struct Taken<'a> {
    claim: usize,
    request: &'a Request,
    device: usize,
}

struct Search<'a> {
    selectors: &'a Selectors,
    devices: &'a [Available],
    used: &'a HashSet<DeviceId>,
    wanted: &'a [Wanted],
    taken: Vec<Taken<'a>>,
    choices: usize,
}

impl<'a> Search<'a> {
    /// Serves the requests from number `request` of claim number `claim` on.
    fn claim(&mut self, claim: usize, request: usize) -> bool {
        let wanted: &'a [Wanted] = self.wanted;
        let Some(want) = wanted.get(claim) else { return true };
        let Some(alternatives) = want.requests.get(request) else { return self.claim(claim + 1, 0) };
        alternatives.iter().any(|alternative| self.alternative(claim, request, alternative))
    }

    fn alternative(&mut self, claim: usize, number: usize, request: &'a Request) -> bool {
        let suitable: Vec<usize> =
            (0..self.devices.len()).filter(|at| self.suits(request, &self.devices[*at])).collect();
        let count = match request.count {
            Some(count) => count,
            // "All" means all there are, and at least one.
            None if suitable.is_empty() => return false,
            None => suitable.len(),
        };
        suitable.len() >= count && self.choose(claim, number, request, &suitable, count)
    }

    /// Takes `count` more of the suitable devices, then goes on with the next request.
    fn choose(
        &mut self,
        claim: usize,
        number: usize,
        request: &'a Request,
        suitable: &[usize],
        count: usize,
    ) -> bool {
        if count == 0 {
            return self.claim(claim, number + 1);
        }
        for (position, at) in suitable.iter().enumerate() {
            // The later ones would be too few.
            if suitable.len() - position < count {
                return false;
            }
            self.choices += 1;
            if self.choices > MAX_CHOICES {
                return false;
            }
            if !self.free(request, *at) || !self.agrees(claim, request, *at) {
                continue;
            }
            self.taken.push(Taken { claim, request, device: *at });
            if self.choose(claim, number, request, &suitable[position + 1..], count - 1) {
                return true;
            }
            self.taken.pop();
        }
        false
    }

    fn suits(&self, request: &Request, available: &Available) -> bool {
        let taints = available.device().and_then(|device| device.taints.as_deref()).unwrap_or_default();
        let tolerated = |taint: &DeviceTaint| request.tolerations.iter().any(|t| tolerates(t, taint));
        let repelled = taints.iter().any(|taint| taint.effect != "None" && !tolerated(taint));
        let selectors = request.class.spec.selectors.iter().flatten().chain(&request.selectors);
        !repelled
            && selectors
                .filter_map(|selector| selector.cel.as_ref())
                .all(|cel| self.selectors.meets(&cel.expression, available))
    }

    fn free(&self, request: &Request, at: usize) -> bool {
        request.admin
            || (!self.used.contains(&self.devices[at].id)
                && !self.taken.iter().any(|taken| taken.device == at && !taken.request.admin))
    }

    /// Whether a device may join those that the claim has got already.
    fn agrees(&self, claim: usize, request: &Request, at: usize) -> bool {
        let constraints = self.wanted[claim].constraints.iter();
        constraints.filter(|constraint| concerns(constraint, request)).all(|constraint| {
            let others =
                self.taken.iter().filter(|taken| taken.claim == claim && concerns(constraint, taken.request));
            let mut others = others.map(|taken| &self.devices[taken.device]);
            let device = &self.devices[at];
            match (&constraint.match_attribute, &constraint.distinct_attribute) {
                (Some(name), _) => {
                    let own = device.attribute(name);
                    own.is_some() && others.all(|other| other.attribute(name) == own)
                }
                (None, Some(name)) => {
                    let own = device.attribute(name);
                    own.is_some() && others.all(|other| other.attribute(name) != own)
                }
                (None, None) => true,
            }
        })
    }
}

/// Whether a constraint is about a request: it names none, or this one, or all alternatives of it.
fn concerns(constraint: &DeviceConstraint, request: &Request) -> bool {
    named(constraint.requests.as_deref(), request)
}

fn named(names: Option<&[String]>, request: &Request) -> bool {
    let main = request.name.split('/').next().unwrap_or_default();
    names.is_none_or(|names| {
        names.is_empty() || names.iter().any(|name| *name == request.name || name == main)
    })
}

fn tolerates(toleration: &DeviceToleration, taint: &DeviceTaint) -> bool {
    let unset_or = |wanted: &Option<String>, found: &str| {
        wanted.as_deref().is_none_or(|wanted| wanted.is_empty() || wanted == found)
    };
    unset_or(&toleration.effect, &taint.effect)
        && unset_or(&toleration.key, &taint.key)
        && match toleration.operator.as_deref() {
            Some("Exists") => true,
            _ => {
                toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default()
            }
        }
}

fn result<'a>(
    want: &Wanted,
    taken: impl Iterator<Item = &'a Taken<'a>>,
    devices: &[Available],
    node: &NodeInfo,
) -> AllocationResult {
    let taken: Vec<&Taken<'_>> = taken.collect();
    let results = taken.iter().map(|taken| {
        let id = &devices[taken.device].id;
        DeviceRequestAllocationResult {
            request: taken.request.name.clone(),
            driver: id.driver.clone(),
            pool: id.pool.clone(),
            device: id.device.clone(),
            admin_access: taken.request.admin.then_some(true),
            tolerations: (!taken.request.tolerations.is_empty()).then(|| taken.request.tolerations.clone()),
            ..DeviceRequestAllocationResult::default()
        }
    });
    let config = configuration(want, &taken);
    AllocationResult {
        devices: Some(DeviceAllocationResult {
            results: Some(results.collect()),
            config: (!config.is_empty()).then_some(config),
        }),
        node_selector: node_selector(&taken, devices, node),
        allocation_timestamp: None,
    }
}

/// What drivers are told: the classes' settings first, so that the claim's prevail.
fn configuration(want: &Wanted, taken: &[&Taken<'_>]) -> Vec<DeviceAllocationConfiguration> {
    let mut config = Vec::new();
    let mut seen = HashSet::new();
    for request in taken.iter().map(|taken| taken.request).filter(|request| seen.insert(&request.name)) {
        let of_class = request.class.spec.config.iter().flatten();
        config.extend(of_class.map(|entry| DeviceAllocationConfiguration {
            source: "FromClass".to_owned(),
            requests: Some(vec![request.name.clone()]),
            opaque: entry.opaque.clone(),
        }));
    }
    let devices = want.claim.as_ref().and_then(|claim| claim.spec.devices.as_ref());
    let of_claim = devices.into_iter().flat_map(|devices| devices.config.iter().flatten());
    let relevant = of_claim
        .into_iter()
        .filter(|entry| taken.iter().any(|taken| named(entry.requests.as_deref(), taken.request)));
    config.extend(relevant.map(|entry| DeviceAllocationConfiguration {
        source: "FromClaim".to_owned(),
        requests: entry.requests.clone(),
        opaque: entry.opaque.clone(),
    }));
    config
}

/// Where pods with the claim can run: on the node if a device is local to it, else where all devices reach.
fn node_selector(taken: &[&Taken<'_>], devices: &[Available], node: &NodeInfo) -> Option<NodeSelector> {
    if taken.iter().any(|taken| devices[taken.device].local) {
        let field = NodeSelectorRequirement {
            key: "metadata.name".to_owned(),
            operator: "In".to_owned(),
            values: Some(vec![node.name.to_string()]),
        };
        let term = NodeSelectorTerm { match_fields: Some(vec![field]), ..NodeSelectorTerm::default() };
        return Some(NodeSelector { node_selector_terms: vec![term] });
    }
    // Selectors of shared devices have one term each; together they are its requirements.
    let mut joined = NodeSelectorTerm::default();
    for selector in taken.iter().filter_map(|taken| devices[taken.device].node_selector()) {
        for term in &selector.node_selector_terms {
            let expressions = joined.match_expressions.get_or_insert_default();
            for requirement in term.match_expressions.iter().flatten() {
                if !expressions.contains(requirement) {
                    expressions.push(requirement.clone());
                }
            }
            if let Some(fields) = &term.match_fields {
                joined.match_fields.get_or_insert_default().extend(fields.iter().cloned());
            }
        }
    }
    (joined != NodeSelectorTerm::default()).then(|| NodeSelector { node_selector_terms: vec![joined] })
}
