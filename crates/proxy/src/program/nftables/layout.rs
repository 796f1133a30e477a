//! The part of the table that does not depend on Services: sets, chains and the rules of the chains.

use std::net::IpAddr;

use nfnetlink::Family;
use nfnetlink::nft::{
    Batch, Chain, Cmp, Element, Expr, Hook, HookType, Reject, Set, SetFlags, Verdict, types,
};

use super::affinity::affinity_map;
use super::element::{ChainKey, SETS, put_address};
use super::rules::{Destination, Rules, jump};
use crate::program::{Environment, NodePortAddresses};

/// A chain that holds rules exactly when ours are in place.
pub const WITNESS: &str = "nat-prerouting";
const NODE_PORT_IPS: &str = "nodeport-ips";
const MARK: &str = "mark-for-masquerade";
const SERVICES: &str = "services";
const NODE_PORTS: &str = "nodeports";
const CHECK: &str = "endpoints-check";
const NODE_PORT_CHECK: &str = "nodeport-endpoints-check";
const CLUSTER_IP_CHECK: &str = "cluster-ips-check";
const GUARD: &str = "source-check";
const REJECT: &str = "reject-chain";

/// Most clients with a remembered backend, all Services together.
const AFFINITY_SIZE: u32 = 1 << 18;

/// Before destination NAT, among it, and after it; where upstream has them.
const BEFORE_DNAT: i32 = -110;
const DNAT: i32 = -100;
const AFTER_DNAT: i32 = -90;
const SNAT: i32 = 100;

const BASE_CHAINS: [(&str, HookType, Hook, i32); 7] = [
    ("filter-prerouting", HookType::Filter, Hook::Prerouting, BEFORE_DNAT),
    (WITNESS, HookType::Nat, Hook::Prerouting, DNAT),
    ("filter-input", HookType::Filter, Hook::Input, BEFORE_DNAT),
    ("filter-forward", HookType::Filter, Hook::Forward, BEFORE_DNAT),
    ("nat-output", HookType::Nat, Hook::Output, DNAT),
    ("filter-output", HookType::Filter, Hook::Output, AFTER_DNAT),
    ("nat-postrouting", HookType::Nat, Hook::Postrouting, SNAT),
];

const PLAIN_CHAINS: [&str; 8] =
    [MARK, SERVICES, NODE_PORTS, CHECK, NODE_PORT_CHECK, CLUSTER_IP_CHECK, GUARD, REJECT];

/// Writes sets, chains and rules. Sets are emptied, but for the notes on affinity.
pub fn write(batch: &mut Batch, family: Family, environment: &Environment) {
    for set in sets(family) {
        batch.add_set(&set);
        // Rules fill the maps of clients; they are kept.
        if !set.flags.dynamic {
            batch.flush_set(&set.name);
        }
    }
    for (name, kind, hook, priority) in BASE_CHAINS {
        batch.add_chain(&Chain { name: name.to_owned(), hook: Some((kind, hook, priority)) });
    }
    for name in PLAIN_CHAINS {
        batch.add_chain(&Chain { name: name.to_owned(), hook: None });
    }
    batch.flush_rules();
    for (chain, rule) in rules(Rules { family }, environment) {
        batch.add_rule(chain, &rule);
    }
    if let NodePortAddresses::Some(addresses) = &environment.node_ports {
        let keys: Vec<Vec<u8>> =
            addresses.iter().filter(|ip| Family::of(**ip) == family).map(address_key).collect();
        batch.add_elements(NODE_PORT_IPS, keys.iter().map(|key| Element::key(key)));
    }
}

/// Writes a chain that chooses a backend.
pub fn write_choice(batch: &mut Batch, family: Family, key: &ChainKey) {
    let name = key.to_string();
    batch.add_chain(&Chain { name: name.clone(), hook: None });
    for rule in (Rules { family }).choose_backend(key) {
        batch.add_rule(&name, &rule);
    }
}

fn address_key(ip: &IpAddr) -> Vec<u8> {
    let mut key = Vec::with_capacity(16);
    put_address(&mut key, *ip);
    key
}

fn sets(family: Family) -> Vec<Set> {
    let address = match family {
        Family::V4 => (types::IPV4, 4),
        Family::V6 => (types::IPV6, 16),
    };
    let (protocol, port, number) = ((types::PROTOCOL, 1), (types::PORT, 2), (types::MARK, 4));
    let frontend = vec![address, protocol, port];
    let backend = vec![address, port];
    let with = |key: &[(u32, u32)], last: (u32, u32)| [key, &[last]].concat();
    let set = |name: &str, key: Vec<(u32, u32)>| Set {
        name: name.to_owned(),
        key,
        data: Vec::new(),
        verdicts: false,
        flags: SetFlags::default(),
        size: 0,
    };
    let mut sets: Vec<Set> = SETS
        .iter()
        .map(|name| match *name {
            "cluster-ips" => set(name, vec![address]),
            "hairpin-ips" => set(name, vec![address, address]),
            "service-ips" | "local-service-ips" => Set { verdicts: true, ..set(name, frontend.clone()) },
            "endpoints" | "local-endpoints" => {
                Set { data: backend.clone(), ..set(name, with(&frontend, number)) }
            }
            "admitted-sources" => {
                let flags = SetFlags { interval: true, dynamic: false };
                Set { flags, ..set(name, with(&frontend, address)) }
            }
            _ => set(name, frontend.clone()),
        })
        .collect();
    sets.push(set(NODE_PORT_IPS, vec![address]));
    let flags = SetFlags { interval: false, dynamic: true };
    let client = [&[address], &frontend[..]].concat();
    for local in [false, true] {
        let map = set(affinity_map(local), client.clone());
        sets.push(Set { data: vec![number], flags, size: AFFINITY_SIZE, ..map });
    }
    sets
}

fn rules(rules: Rules, environment: &Environment) -> Vec<(&'static str, Vec<Expr>)> {
    let bit = 1 << environment.masquerade_bit;
    let mut all = vec![
        ("filter-prerouting", jump(rules.new_connection(), GUARD)),
        (WITNESS, jump(Vec::new(), SERVICES)),
        ("nat-output", jump(Vec::new(), SERVICES)),
        (MARK, rules.set_mark(bit, true)),
    ];
    all.extend(dispatch(rules, environment));
    all.extend(checks(rules, environment));

    let random = Expr::Masquerade { random: true };
    let mut masquerade = rules.marked(bit);
    masquerade.extend(rules.set_mark(bit, false));
    masquerade.push(random.clone());
    all.push(("nat-postrouting", masquerade));
    // A backend that was sent to itself would answer itself directly, and the connection would never stand. Other traffic
    // between the same addresses is left alone: the first packet that conntrack sees may be in the middle of a connection
    // (our own to the apiserver, when these are the first rules on the host that need tracking), which would break.
    let mut hairpin = [rules.sent_to_backend(), rules.pair_in("hairpin-ips")].concat();
    hairpin.push(random);
    all.push(("nat-postrouting", hairpin));
    all
}

/// From a packet to the chain that chooses its backend.
fn dispatch(rules: Rules, environment: &Environment) -> Vec<(&'static str, Vec<Expr>)> {
    let mut all = Vec::new();
    let elsewhere = rules.source_elsewhere(&environment.local);
    let condition = if environment.masquerade_all { Some(Vec::new()) } else { elsewhere.clone() };
    if let Some(condition) = condition {
        let rule = [condition, rules.destination_in("cluster-ips")].concat();
        all.push((SERVICES, jump(rule, MARK)));
    }
    for (chain, to) in [(SERVICES, Destination::Packet), (NODE_PORTS, Destination::NodePort)] {
        all.push((chain, jump(rules.frontend_in(to, "masquerade-ips"), MARK)));
        // Under policy Local, traffic from elsewhere goes to this node's backends or nowhere.
        let outside = [elsewhere.clone().unwrap_or_default(), rules.source_is_host(Cmp::Ne)].concat();
        all.push((chain, [outside.clone(), rules.frontend_verdict(to, "local-service-ips")].concat()));
        let mut nowhere = [outside, rules.frontend_in(to, "local-policy-ips")].concat();
        nowhere.push(Expr::Verdict(Verdict::Return));
        all.push((chain, nowhere));
        let from_here = [rules.source_is_host(Cmp::Eq), rules.frontend_in(to, "local-policy-ips")].concat();
        all.push((chain, jump(from_here, MARK)));
        all.push((chain, rules.frontend_verdict(to, "service-ips")));
    }
    all.push((SERVICES, jump(to_node_port(rules, environment), NODE_PORTS)));
    all
}

fn to_node_port(rules: Rules, environment: &Environment) -> Vec<Expr> {
    match environment.node_ports {
        NodePortAddresses::All => rules.to_this_host(),
        NodePortAddresses::Some(_) => rules.destination_in(NODE_PORT_IPS),
    }
}

/// Turning away what has nowhere to go. Packets that found a backend have its address by now and match nothing here.
fn checks(rules: Rules, environment: &Environment) -> Vec<(&'static str, Vec<Expr>)> {
    let mut all = Vec::new();
    for chain in ["filter-input", "filter-forward", "filter-output"] {
        all.push((chain, jump(rules.new_connection(), CHECK)));
        if chain != "filter-input" {
            all.push((chain, jump(rules.new_connection(), CLUSTER_IP_CHECK)));
        }
        if chain != "filter-forward" {
            let node_port = [rules.new_connection(), to_node_port(rules, environment)].concat();
            all.push((chain, jump(node_port, NODE_PORT_CHECK)));
        }
    }
    for (chain, to) in [(CHECK, Destination::Packet), (NODE_PORT_CHECK, Destination::NodePort)] {
        let mut reject = rules.frontend_in(to, "reject-ips");
        reject.push(Expr::Verdict(Verdict::Goto(REJECT.to_owned())));
        all.push((chain, reject));
        let mut drop = rules.frontend_in(to, "drop-ips");
        drop.push(Expr::Verdict(Verdict::Drop));
        all.push((chain, drop));
    }
    // A cluster IP without such a port: nobody else has the address, so say so at once.
    let mut unknown = rules.destination_in("cluster-ips");
    unknown.push(Expr::Verdict(Verdict::Goto(REJECT.to_owned())));
    all.push((CLUSTER_IP_CHECK, unknown));
    let mut guard = rules.not_admitted("guarded-ips", "admitted-sources");
    guard.push(Expr::Verdict(Verdict::Drop));
    all.push((GUARD, guard));
    all.push((REJECT, vec![Expr::Reject(Reject::PortUnreachable(rules.family))]));
    all
}
