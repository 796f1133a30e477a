use std::collections::BTreeMap;
use std::net::SocketAddr;

use nfnetlink::Family;

use super::element::{Frontend, Slot, Value};
use super::plan::elements;
use super::state::State;
use crate::index::{External, PortModel, Protocol, ServiceName, Traffic};

fn port(cluster_ip: &str, backends: &[&str]) -> PortModel {
    let list: Vec<SocketAddr> = backends.iter().map(|text| text.parse().unwrap()).collect();
    let traffic = if list.is_empty() { Traffic::Reject } else { Traffic::To(list) };
    PortModel {
        label: "a/web".into(),
        family: Family::V4,
        protocol: Protocol::Tcp,
        port: 80,
        node_port: None,
        cluster_ips: vec![cluster_ip.parse().unwrap()],
        external_ips: Vec::new(),
        guarded_ips: Vec::new(),
        source_ranges: Vec::new(),
        guard_admits_node: false,
        affinity: None,
        internal: traffic.clone(),
        external: External::Cluster(traffic),
        on_node: Vec::new(),
    }
}

/// The difference as `set: -slots +slots`, in short.
fn replace(state: &mut State, service: &str, ports: &[PortModel]) -> Vec<String> {
    let wanted = elements(ports.iter(), state);
    let changes = state.replace(&ServiceName::from(service), &wanted);
    let mut lines = BTreeMap::new();
    for change in changes {
        let sign = match (change.before, change.after) {
            (None, Some(_)) => "+",
            (Some(_), None) => "-",
            _ => "~",
        };
        lines.insert(change.slot, format!("{sign}{}", super::element::SETS[change.slot.set()]));
    }
    lines.into_values().collect()
}

#[test]
fn a_change_is_only_its_difference() {
    let mut state = State::default();
    let steps: &[(&[&str], &[&str])] = &[
        (&[], &["+cluster-ips", "+reject-ips"]),
        (&["1.1.1.1:80", "1.1.1.2:80"], &["+service-ips", "+endpoints", "+endpoints", "-reject-ips"]),
        (&["1.1.1.1:80", "1.1.1.2:80"], &[]),
        (&["1.1.1.1:80", "1.1.1.3:80"], &["~endpoints"]),
        (&["1.1.1.1:80", "1.1.1.3:80", "1.1.1.4:80"], &["~service-ips", "+endpoints"]),
        (&["1.1.1.3:80", "1.1.1.4:80"], &["~service-ips", "~endpoints", "-endpoints"]),
    ];
    for (backends, expected) in steps {
        assert_eq!(replace(&mut state, "a/web", &[port("10.96.0.1", backends)]), *expected, "{backends:?}");
    }
    assert_eq!(
        replace(&mut state, "a/web", &[]),
        ["-cluster-ips", "-service-ips", "-endpoints", "-endpoints"]
    );
    assert!(state.is_empty());
}

#[test]
fn the_first_by_name_has_a_contested_address() {
    let at = Frontend { ip: "10.96.0.1".parse().unwrap(), protocol: Protocol::Tcp, port: 80 };
    let first = |state: &State| match state.get(&Slot::Endpoint(at, 0)) {
        Some(Value::Backend(backend)) => backend.to_string(),
        other => panic!("{other:?}"),
    };
    let mut state = State::default();
    replace(&mut state, "b/web", &[port("10.96.0.1", &["2.2.2.2:80"])]);
    assert_eq!(first(&state), "2.2.2.2:80");
    assert_eq!(replace(&mut state, "a/web", &[port("10.96.0.1", &["1.1.1.1:80"])]), ["~endpoints"]);
    assert_eq!(first(&state), "1.1.1.1:80");
    assert!(replace(&mut state, "c/web", &[port("10.96.0.1", &["3.3.3.3:80"])]).is_empty());
    assert_eq!(replace(&mut state, "a/web", &[]), ["~endpoints"]);
    assert_eq!(first(&state), "2.2.2.2:80");
    replace(&mut state, "b/web", &[]);
    assert_eq!(first(&state), "3.3.3.3:80");
    replace(&mut state, "c/web", &[]);
    assert!(state.is_empty());
}
