//! Services and the addresses behind them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::PrinterRow;
use super::view::{NONE, UNKNOWN, UNSET, View, cells, joined_texts, labels, list, text, with_more};

pub const PRINTERS: &[PrinterRow] = &[
    ("", "services", service),
    ("", "endpoints", endpoints),
    ("discovery.k8s.io", "endpointslices", endpoint_slice),
];

/// Addresses and ports that are shown before "more".
const SHOWN: usize = 3;

fn service(view: &View<'_>) -> Vec<Value> {
    let ports: Vec<String> = view.list("spec.ports").iter().map(port).collect();
    let cluster_ip = view.list("spec.clusterIPs").first().and_then(Value::as_str);
    cells![
        view.name(),
        view.text("spec.type"),
        cluster_ip.unwrap_or(NONE),
        external_ip(view),
        if ports.is_empty() { NONE.to_owned() } else { ports.join(",") },
        view.age(),
        labels(view.get("spec.selector")),
    ]
}

fn port(port: &Value) -> String {
    let (number, protocol) = (port["port"].as_i64().unwrap_or_default(), text(port, "protocol"));
    match port["nodePort"].as_i64().unwrap_or_default() {
        0 => format!("{number}/{protocol}"),
        node_port => format!("{number}:{node_port}/{protocol}"),
    }
}

fn external_ip(view: &View<'_>) -> String {
    let own = joined_texts(view.list("spec.externalIPs"), ",");
    let balancer = load_balancer(view);
    match view.text("spec.type") {
        "ClusterIP" | "NodePort" if own.is_empty() => NONE.to_owned(),
        "ClusterIP" | "NodePort" => own,
        "LoadBalancer" => match (balancer.is_empty(), own.is_empty()) {
            (true, true) => "<pending>".to_owned(),
            (true, false) => own,
            (false, true) => balancer,
            (false, false) => format!("{balancer},{own}"),
        },
        "ExternalName" => view.text("spec.externalName").to_owned(),
        _ => UNKNOWN.to_owned(),
    }
}

/// The addresses or names in `status.loadBalancer`, sorted.
pub fn load_balancer(view: &View<'_>) -> String {
    let points = view.list("status.loadBalancer.ingress").iter();
    let points = points.map(|point| match text(point, "ip") {
        "" => text(point, "hostname"),
        ip => ip,
    });
    let points: BTreeSet<&str> = points.filter(|point| !point.is_empty()).collect();
    points.into_iter().collect::<Vec<_>>().join(",")
}

fn endpoints(view: &View<'_>) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in view.list("subsets") {
        let ips = list(subset, "addresses").iter().map(|address| text(address, "ip"));
        match list(subset, "ports") {
            [] => all.extend(ips.map(str::to_owned)),
            ports => {
                let numbers = ports.iter().map(|port| port["port"].as_i64().unwrap_or_default());
                all.extend(numbers.flat_map(|number| ips.clone().map(move |ip| host_port(ip, number))));
            }
        }
    }
    cells![view.name(), with_more(all.into_iter(), SHOWN, ",", NONE), view.age()]
}

fn host_port(host: &str, port: i64) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn endpoint_slice(view: &View<'_>) -> Vec<Value> {
    let ports = view.list("ports").iter().map(|port| match port["port"].as_i64() {
        Some(number) => number.to_string(),
        None => port["name"].as_str().unwrap_or("*").to_owned(),
    });
    let addresses = view.list("endpoints").iter().flat_map(|endpoint| list(endpoint, "addresses"));
    let addresses = addresses.filter_map(Value::as_str).map(str::to_owned);
    cells![
        view.name(),
        view.text("addressType"),
        with_more(ports, SHOWN, ",", UNSET),
        with_more(addresses, SHOWN, ",", UNSET),
        view.age(),
    ]
}
