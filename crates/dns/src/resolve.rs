//! From a question to records: the Kubernetes DNS specification 1.1.0, as a pure function of the index.
//!
//! The difference between "no such name" (NXDOMAIN) and "nothing of that type" (an empty answer) matters: resolvers go
//! through their search list, and stop at a name that exists.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::index::{Endpoint, Index, Kind, Service};

/// Version of the specification that is followed.
const VERSION: &str = "1.1.0";
/// Aliases followed from one question before giving up.
const MAX_ALIASES: usize = 8;
/// The sum of the weights of a Service's SRV records.
const WEIGHT: usize = 100;

/// What is authoritative here.
#[derive(Clone, Debug)]
pub struct Zone {
    /// `cluster.local.`
    pub domain: Name,
    /// Seconds that answers may be kept.
    pub ttl: u32,
    /// Serial number of the SOA record.
    pub serial: u32,
    /// Namespace and name of the Service in front of this server, for the NS record.
    pub service: Option<(String, String)>,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// `NoError` or `NXDomain`.
    pub code: ResponseCode,
    /// Answer section.
    pub answers: Vec<Record>,
    /// Authority section: the SOA record where the answer is negative.
    pub authorities: Vec<Record>,
    /// Additional section: addresses of the SRV records' targets.
    pub additionals: Vec<Record>,
    /// The last answer is an alias to this name, which is not ours.
    pub outside: Option<Name>,
}

impl Zone {
    /// Answers a question, or `None` when the name is not ours to answer.
    pub fn resolve(&self, index: &Index, name: &Name, kind: RecordType) -> Option<Answer> {
        if self.domain.zone_of(name) {
            return Some(self.in_zone(index, name, kind, 0));
        }
        let ip = host_address(name)?;
        let names = index.names_of(ip);
        if names.is_empty() {
            return None;
        }
        let mut answer = Answer::empty(ResponseCode::NoError);
        if matches!(kind, RecordType::PTR | RecordType::ANY) {
            let targets = names.iter().filter_map(|target| self.absolute(target));
            answer.answers = targets.map(|target| self.record(name, RData::PTR(PTR(target)))).collect();
        }
        Some(answer)
    }

    fn in_zone(&self, index: &Index, name: &Name, kind: RecordType, depth: usize) -> Answer {
        let depth_of_zone = usize::from(self.domain.num_labels());
        let labels: Vec<String> =
            name.iter().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect();
        let labels: Vec<&str> = labels[..labels.len() - depth_of_zone].iter().map(String::as_str).collect();
        let found = match labels.as_slice() {
            [] => self.apex(index, name, kind),
            ["dns-version"] => self.version(name, kind),
            ["ns", "dns"] => Some(self.addresses(name, kind, self.own_addresses(index).into_iter())),
            ["dns" | "svc" | "pod"] => Some(Vec::new()),
            [.., "svc"] => return self.service(index, name, kind, &labels[..labels.len() - 1], depth),
            [namespace, "pod"] => index.has_namespace(namespace).then(Vec::new),
            [dashed, _, "pod"] => {
                pod_address(dashed).map(|ip| self.addresses(name, kind, std::iter::once(ip)))
            }
            _ => None,
        };
        self.finish(found)
    }

    /// `rest` is what stands before `svc`.
    fn service(&self, index: &Index, name: &Name, kind: RecordType, rest: &[&str], depth: usize) -> Answer {
        let (head, service_name, namespace) = match rest {
            [namespace] => return self.finish(index.has_namespace(namespace).then(Vec::new)),
            [head @ .., service, namespace] => (head, *service, *namespace),
            [] => return self.finish(Some(Vec::new())),
        };
        let Some(service) = index.service(namespace, service_name) else { return self.finish(None) };
        match (head, &service.kind) {
            ([], Kind::External(target)) => self.alias(index, name, kind, target, depth),
            ([], Kind::Cluster(ips)) => match kind {
                RecordType::SRV => self.srv(index, (name, kind), (namespace, service_name), service, None),
                _ => self.finish(Some(self.addresses(name, kind, ips.iter().copied()))),
            },
            ([], Kind::Headless { .. }) => {
                let endpoints = index.endpoints(namespace, service_name);
                match kind {
                    // A headless Service without endpoints has no name (section 2.4.1).
                    _ if endpoints.is_empty() => self.finish(None),
                    RecordType::SRV => {
                        self.srv(index, (name, kind), (namespace, service_name), service, None)
                    }
                    _ => self.finish(Some(self.addresses(
                        name,
                        kind,
                        endpoints.iter().map(|endpoint| endpoint.ip),
                    ))),
                }
            }
            ([port, protocol], Kind::Cluster(_) | Kind::Headless { .. })
                if port.starts_with('_') && protocol.starts_with('_') =>
            {
                self.srv(
                    index,
                    (name, kind),
                    (namespace, service_name),
                    service,
                    Some((&port[1..], &protocol[1..])),
                )
            }
            ([protocol], Kind::Cluster(_) | Kind::Headless { .. }) if protocol.starts_with('_') => {
                let named =
                    |port: &&crate::index::Port| !port.name.is_empty() && *port.protocol == protocol[1..];
                self.finish(service.ports.iter().find(named).map(|_| Vec::new()))
            }
            ([label], Kind::Cluster(_) | Kind::Headless { .. }) => {
                let endpoints = index.endpoints(namespace, service_name);
                let ours: Vec<IpAddr> = endpoints
                    .iter()
                    .filter(|endpoint| &*endpoint.label == *label)
                    .map(|endpoint| endpoint.ip)
                    .collect();
                self.finish((!ours.is_empty()).then(|| self.addresses(name, kind, ours.into_iter())))
            }
            _ => self.finish(None),
        }
    }

    /// SRV records of the named ports, or of one; with the addresses of their targets.
    fn srv(
        &self,
        index: &Index,
        (name, kind): (&Name, RecordType),
        (namespace, service_name): (&str, &str),
        service: &Service,
        wanted: Option<(&str, &str)>,
    ) -> Answer {
        let matches = |port: &crate::index::Port| match wanted {
            Some((name, protocol)) => *port.name == *name && port.protocol == protocol,
            None => !port.name.is_empty(),
        };
        let base = format!("{service_name}.{namespace}.svc");
        // An endpoint with an address of each family is one target.
        let mut targets: BTreeMap<(String, u16), Vec<IpAddr>> = BTreeMap::new();
        if let Kind::Cluster(ips) = &service.kind {
            let ports = service.ports.iter().filter(|port| matches(port));
            targets.extend(ports.map(|port| ((base.clone(), port.port), ips.clone())));
        } else {
            for Endpoint { ip, label, ports, .. } in index.endpoints(namespace, service_name) {
                for port in ports.iter().filter(|port| matches(port)) {
                    targets.entry((format!("{label}.{base}"), port.port)).or_default().push(*ip);
                }
            }
        }
        if targets.is_empty() {
            // The name exists below the Service's own only where there is such a port.
            return self.finish(wanted.is_none().then(Vec::new));
        }
        let mut answer = Answer::empty(ResponseCode::NoError);
        if !matches!(kind, RecordType::SRV | RecordType::ANY) {
            return self.finish(Some(Vec::new()));
        }
        let weight = (WEIGHT / targets.len()).max(1) as u16;
        let mut told = BTreeSet::new();
        for ((target, port), ips) in targets {
            let Some(target) = self.absolute(&target) else { continue };
            answer.answers.push(self.record(name, RData::SRV(SRV::new(0, weight, port, target.clone()))));
            for ip in ips.into_iter().filter(|ip| told.insert((target.clone(), *ip))) {
                answer.additionals.push(self.record(&target, address(ip)));
            }
        }
        answer
    }

    /// An ExternalName Service: its alias, and what the alias leads to as far as that is ours.
    fn alias(&self, index: &Index, name: &Name, kind: RecordType, target: &str, depth: usize) -> Answer {
        // Upstream's DNS lets an address stand here.
        if let Ok(ip) = target.parse::<IpAddr>() {
            return self.finish(Some(self.addresses(name, kind, std::iter::once(ip))));
        }
        let Ok(mut target) = Name::from_utf8(target) else { return self.finish(Some(Vec::new())) };
        target.set_fqdn(true);
        let mut answer = Answer::empty(ResponseCode::NoError);
        answer.answers.push(self.record(name, RData::CNAME(CNAME(target.clone()))));
        if matches!(kind, RecordType::CNAME | RecordType::ANY) || depth == MAX_ALIASES {
            return answer;
        }
        if self.domain.zone_of(&target) {
            let rest = self.in_zone(index, &target, kind, depth + 1);
            answer.answers.extend(rest.answers);
            return Answer { answers: answer.answers, ..rest };
        }
        answer.outside = Some(target);
        answer
    }

    fn apex(&self, index: &Index, name: &Name, kind: RecordType) -> Option<Vec<Record>> {
        let server = || self.absolute("ns.dns").map(|server| self.record(name, RData::NS(NS(server))));
        Some(match kind {
            RecordType::SOA => vec![self.soa()],
            RecordType::NS if !self.own_addresses(index).is_empty() => server().into_iter().collect(),
            _ => Vec::new(),
        })
    }

    fn version(&self, name: &Name, kind: RecordType) -> Option<Vec<Record>> {
        let text = || self.record(name, RData::TXT(TXT::new(vec![VERSION.to_owned()])));
        Some(if kind == RecordType::TXT { vec![text()] } else { Vec::new() })
    }

    fn own_addresses(&self, index: &Index) -> Vec<IpAddr> {
        let service = self.service.as_ref().and_then(|(namespace, name)| index.service(namespace, name));
        match service.map(|service| &service.kind) {
            Some(Kind::Cluster(ips)) => ips.clone(),
            _ => Vec::new(),
        }
    }

    fn addresses(&self, name: &Name, kind: RecordType, ips: impl Iterator<Item = IpAddr>) -> Vec<Record> {
        let unique: BTreeSet<IpAddr> = ips
            .filter(|ip| match kind {
                RecordType::A => ip.is_ipv4(),
                RecordType::AAAA => ip.is_ipv6(),
                RecordType::ANY => true,
                _ => false,
            })
            .collect();
        unique.into_iter().map(|ip| self.record(name, address(ip))).collect()
    }

    /// Records found (`None`: no such name) as an answer; negative ones carry the SOA record.
    fn finish(&self, found: Option<Vec<Record>>) -> Answer {
        let code = if found.is_some() { ResponseCode::NoError } else { ResponseCode::NXDomain };
        let mut answer = Answer::empty(code);
        answer.answers = found.unwrap_or_default();
        if answer.answers.is_empty() {
            answer.authorities.push(self.soa());
        }
        answer
    }

    fn soa(&self) -> Record {
        let name = |prefix: &str| self.absolute(prefix).unwrap_or_else(|| self.domain.clone());
        let soa = SOA::new(name("ns.dns"), name("hostmaster"), self.serial, 7200, 1800, 86_400, self.ttl);
        self.record(&self.domain, RData::SOA(soa))
    }

    fn record(&self, name: &Name, data: RData) -> Record {
        Record::from_rdata(name.clone(), self.ttl, data)
    }

    /// A name in the zone; `None` when it would be longer than DNS allows.
    fn absolute(&self, relative: &str) -> Option<Name> {
        Name::from_ascii(relative).ok()?.append_domain(&self.domain).ok()
    }
}

impl Answer {
    /// No records.
    pub fn empty(code: ResponseCode) -> Self {
        Self { code, answers: Vec::new(), authorities: Vec::new(), additionals: Vec::new(), outside: None }
    }
}

fn address(ip: IpAddr) -> RData {
    match ip {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    }
}

/// The address that a name below `in-addr.arpa` or `ip6.arpa` stands for, when it is a whole one.
fn host_address(name: &Name) -> Option<IpAddr> {
    let labels = name.num_labels();
    let network = name.parse_arpa_name().ok()?;
    let whole = if network.addr().is_ipv4() { 4 + 2 } else { 32 + 2 };
    (labels == whole).then(|| network.addr())
}

/// The address in the first label of a pod's name: `10-244-0-7`, `fd00--7`.
fn pod_address(label: &str) -> Option<IpAddr> {
    let v4 = || label.replace('-', ".").parse::<Ipv4Addr>().ok().map(IpAddr::from);
    let v6 = || label.replace('-', ":").parse::<Ipv6Addr>().ok().map(IpAddr::from);
    v4().or_else(v6)
}

#[cfg(test)]
mod tests;
