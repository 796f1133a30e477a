use serde_json::{Value, json};

use super::*;

fn zone() -> Zone {
    let domain = Name::from_ascii("cluster.local.").unwrap();
    Zone { domain, ttl: 5, serial: 1, service: Some(("kube-system".into(), "kube-dns".into())) }
}

fn service(namespace: &str, name: &str, spec: Value) -> api_types::k8s::api::core::v1::Service {
    serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec})).unwrap()
}

fn slice(service: &str, family: &str, endpoints: Value) -> api_types::k8s::api::discovery::v1::EndpointSlice {
    serde_json::from_value(json!({
        "metadata": {"namespace": "shop", "name": format!("{service}-{family}"), "labels": {"kubernetes.io/service-name": service}},
        "addressType": family, "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}], "endpoints": endpoints}))
    .unwrap()
}

fn index() -> Index {
    let mut index = Index::default();
    let ports = json!([{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "Metrics", "port": 9090, "protocol": "TCP"}]);
    for object in [
        service(
            "kube-system",
            "kube-dns",
            json!({"clusterIP": "10.96.0.10", "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]}),
        ),
        service(
            "shop",
            "web",
            json!({"clusterIP": "10.96.0.20", "clusterIPs": ["10.96.0.20", "fd00::20"], "ports": ports}),
        ),
        service("shop", "db", json!({"clusterIP": "None", "ports": ports})),
        service("shop", "empty", json!({"clusterIP": "None", "ports": ports})),
        service(
            "shop",
            "early",
            json!({"clusterIP": "None", "publishNotReadyAddresses": true, "ports": ports}),
        ),
        service("shop", "wiki", json!({"type": "ExternalName", "externalName": "wiki.example.org"})),
        service(
            "shop",
            "inner",
            json!({"type": "ExternalName", "externalName": "web.shop.svc.cluster.local"}),
        ),
        service(
            "shop",
            "snake",
            json!({"type": "ExternalName", "externalName": "snake.shop.svc.cluster.local"}),
        ),
    ] {
        index.apply_service(&object);
    }
    index.apply_slice(&slice(
        "db",
        "IPv4",
        json!([
        {"addresses": ["10.244.0.5"], "hostname": "db-0", "conditions": {"ready": true}},
        {"addresses": ["10.244.0.6"]},
        {"addresses": ["10.244.0.7"], "hostname": "db-2", "conditions": {"ready": false}}]),
    ));
    index.apply_slice(&slice(
        "db",
        "IPv6",
        json!([{"addresses": ["fd00::5"], "hostname": "db-0", "conditions": {"ready": true}}]),
    ));
    index.apply_slice(&slice(
        "early",
        "IPv4",
        json!([{"addresses": ["10.244.0.8"], "conditions": {"ready": false}}]),
    ));
    index.apply_slice(&slice("web", "IPv4", json!([{"addresses": ["10.244.0.9"]}])));
    index
}

/// The answer in short: the records' data, or `empty`, `nxdomain`, `elsewhere`, with `-> name` for an alias that leads outside.
fn ask(name: &str, kind: RecordType) -> String {
    let name = Name::from_ascii(name).unwrap();
    let Some(answer) = zone().resolve(&index(), &name, kind) else { return "elsewhere".into() };
    let mut text: Vec<String> = answer.answers.iter().map(|record| record.data.to_string()).collect();
    let negative = answer.answers.is_empty();
    if zone().domain.zone_of(&name) {
        assert_eq!(
            negative,
            answer.authorities.iter().any(|record| record.record_type() == RecordType::SOA),
            "{name}"
        );
    }
    match answer.code {
        ResponseCode::NXDomain => text.push("nxdomain".into()),
        _ if negative => text.push("empty".into()),
        _ => {}
    }
    text.extend(answer.outside.map(|name| format!("-> {name}")));
    text.join(" ")
}

#[test]
fn names_follow_the_specification() {
    use RecordType::{A, AAAA, CNAME, MX, NS, PTR, SRV, TXT};
    let cases: &[(&str, RecordType, &str)] = &[
        ("web.shop.svc.cluster.local.", A, "10.96.0.20"),
        ("WEB.Shop.svc.Cluster.local.", A, "10.96.0.20"),
        ("web.shop.svc.cluster.local.", AAAA, "fd00::20"),
        ("web.shop.svc.cluster.local.", MX, "empty"),
        ("nope.shop.svc.cluster.local.", A, "nxdomain"),
        ("web.nope.svc.cluster.local.", A, "nxdomain"),
        ("shop.svc.cluster.local.", A, "empty"),
        ("nope.svc.cluster.local.", A, "nxdomain"),
        ("svc.cluster.local.", A, "empty"),
        ("cluster.local.", A, "empty"),
        ("cluster.local.", NS, "ns.dns.cluster.local."),
        ("ns.dns.cluster.local.", A, "10.96.0.10"),
        ("dns-version.cluster.local.", TXT, "1.1.0"),
        ("example.org.cluster.local.", A, "nxdomain"),
        // SRV.
        ("_http._tcp.web.shop.svc.cluster.local.", SRV, "0 100 80 web.shop.svc.cluster.local."),
        ("_metrics._tcp.web.shop.svc.cluster.local.", SRV, "0 100 9090 web.shop.svc.cluster.local."),
        ("_http._udp.web.shop.svc.cluster.local.", SRV, "nxdomain"),
        ("_http._tcp.web.shop.svc.cluster.local.", A, "empty"),
        ("_tcp.web.shop.svc.cluster.local.", SRV, "empty"),
        ("_udp.web.shop.svc.cluster.local.", SRV, "nxdomain"),
        (
            "_http._tcp.db.shop.svc.cluster.local.",
            SRV,
            "0 50 8080 10-244-0-6.db.shop.svc.cluster.local. 0 50 8080 db-0.db.shop.svc.cluster.local.",
        ),
        // Headless.
        ("db.shop.svc.cluster.local.", A, "10.244.0.5 10.244.0.6"),
        ("db.shop.svc.cluster.local.", AAAA, "fd00::5"),
        ("db-0.db.shop.svc.cluster.local.", A, "10.244.0.5"),
        ("db-0.db.shop.svc.cluster.local.", MX, "empty"),
        ("10-244-0-6.db.shop.svc.cluster.local.", A, "10.244.0.6"),
        ("db-2.db.shop.svc.cluster.local.", A, "nxdomain"),
        ("a.b.c.db.shop.svc.cluster.local.", A, "nxdomain"),
        ("empty.shop.svc.cluster.local.", A, "nxdomain"),
        ("early.shop.svc.cluster.local.", A, "10.244.0.8"),
        // ExternalName.
        ("wiki.shop.svc.cluster.local.", A, "wiki.example.org. -> wiki.example.org."),
        ("wiki.shop.svc.cluster.local.", CNAME, "wiki.example.org."),
        ("inner.shop.svc.cluster.local.", A, "web.shop.svc.cluster.local. 10.96.0.20"),
        // Pods.
        ("10-244-0-77.shop.pod.cluster.local.", A, "10.244.0.77"),
        ("fd00--77.shop.pod.cluster.local.", AAAA, "fd00::77"),
        ("nonsense.shop.pod.cluster.local.", A, "nxdomain"),
        ("shop.pod.cluster.local.", A, "empty"),
        // Back from addresses.
        ("20.0.96.10.in-addr.arpa.", PTR, "web.shop.svc.cluster.local."),
        ("5.0.244.10.in-addr.arpa.", PTR, "db-0.db.shop.svc.cluster.local."),
        ("9.0.244.10.in-addr.arpa.", PTR, "10-244-0-9.web.shop.svc.cluster.local."),
        ("20.0.96.10.in-addr.arpa.", A, "empty"),
        ("0.96.10.in-addr.arpa.", PTR, "elsewhere"),
        ("1.1.1.1.in-addr.arpa.", PTR, "elsewhere"),
        (
            "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
            PTR,
            "db-0.db.shop.svc.cluster.local.",
        ),
        ("example.org.", A, "elsewhere"),
    ];
    for (name, kind, expected) in cases {
        assert_eq!(ask(name, *kind), *expected, "{kind} {name}");
    }
}

#[test]
fn srv_answers_bring_addresses() {
    let name = Name::from_ascii("_http._tcp.web.shop.svc.cluster.local.").unwrap();
    let answer = zone().resolve(&index(), &name, RecordType::SRV).unwrap();
    let told: Vec<String> = answer.additionals.iter().map(|record| record.data.to_string()).collect();
    assert_eq!(told, ["10.96.0.20", "fd00::20"]);
}

#[test]
fn aliases_that_go_round_end() {
    let text = ask("snake.shop.svc.cluster.local.", RecordType::A);
    assert_eq!(text.split(' ').count(), MAX_ALIASES + 1);
}

#[test]
fn what_is_deleted_is_gone() {
    let mut index = index();
    index.delete_service("shop", "web");
    index.delete_slice("shop", "db-IPv4");
    let name = |text| Name::from_ascii(text).unwrap();
    assert!(index.names_of("10.96.0.20".parse().unwrap()).is_empty());
    assert!(index.names_of("10.244.0.5".parse().unwrap()).is_empty());
    assert_eq!(index.names_of("fd00::5".parse().unwrap()).len(), 1);
    let answer = zone().resolve(&index, &name("db.shop.svc.cluster.local."), RecordType::A).unwrap();
    assert_eq!((answer.code, answer.answers.len()), (ResponseCode::NoError, 0));
}
