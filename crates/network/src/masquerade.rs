//! Masquerading of what pods send to the world, in an nftables table of our own.

use ipnet::IpNet;
use nfnetlink::nft::{Batch, Chain, Cmp, Expr, Header, Hook, HookType, Reg, Verdict};
use nfnetlink::{Error, Family, Socket};

/// Name of our table in both families.
pub const TABLE: &str = "coxswain-network";

const CHAIN: &str = "postrouting";
/// Where source NAT belongs.
const SNAT: i32 = 100;

/// Makes pods in `ours` appear as this node to everybody but pods in `cluster`. One transaction replaces what was there.
///
/// # Errors
/// When the kernel refuses.
pub fn apply(socket: &mut Socket, ours: &[IpNet], cluster: &[IpNet]) -> Result<(), Error> {
    for family in [Family::V4, Family::V6] {
        let of_family = |ranges: &[IpNet]| {
            ranges.iter().copied().filter(|range| Family::of(range.addr()) == family).collect::<Vec<_>>()
        };
        let (ours, cluster) = (of_family(ours), of_family(cluster));
        if ours.is_empty() {
            if socket.tables(family)?.iter().any(|name| name == TABLE) {
                socket.remove_table(family, TABLE)?;
            }
            continue;
        }
        let mut batch = Batch::new(family, TABLE);
        batch.add_table();
        batch.delete_table();
        batch.add_table();
        batch.add_chain(&Chain {
            name: CHAIN.to_owned(),
            hook: Some((HookType::Nat, Hook::Postrouting, SNAT)),
        });
        for rule in rules(family, &ours, &cluster) {
            batch.add_rule(CHAIN, &rule);
        }
        socket.commit(batch)?;
    }
    Ok(())
}

/// Whether the rules for `ours` are in the kernel.
///
/// # Errors
/// When the kernel does not answer.
pub fn in_place(socket: &mut Socket, ours: &[IpNet]) -> Result<bool, Error> {
    for range in ours {
        if socket.rule_count(Family::of(range.addr()), TABLE, CHAIN)? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes the tables.
///
/// # Errors
/// When the kernel refuses.
pub fn remove(socket: &mut Socket) -> Result<(), Error> {
    apply(socket, &[], &[])
}

fn rules(family: Family, ours: &[IpNet], cluster: &[IpNet]) -> Vec<Vec<Expr>> {
    let (source, destination) = if family == Family::V4 { (12, 16) } else { (8, 24) };
    let multicast: IpNet = match family {
        Family::V4 => IpNet::from(ipnet::Ipv4Net::new_assert([224, 0, 0, 0].into(), 4)),
        Family::V6 => IpNet::from(ipnet::Ipv6Net::new_assert([0xff00, 0, 0, 0, 0, 0, 0, 0].into(), 8)),
    };
    let mut rules = Vec::new();
    for range in cluster.iter().chain([&multicast]) {
        let mut rule = within(range, destination, Cmp::Eq);
        rule.push(Expr::Verdict(Verdict::Return));
        rules.push(rule);
    }
    for range in ours {
        let mut rule = within(range, source, Cmp::Eq);
        rule.push(Expr::Masquerade { random: true });
        rules.push(rule);
    }
    rules
}

/// The address at `offset` of the IP header is (or is not) in the range.
fn within(range: &IpNet, offset: u32, cmp: Cmp) -> Vec<Expr> {
    let bytes = |ip| match ip {
        std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
        std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let mask = bytes(range.netmask());
    vec![
        Expr::Payload { header: Header::Network, offset, len: mask.len() as u32, dreg: Reg(0) },
        Expr::Bitwise { reg: Reg(0), xor: vec![0; mask.len()], mask },
        Expr::Cmp(cmp, Reg(0), bytes(range.network())),
    ]
}
