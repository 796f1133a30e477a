//! Amounts of resources as integers, and what a pod asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{Container, ContainerStatus, Pod, ResourceRequirements};
use api_types::k8s::apimachinery::pkg::api::resource::Quantity as TypedQuantity;
use api_types::quantity::Quantity;

/// What a container without a CPU request counts as in scores, in thousandths.
const DEFAULT_MILLI_CPU: i64 = 100;
/// What a container without a memory request counts as in scores, in bytes.
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// Amounts by resource. CPU is in thousandths, everything else in whole units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// `cpu`, in thousandths.
    pub milli_cpu: i64,
    /// `memory`, in bytes.
    pub memory: i64,
    /// `ephemeral-storage`, in bytes.
    pub ephemeral_storage: i64,
    /// Huge pages and extended resources, sorted by name.
    pub scalars: Vec<(Arc<str>, i64)>,
}

type Quantities = BTreeMap<String, TypedQuantity>;

impl Resources {
    /// Reads a resource list; `pods` is left out, see [`pods_of`]. What is not a quantity counts as zero.
    pub fn parse(list: &Quantities) -> Self {
        let mut amounts = Self::default();
        for (name, quantity) in list {
            if name != "pods" {
                amounts.set(name, read(name, quantity));
            }
        }
        amounts
    }

    /// The amount of a resource by name, in the units of this type.
    pub fn amount(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.milli_cpu,
            "memory" => self.memory,
            "ephemeral-storage" => self.ephemeral_storage,
            _ => self
                .scalars
                .binary_search_by(|(known, _)| (**known).cmp(name))
                .map_or(0, |at| self.scalars[at].1),
        }
    }

    /// Sets the amount of a resource.
    pub fn set(&mut self, name: &str, amount: i64) {
        *self.entry(name) = amount;
    }

    /// Adds `other`, resource by resource.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, |a, b| a.saturating_add(b));
    }

    /// Takes `other` away, resource by resource.
    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, |a, b| a.saturating_sub(b));
    }

    /// Raises every amount to at least that of `other`.
    pub fn raise(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }

    /// Whether nothing is asked for.
    pub fn is_zero(&self) -> bool {
        self.milli_cpu == 0
            && self.memory == 0
            && self.ephemeral_storage == 0
            && self.scalars.iter().all(|(_, amount)| *amount == 0)
    }

    fn combine(&mut self, other: &Self, with: impl Fn(i64, i64) -> i64) {
        self.milli_cpu = with(self.milli_cpu, other.milli_cpu);
        self.memory = with(self.memory, other.memory);
        self.ephemeral_storage = with(self.ephemeral_storage, other.ephemeral_storage);
        for (name, amount) in &other.scalars {
            let own = self.entry(name);
            *own = with(*own, *amount);
        }
    }

    fn entry(&mut self, name: &str) -> &mut i64 {
        match name {
            "cpu" => &mut self.milli_cpu,
            "memory" => &mut self.memory,
            "ephemeral-storage" => &mut self.ephemeral_storage,
            _ => {
                let at = match self.scalars.binary_search_by(|(known, _)| (**known).cmp(name)) {
                    Ok(at) => at,
                    Err(at) => {
                        self.scalars.insert(at, (name.into(), 0));
                        at
                    }
                };
                &mut self.scalars[at].1
            }
        }
    }
}

/// The `pods` entry of a resource list.
pub fn pods_of(list: &Quantities) -> i64 {
    list.get("pods").map_or(0, |quantity| read("pods", quantity))
}

/// Whether a resource is neither native nor prefixed by `kubernetes.io/`, so that devices may provide it.
pub fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// What a pod asks for, exactly and with defaults for containers that ask for nothing.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// The sum that must fit.
    pub exact: Resources,
    /// CPU in thousandths, with a default for containers without a request; only for scores.
    pub nonzero_cpu: i64,
    /// Memory in bytes, with a default for containers without a request; only for scores.
    pub nonzero_memory: i64,
}

impl Requests {
    /// Sums up a pod: containers, the largest init step, sidecars (KEP-753), overhead, pod-level requests (KEP-2837), and
    /// while a resize is under way the larger of what is wished and what is granted (KEP-1287).
    pub fn of(pod: &Pod) -> Self {
        let exact = total(pod, |_, _| {});
        let nonzero = total(pod, |container, amounts| {
            let asks = |name: &str| {
                container
                    .resources
                    .as_ref()
                    .and_then(|resources| resources.requests.as_ref())
                    .is_some_and(|list| list.contains_key(name))
            };
            if !asks("cpu") {
                amounts.milli_cpu = DEFAULT_MILLI_CPU;
            }
            if !asks("memory") {
                amounts.memory = DEFAULT_MEMORY;
            }
        });
        Self { exact, nonzero_cpu: nonzero.milli_cpu, nonzero_memory: nonzero.memory }
    }
}

/// The pod's total, where `adjust` may change what each container counts as.
fn total(pod: &Pod, adjust: impl Fn(&Container, &mut Resources)) -> Resources {
    let Some(spec) = &pod.spec else { return Resources::default() };
    let status = pod.status.as_ref();
    let infeasible = status.is_some_and(|status| {
        status.conditions.iter().flatten().any(|condition| {
            condition.type_ == "PodResizePending" && condition.reason.as_deref() == Some("Infeasible")
        })
    });
    let count = |container: &Container, statuses: Option<&Vec<ContainerStatus>>| {
        let status = statuses.into_iter().flatten().find(|status| status.name == container.name);
        let mut amounts = granted(requests(container.resources.as_ref()), status, infeasible);
        adjust(container, &mut amounts);
        amounts
    };
    let mut sum = Resources::default();
    let statuses = status.and_then(|status| status.container_statuses.as_ref());
    for container in &spec.containers {
        sum.add(&count(container, statuses));
    }
    let mut sidecars = Resources::default();
    let mut largest_step = Resources::default();
    let statuses = status.and_then(|status| status.init_container_statuses.as_ref());
    for container in spec.init_containers.iter().flatten() {
        let mut step = count(container, statuses);
        if container.restart_policy.as_deref() == Some("Always") {
            sum.add(&step);
            sidecars.add(&step);
            step = sidecars.clone();
        } else {
            step.add(&sidecars);
        }
        largest_step.raise(&step);
    }
    sum.raise(&largest_step);
    let pod_level = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    for (name, quantity) in pod_level.into_iter().flatten() {
        if matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-") {
            sum.set(name, read(name, quantity));
        }
    }
    if let Some(overhead) = &spec.overhead {
        sum.add(&Resources::parse(overhead));
    }
    sum
}

/// A container's requests while its resize is wished, granted or in effect.
fn granted(wished: Resources, status: Option<&ContainerStatus>, infeasible: bool) -> Resources {
    let Some(status) = status else { return wished };
    let actual = status.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let allocated = status.allocated_resources.as_ref();
    if actual.is_none() && allocated.is_none() {
        return wished;
    }
    let mut amounts = if infeasible { Resources::default() } else { wished };
    for list in [actual, allocated].into_iter().flatten() {
        amounts.raise(&Resources::parse(list));
    }
    amounts
}

fn requests(resources: Option<&ResourceRequirements>) -> Resources {
    resources.and_then(|resources| resources.requests.as_ref()).map(Resources::parse).unwrap_or_default()
}

fn read(name: &str, quantity: &TypedQuantity) -> i64 {
    let quantity = Quantity::parse(&quantity.0).unwrap_or(Quantity::ZERO);
    if name == "cpu" { quantity.milli_value() } else { quantity.value() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: &str) -> Pod {
        serde_yaml::from_str(&format!("metadata: {{name: p}}\nspec: {spec}")).unwrap()
    }

    #[test]
    fn sums_containers_steps_and_sidecars() {
        let with = |cpu: &str| format!("{{name: c, resources: {{requests: {{cpu: '{cpu}'}}}}}}");
        let sidecar = |cpu: &str| {
            format!("{{name: s, restartPolicy: Always, resources: {{requests: {{cpu: '{cpu}'}}}}}}")
        };
        let cases = [
            (format!("{{containers: [{}, {}]}}", with("1"), with("500m")), 1500),
            (
                format!("{{containers: [{}], initContainers: [{}, {}]}}", with("1"), with("3"), with("2")),
                3000,
            ),
            (format!("{{containers: [{}], initContainers: [{}]}}", with("1"), sidecar("2")), 3000),
            // The step after a sidecar runs beside it.
            (
                format!("{{containers: [{}], initContainers: [{}, {}]}}", with("1"), sidecar("2"), with("4")),
                6000,
            ),
            (format!("{{containers: [{}], overhead: {{cpu: 250m}}}}", with("1")), 1250),
            (format!("{{containers: [{}], resources: {{requests: {{cpu: '4'}}}}}}", with("1")), 4000),
        ];
        for (spec, expected) in cases {
            assert_eq!(Requests::of(&pod(&spec)).exact.milli_cpu, expected, "{spec}");
        }
    }

    #[test]
    fn containers_without_requests_count_in_scores_only() {
        let requests = Requests::of(&pod("{containers: [{name: a}, {name: b}]}"));
        assert!(requests.exact.is_zero());
        assert_eq!((requests.nonzero_cpu, requests.nonzero_memory), (200, 2 * DEFAULT_MEMORY));
    }

    #[test]
    fn a_resize_counts_the_larger_side() {
        let text = "metadata: {name: p}
spec: {containers: [{name: c, resources: {requests: {cpu: '1'}}}]}
status: {containerStatuses: [{name: c, image: i, imageID: i, ready: true, restartCount: 0, allocatedResources: {cpu: '3'}}]}";
        let pod: Pod = serde_yaml::from_str(text).unwrap();
        assert_eq!(Requests::of(&pod).exact.milli_cpu, 3000);
    }
}
