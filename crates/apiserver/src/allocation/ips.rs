//! Cluster IPs.

use std::net::IpAddr;

use rand::RngExt as _;
use serde_json::{Value, json};

use super::{Cidr, Family};
use crate::error::{Error, Result};
use crate::loopback::{Objects, Target};

/// How many addresses are tried at random before the range is searched.
const RANDOM_TRIES: usize = 16;

/// Gives out cluster IPs.
pub struct Addresses {
    ranges: Vec<Cidr>,
}

/// Why an address cannot be given.
pub enum Refusal {
    /// It is in no range.
    OutOfRange,
    /// It is not in the range of its family.
    NotInRange(IpAddr, String),
    /// Somebody has it.
    Taken,
    /// Nothing is left.
    Full,
    /// Storage failed.
    Failed(Error),
}

impl Refusal {
    /// What the client reads.
    pub fn message(&self) -> String {
        match self {
            Refusal::OutOfRange => "the provided network does not match the current range".to_owned(),
            Refusal::NotInRange(ip, range) => {
                format!("the provided IP ({ip}) is not in the valid range. The range of valid IPs is {range}")
            }
            Refusal::Taken => "provided IP is already allocated".to_owned(),
            Refusal::Full => "range is full".to_owned(),
            Refusal::Failed(error) => error.to_string(),
        }
    }
}

impl Addresses {
    /// Over these ranges, the first of which is the default family's.
    pub fn new(ranges: Vec<Cidr>) -> Self {
        Addresses { ranges }
    }

    /// The families of the cluster, the default one first.
    pub fn families(&self) -> Vec<Family> {
        self.ranges.iter().map(Cidr::family).collect()
    }

    /// Takes the address that a service asks for.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn take(
        &self,
        objects: &dyn Objects,
        ip: IpAddr,
        service: (&str, &str),
        dry_run: bool,
    ) -> std::result::Result<(), Refusal> {
        if !self.ranges.iter().any(|range| range.contains(ip)) {
            // A dry run asks the range of the family and says which one it is.
            let range = self.ranges.iter().find(|range| range.family() == Family::of(ip));
            return Err(match range.filter(|_| dry_run) {
                Some(range) => Refusal::NotInRange(ip, range.to_string()),
                None => Refusal::OutOfRange,
            });
        }
        if dry_run {
            return Ok(());
        }
        claim(objects, ip, service, dry_run).await
    }

    /// Takes any free address of a family.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn take_any(
        &self,
        objects: &dyn Objects,
        family: Family,
        service: (&str, &str),
        dry_run: bool,
    ) -> std::result::Result<IpAddr, Refusal> {
        let Some(range) = self.ranges.iter().find(|range| range.family() == family) else {
            return Err(Refusal::OutOfRange);
        };
        for offset in candidates(range) {
            let ip = range.at(offset);
            match claim(objects, ip, service, dry_run).await {
                Ok(()) => return Ok(ip),
                Err(Refusal::Taken) => {}
                Err(other) => return Err(other),
            }
        }
        Err(Refusal::Full)
    }

    /// Gives an address back.
    pub async fn release(&self, objects: &dyn Objects, ip: IpAddr) {
        let name = ip.to_string();
        match objects.delete(target(&name)).await {
            Ok(()) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => tracing::warn!(%ip, %error, "cannot release a cluster IP"),
        }
    }
}

/// Offsets to try: some at random in the dynamic part, then all of it from a random place, then the reserved part.
fn candidates(range: &Cidr) -> impl Iterator<Item = u128> + Send + use<> {
    let (first, last) = (range.reserved_below().max(1), range.last());
    let mut rng = rand::rng();
    let random: Vec<u128> = (0..RANDOM_TRIES).map(|_| rng.random_range(first..=last)).collect();
    let start = rng.random_range(first..=last);
    random.into_iter().chain(start..=last).chain(first..start).chain(1..first)
}

async fn claim(
    objects: &dyn Objects,
    ip: IpAddr,
    (namespace, name): (&str, &str),
    dry_run: bool,
) -> std::result::Result<(), Refusal> {
    let address = ip.to_string();
    if dry_run {
        return match objects.get(target(&address)).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(Refusal::Taken),
            Err(error) => Err(Refusal::Failed(error)),
        };
    }
    match objects.create(target(&address), object(ip, namespace, name)).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_already_exists() => match is_ours(objects, &address, namespace, name).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::Taken),
            Err(error) => Err(Refusal::Failed(error)),
        },
        Err(error) => Err(Refusal::Failed(error)),
    }
}

/// Whether an address was left to this very service by an attempt that broke off.
async fn is_ours(objects: &dyn Objects, address: &str, namespace: &str, name: &str) -> Result<bool> {
    let Some(found) = objects.get(target(address)).await? else { return Ok(false) };
    let parent = &found["spec"]["parentRef"];
    let same = parent["resource"] == "services" && parent["namespace"] == namespace && parent["name"] == name;
    // The service itself has it only if it is stored already.
    let service = Target { group: "", resource: "services", namespace, name, subresource: "" };
    Ok(same && objects.get(service).await?.is_none())
}

fn target(address: &str) -> Target<'_> {
    Target {
        group: "networking.k8s.io",
        resource: "ipaddresses",
        namespace: "",
        name: address,
        subresource: "",
    }
}

fn object(ip: IpAddr, namespace: &str, name: &str) -> Value {
    json!({
        "metadata": {
            "name": ip.to_string(),
            "labels": {
                "ipaddress.kubernetes.io/ip-family": Family::of(ip).as_str(),
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
            },
        },
        "spec": { "parentRef": { "resource": "services", "namespace": namespace, "name": name } },
    })
}
