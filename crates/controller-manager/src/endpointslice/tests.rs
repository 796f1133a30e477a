use std::collections::HashMap;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{
    Container, ContainerPort, Node, Pod, PodCondition, PodIP, PodSpec, PodStatus, Service, ServicePort,
    ServiceSpec,
};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use api_types::k8s::apimachinery::pkg::util::intstr::IntOrString;

use super::plan::{Snapshot, plan};
use crate::common::slices::{Action, Group};

fn service(target: IntOrString) -> Service {
    let mut service = Service::default();
    service.metadata.name = Some("web".into());
    service.spec = Some(ServiceSpec {
        selector: Some([("app".into(), "web".into())].into()),
        ports: Some(vec![ServicePort { port: 80, target_port: Some(target), ..ServicePort::default() }]),
        ..ServiceSpec::default()
    });
    service
}

fn pod(name: &str, ip: &str, ready: bool, port: i32) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = Some(name.into());
    pod.metadata.uid = Some(name.into());
    let port = ContainerPort { name: Some("http".into()), container_port: port, ..ContainerPort::default() };
    pod.spec = Some(PodSpec {
        node_name: Some("n1".into()),
        containers: vec![Container { ports: Some(vec![port]), ..Container::default() }],
        ..PodSpec::default()
    });
    let condition = PodCondition {
        type_: "Ready".into(),
        status: if ready { "True" } else { "False" }.into(),
        ..PodCondition::default()
    };
    pod.status = Some(PodStatus {
        phase: Some("Running".into()),
        pod_ips: Some(vec![PodIP { ip: ip.into() }]),
        conditions: Some(vec![condition]),
        ..PodStatus::default()
    });
    pod
}

fn groups(service: Service, pods: Vec<Pod>) -> Vec<Group> {
    let mut node = Node::default();
    node.metadata.labels = Some([("topology.kubernetes.io/zone".into(), "z".into())].into());
    let snapshot = Snapshot {
        service: Arc::new(service),
        pods: pods.into_iter().map(Arc::new).collect(),
        nodes: HashMap::from([("n1".to_owned(), Arc::new(node))]),
        slices: Vec::new(),
        max_per_slice: 100,
    };
    let created = |action| match action {
        Action::Create(group) => group,
        other => panic!("expected creations, got {other:?}"),
    };
    plan(&snapshot).0.into_iter().map(created).collect()
}

#[test]
fn conditions_tell_ready_serving_and_terminating() {
    let mut leaving = pod("c", "10.0.0.3", true, 8080);
    leaving.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::now()));
    let pods = vec![pod("a", "10.0.0.1", true, 8080), pod("b", "10.0.0.2", false, 8080), leaving];
    let groups = groups(service(IntOrString::Int(8080)), pods);
    let conditions: Vec<_> = groups[0]
        .endpoints
        .iter()
        .map(|endpoint| endpoint.conditions.clone().unwrap())
        .map(|c| (c.ready.unwrap(), c.serving.unwrap(), c.terminating.unwrap()))
        .collect();
    assert_eq!(conditions, [(true, true, false), (false, false, false), (false, true, true)]);
    assert_eq!(groups[0].endpoints[0].zone.as_deref(), Some("z"));
}

#[test]
fn named_ports_group_pods_and_strangers_are_left_out() {
    let mut elsewhere = pod("d", "10.0.0.4", true, 80);
    elsewhere.spec.as_mut().unwrap().node_name = Some("gone".into());
    let mut unbound = pod("e", "10.0.0.5", true, 80);
    unbound.spec.as_mut().unwrap().node_name = None;
    let pods = vec![pod("a", "10.0.0.1", true, 8080), pod("b", "10.0.0.2", true, 9090), elsewhere, unbound];
    let groups = groups(service(IntOrString::String("http".into())), pods);
    let ports: Vec<_> = groups.iter().map(|group| (group.ports[0].port, group.endpoints.len())).collect();
    assert_eq!(ports, [(Some(8080), 1), (Some(9090), 1)]);
}

#[test]
fn near_traffic_is_hinted_for_ready_endpoints() {
    let mut service = service(IntOrString::Int(80));
    service.spec.as_mut().unwrap().traffic_distribution = Some("PreferSameNode".into());
    let groups = groups(service, vec![pod("a", "10.0.0.1", true, 80), pod("b", "10.0.0.2", false, 80)]);
    let hints = groups[0].endpoints[0].hints.clone().unwrap();
    assert_eq!(hints.for_nodes.unwrap()[0].name, "n1");
    assert_eq!(hints.for_zones.unwrap()[0].name, "z");
    assert!(groups[0].endpoints[1].hints.is_none());
}
