//! Takes what a service needs before it is stored; gives it back when it is not stored, and what is no longer needed when it is.

use std::net::IpAddr;
use std::sync::Arc;

use api_types::field::{self, Path};
use serde_json::{Value, json};

use super::{families, fields};
use crate::allocation::{Allocators, Family};
use crate::error::{Error, Result};
use crate::loopback::Objects;
use crate::registry::strategy::Reservation;
use crate::registry::{Registry, meta};

/// Dry runs answer with node ports above this one when the server chooses.
const PLACEHOLDER: u16 = 32768;
const PORTS: Path<'static> = Path::new("spec.ports");

/// What one write has taken and will give back.
struct Held {
    registry: Arc<Registry>,
    /// Taken by this write: given back unless it is stored.
    taken: Claims,
    /// Held by the stored object and needed no longer: given back once the write is stored.
    obsolete: Claims,
    stored: bool,
}

#[derive(Default)]
struct Claims {
    ips: Vec<IpAddr>,
    ports: Vec<u16>,
}

impl Reservation for Held {
    fn commit(mut self: Box<Self>) {
        self.stored = true;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let claims = std::mem::take(if self.stored { &mut self.obsolete } else { &mut self.taken });
        if claims.ips.is_empty() && claims.ports.is_empty() {
            return;
        }
        let registry = Arc::clone(&self.registry);
        tokio::spawn(async move { give_back(&registry, &claims).await });
    }
}

async fn give_back(registry: &Registry, claims: &Claims) {
    let allocators = registry.allocators();
    for ip in &claims.ips {
        allocators.addresses.release(registry, *ip).await;
    }
    if !claims.ports.is_empty() {
        allocators.ports.release(&claims.ports).await;
    }
}

/// Completes the service with addresses and ports.
pub async fn reserve(
    registry: &Registry,
    service: &mut Value,
    old: Option<&Value>,
    dry_run: bool,
) -> Result<Option<Box<dyn Reservation>>> {
    let allocators = registry.allocators();
    families::complete(service, old, &allocators.addresses.families())
        .map_err(|errors| invalid(service, errors))?;
    // From here on a failure gives back what was taken so far.
    let mut held = Held {
        registry: registry.shared()?,
        taken: Claims::default(),
        obsolete: Claims::default(),
        stored: false,
    };
    reserve_addresses(registry, allocators, service, old, dry_run, &mut held).await?;
    reserve_ports(allocators, service, old, dry_run, &mut held).await?;
    if dry_run {
        held.taken = Claims::default();
    }
    Ok(Some(Box::new(held)))
}

/// Gives back what a deleted service had.
pub async fn release(registry: &Registry, service: &Value) {
    give_back(registry, &Claims { ips: addresses(service), ports: node_ports(service) }).await;
}

async fn reserve_addresses(
    registry: &Registry,
    allocators: &Allocators,
    service: &mut Value,
    old: Option<&Value>,
    dry_run: bool,
    held: &mut Held,
) -> Result<()> {
    let before = old.map(addresses).unwrap_or_default();
    if fields::needs_cluster_ip(service) {
        if fields::is_headless(service) {
            fields::set(service, "clusterIP", Some("None".into()));
            fields::set(service, "clusterIPs", Some(json!(["None"])));
        } else {
            let ips = allocate(registry, allocators, service, &before, dry_run, held).await?;
            let texts: Vec<String> = ips.iter().map(IpAddr::to_string).collect();
            fields::set(service, "clusterIP", texts.first().cloned().map(Value::from));
            fields::set(service, "clusterIPs", Some(json!(texts)));
        }
    }
    let after = addresses(service);
    held.obsolete.ips = before.into_iter().filter(|ip| !after.contains(ip)).collect();
    Ok(())
}

async fn allocate(
    registry: &Registry,
    allocators: &Allocators,
    service: &Value,
    before: &[IpAddr],
    dry_run: bool,
    held: &mut Held,
) -> Result<Vec<IpAddr>> {
    let asked: Vec<IpAddr> = addresses(service);
    let families = service["spec"]["ipFamilies"].as_array().into_iter().flatten();
    let families: Vec<Family> = families.filter_map(|family| Family::parse(family.as_str()?)).collect();
    let owner = (meta::text(service, "namespace"), meta::text(service, "name"));
    let objects: &dyn Objects = registry;
    let mut ips = Vec::with_capacity(families.len());
    for family in families {
        let wanted = asked.iter().find(|ip| Family::of(**ip) == family);
        let ip = match wanted {
            Some(ip) if before.contains(ip) => *ip,
            Some(ip) => {
                let taken = allocators.addresses.take(objects, *ip, owner, dry_run).await;
                taken.map_err(|refusal| {
                    let why = format!("failed to allocate IP {ip}: {}", refusal.message());
                    let shown = json!(fields::cluster_ips(service));
                    invalid(
                        service,
                        vec![field::Error::invalid(&Path::new("spec.clusterIPs"), shown, why)].into(),
                    )
                })?;
                held.taken.ips.push(*ip);
                *ip
            }
            None => {
                let taken = allocators.addresses.take_any(objects, family, owner, dry_run).await;
                let ip = taken.map_err(|refusal| {
                    Error::internal(format!("failed to allocate a serviceIP: {}", refusal.message()))
                })?;
                held.taken.ips.push(ip);
                ip
            }
        };
        ips.push(ip);
    }
    Ok(ips)
}

async fn reserve_ports(
    allocators: &Allocators,
    service: &mut Value,
    old: Option<&Value>,
    dry_run: bool,
    held: &mut Held,
) -> Result<()> {
    let before = old.map(node_ports).unwrap_or_default();
    let wants = Wants::of(service, &before);
    if let Some((port, at)) = wants.twice {
        return Err(refuse_port(service, port, at, "provided port is already allocated"));
    }
    if dry_run {
        // Nothing is looked up; ports of the server's choice are placeholders above those that are asked for.
        let highest = wants.given.iter().map(|(port, _)| *port).max().unwrap_or(PLACEHOLDER);
        wants.fill(service, (1..=wants.any).map(|i| highest.saturating_add(i as u16)).collect());
        return Ok(());
    }
    check_range(allocators, service, &wants)?;
    if !wants.given.is_empty() || wants.any > 0 {
        let given: Vec<u16> = wants.given.iter().map(|(port, _)| *port).collect();
        match allocators.ports.take(&given, wants.any).await? {
            Ok(free) => {
                held.taken.ports.extend(given);
                held.taken.ports.extend(&free);
                wants.fill(service, free);
            }
            Err(taken) => {
                let path = wants.given.iter().find(|(port, _)| *port == taken).and_then(|(_, at)| *at);
                return Err(refuse_port(service, taken, path, "provided port is already allocated"));
            }
        }
    }
    let after = node_ports(service);
    held.obsolete.ports = before.into_iter().filter(|port| !after.contains(port)).collect();
    Ok(())
}

/// The node ports that a service needs and the stored one does not hold yet.
#[derive(Default)]
struct Wants {
    /// Asked for by number, with the index of the port; `None` for the health check.
    given: Vec<(u16, Option<usize>)>,
    /// How many of the server's choice.
    any: usize,
    /// Which ports get which of those.
    slots: Vec<(usize, usize)>,
    health_check: Option<usize>,
    /// A number that is asked for more than once.
    twice: Option<(u16, Option<usize>)>,
}

impl Wants {
    fn of(service: &Value, before: &[u16]) -> Self {
        let mut wants = Wants::default();
        if fields::needs_node_port(service) {
            wants.ports(service, before);
        }
        if fields::needs_health_check_port(service) {
            match fields::node_port(&json!({ "nodePort": service["spec"]["healthCheckNodePort"] })) {
                0 => {
                    wants.health_check = Some(wants.any);
                    wants.any += 1;
                }
                port if before.contains(&port) => {}
                port if wants.given.iter().any(|(given, _)| *given == port) => {
                    wants.twice.get_or_insert((port, None));
                }
                port => wants.given.push((port, None)),
            }
        }
        wants
    }

    /// Ports of the same number and different protocols share a node port.
    fn ports(&mut self, service: &Value, before: &[u16]) {
        let ports = fields::ports(service);
        let protocol = |port: &Value| port["protocol"].as_str().unwrap_or("TCP").to_owned();
        let mut chosen: Vec<(u64, String, usize)> = Vec::new();
        let mut named: Vec<(u64, u16)> = Vec::new();
        for (i, port) in ports.iter().enumerate() {
            let number = fields::node_port(port);
            if number != 0 {
                let key = port["port"].as_u64().unwrap_or(0);
                let shares = named.contains(&(key, number));
                named.push((key, number));
                if before.contains(&number) || shares {
                    continue;
                }
                match self.given.iter().any(|(given, _)| *given == number) {
                    true => _ = self.twice.get_or_insert((number, Some(i))),
                    false => self.given.push((number, Some(i))),
                }
                continue;
            }
            let key = port["port"].as_u64().unwrap_or(0);
            let shared = chosen
                .iter()
                .find(|(k, _, slot)| {
                    *k == key && !chosen.iter().any(|(_, p, s)| s == slot && *p == protocol(port))
                })
                .map(|(_, _, slot)| *slot);
            let slot = shared.unwrap_or_else(|| {
                self.any += 1;
                self.any - 1
            });
            chosen.push((key, protocol(port), slot));
            self.slots.push((i, slot));
        }
    }

    fn fill(&self, service: &mut Value, free: Vec<u16>) {
        for (port, slot) in &self.slots {
            service["spec"]["ports"][*port]["nodePort"] = free[*slot].into();
        }
        if let Some(slot) = self.health_check {
            service["spec"]["healthCheckNodePort"] = free[slot].into();
        }
    }
}

fn check_range(allocators: &Allocators, service: &Value, wants: &Wants) -> Result<()> {
    let range = allocators.ports.range;
    match wants.given.iter().find(|(port, _)| !range.contains(*port)) {
        None => Ok(()),
        Some((port, at)) => {
            let why = format!(
                "provided port is not in the valid range. The range of valid ports is {}-{}",
                range.first, range.last
            );
            Err(refuse_port(service, *port, *at, &why))
        }
    }
}

fn refuse_port(service: &Value, port: u16, at: Option<usize>, why: &str) -> Error {
    let error = match at {
        Some(i) => field::Error::invalid(&PORTS.index(i).child("nodePort"), port, why),
        None => {
            let why = format!("failed to allocate requested HealthCheck NodePort {port}: {why}");
            return Error::internal(why);
        }
    };
    invalid(service, vec![error].into())
}

fn invalid(service: &Value, errors: field::ErrorList) -> Error {
    Error::invalid("", "Service", meta::text(service, "name"), errors)
}

fn addresses(service: &Value) -> Vec<IpAddr> {
    if !fields::needs_cluster_ip(service) {
        return Vec::new();
    }
    fields::cluster_ips(service).iter().filter_map(|ip| ip.parse().ok()).collect()
}

fn node_ports(service: &Value) -> Vec<u16> {
    let health = json!({ "nodePort": service["spec"]["healthCheckNodePort"] });
    let mut ports: Vec<u16> = fields::ports(service).iter().chain([&health]).map(fields::node_port).collect();
    ports.retain(|port| *port != 0);
    ports.sort_unstable();
    ports.dedup();
    ports
}
