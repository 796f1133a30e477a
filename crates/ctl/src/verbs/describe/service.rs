//! Services, with the endpoints behind each port.

use serde_json::Value;

use super::page::{Page, items, joined, or_none, text};
use super::pod::head;
use crate::error::Result;
use crate::session::{Session, with_query};

/// A Service.
pub async fn service(session: &Session, service: &Value) -> Result<Page> {
    let metadata = &service["metadata"];
    let (name, namespace) = (text(&metadata["name"]), text(&metadata["namespace"]));
    let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
    let of_service = format!("kubernetes.io/service-name={name}");
    let slices = session.get(&with_query(path, &[("labelSelector", &of_service)])).await?;
    Ok(page(service, items(&slices["items"])))
}

fn page(service: &Value, slices: &[Value]) -> Page {
    let spec = &service["spec"];
    let mut page = head(service);
    page.field("Selector", super::page::selector(&spec["selector"]));
    page.field("Type", or_none(&spec["type"]));
    page.known("IP Family Policy", &spec["ipFamilyPolicy"]);
    page.field("IP Families", joined(&spec["ipFamilies"], ","));
    page.field("IP", text(&spec["clusterIP"]));
    page.field("IPs", joined(&spec["clusterIPs"], ","));
    if !items(&spec["externalIPs"]).is_empty() {
        page.field("External IPs", joined(&spec["externalIPs"], ","));
    }
    page.known("Desired LoadBalancer IP", &spec["loadBalancerIP"]);
    page.known("External Name", &spec["externalName"]);
    let ingress: Vec<String> = items(&service["status"]["loadBalancer"]["ingress"])
        .iter()
        .map(|ingress| text(if ingress["ip"].is_null() { &ingress["hostname"] } else { &ingress["ip"] }))
        .collect();
    if !ingress.is_empty() {
        page.field("LoadBalancer Ingress", ingress.join(", "));
    }
    items(&spec["ports"]).iter().for_each(|of| port(&mut page, of, slices));
    page.field("Session Affinity", or_none(&spec["sessionAffinity"]));
    page.known("External Traffic Policy", &spec["externalTrafficPolicy"]);
    if spec["healthCheckNodePort"].as_i64().unwrap_or(0) > 0 {
        page.known("HealthCheck NodePort", &spec["healthCheckNodePort"]);
    }
    page.known("Internal Traffic Policy", &spec["internalTrafficPolicy"]);
    page.known("Traffic Distribution", &spec["trafficDistribution"]);
    page
}

fn port(page: &mut Page, port: &Value, slices: &[Value]) {
    let name = port["name"].as_str().unwrap_or("<unset>");
    let protocol = text(&port["protocol"]);
    page.field("Port", format!("{name}\t{}/{protocol}", port["port"]).replace('\t', "  "));
    page.field("TargetPort", format!("{}/{protocol}", text(&port["targetPort"])));
    if port["nodePort"].as_i64().unwrap_or(0) > 0 {
        page.field("NodePort", format!("{name}  {}/{protocol}", port["nodePort"]));
    }
    page.field("Endpoints", endpoints(port, slices));
}

/// The addresses that are ready, three of them, and how many more there are.
fn endpoints(port: &Value, slices: &[Value]) -> String {
    const SHOWN: usize = 3;
    let mut found = Vec::new();
    for slice in slices {
        let name = |port: &Value| port["name"].as_str().unwrap_or_default().to_owned();
        let Some(number) = items(&slice["ports"]).iter().find(|of| name(of) == name(port)) else { continue };
        let number = text(&number["port"]);
        for endpoint in items(&slice["endpoints"]) {
            if endpoint["conditions"]["ready"] == false {
                continue;
            }
            let bracketed =
                |address: String| if address.contains(':') { format!("[{address}]") } else { address };
            let addresses = items(&endpoint["addresses"]).iter().take(1);
            found.extend(addresses.map(|address| format!("{}:{number}", bracketed(text(address)))));
        }
    }
    match found.len() {
        0 => String::new(),
        count if count > SHOWN => format!("{} + {} more...", found[..SHOWN].join(","), count - SHOWN),
        _ => found.join(","),
    }
}
