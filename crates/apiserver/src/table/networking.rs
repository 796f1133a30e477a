//! `networking.k8s.io`.

use serde_json::Value;

use super::PrinterRow;
use super::services::load_balancer;
use super::view::{NONE, View, cells, joined_texts, selector, text, with_more};

pub const PRINTERS: &[PrinterRow] = &[
    ("networking.k8s.io", "ingresses", ingress),
    ("networking.k8s.io", "ingressclasses", ingress_class),
    ("networking.k8s.io", "networkpolicies", network_policy),
    ("networking.k8s.io", "ipaddresses", ip_address),
    ("networking.k8s.io", "servicecidrs", service_cidr),
];

/// Hosts that are shown before "more".
const HOSTS: usize = 3;

fn ingress(view: &View<'_>) -> Vec<Value> {
    let hosts = view.list("spec.rules").iter().map(|rule| text(rule, "host").to_owned());
    let hosts = hosts.filter(|host| !host.is_empty());
    let ports = if view.count("spec.tls") > 0 { "80, 443" } else { "80" };
    cells![
        view.name(),
        view.text_or("spec.ingressClassName", NONE),
        with_more(hosts, HOSTS, ",", "*"),
        load_balancer(view),
        ports,
        view.age(),
    ]
}

fn ingress_class(view: &View<'_>) -> Vec<Value> {
    let parameters = view.get("spec.parameters");
    let shown = match (parameters.is_object(), text(parameters, "apiGroup")) {
        (false, _) => NONE.to_owned(),
        (true, "") => format!("{}/{}", text(parameters, "kind"), text(parameters, "name")),
        (true, group) => format!("{}.{group}/{}", text(parameters, "kind"), text(parameters, "name")),
    };
    cells![view.name(), view.text("spec.controller"), shown, view.age()]
}

fn network_policy(view: &View<'_>) -> Vec<Value> {
    cells![view.name(), selector(view.get("spec.podSelector")), view.age()]
}

/// The last cell has no column upstream either; clients drop it.
fn ip_address(view: &View<'_>) -> Vec<Value> {
    let parent = view.get("spec.parentRef");
    let shown = if parent.is_object() {
        let resource = match text(parent, "group") {
            "" => text(parent, "resource").to_lowercase(),
            group => format!("{}.{group}", text(parent, "resource")).to_lowercase(),
        };
        match text(parent, "namespace") {
            "" => format!("{resource}/{}", text(parent, "name")),
            namespace => format!("{resource}/{namespace}/{}", text(parent, "name")),
        }
    } else {
        NONE.to_owned()
    };
    cells![view.name(), shown, view.age()]
}

fn service_cidr(view: &View<'_>) -> Vec<Value> {
    cells![view.name(), joined_texts(view.list("spec.cidrs"), ","), view.age()]
}
