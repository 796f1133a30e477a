//! `ctl expose`: a Service for a workload.

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::session::Session;
use crate::target::{self, Files, Selection};

/// Flags of `expose`.
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// TYPE NAME or TYPE/NAME
    arguments: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    selection: Selection,
    /// Port of the Service; by default the ports that the containers declare.
    #[arg(long)]
    port: Option<u16>,
    /// Port, or name of a port, of the containers.
    #[arg(long)]
    target_port: Option<String>,
    /// TCP, UDP or SCTP.
    #[arg(long, default_value = "TCP")]
    protocol: String,
    /// Name of the Service; by default the workload's.
    #[arg(long)]
    name: Option<String>,
    /// ClusterIP, NodePort or LoadBalancer.
    #[arg(long = "type")]
    kind: Option<String>,
    /// `None` for a headless Service, or the address to use.
    #[arg(long)]
    cluster_ip: Option<String>,
}

/// Runs the command.
pub async fn run(session: &Session, flags: &Flags) -> Result<()> {
    for (target, object) in
        target::objects(session, &flags.arguments, &flags.files, &flags.selection, false).await?
    {
        let service = service(flags, &object)?;
        let namespace = target.namespace.as_deref().unwrap_or(session.namespace());
        let created = session
            .create(&format!("/api/v1/namespaces/{namespace}/services?fieldManager=ctl-expose"), &service)
            .await?;
        println!("service/{} exposed", created["metadata"]["name"].as_str().unwrap_or_default());
    }
    Ok(())
}

fn service(flags: &Flags, object: &Value) -> Result<Value> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let (selector, pod) = match kind {
        "Pod" => (&object["metadata"]["labels"], &object["spec"]),
        "Service" => (&object["spec"]["selector"], &Value::Null),
        "ReplicationController" => (&object["spec"]["selector"], &object["spec"]["template"]["spec"]),
        "Deployment" | "ReplicaSet" => {
            (&object["spec"]["selector"]["matchLabels"], &object["spec"]["template"]["spec"])
        }
        _ => return Err(Error::Usage(format!("cannot expose a {kind}"))),
    };
    if selector.as_object().is_none_or(serde_json::Map::is_empty) {
        return Err(Error::Usage(format!(
            "couldn't retrieve selectors: the {kind} has no labels to select its pods by"
        )));
    }
    let ports = ports(flags, pod)?;
    let mut service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": flags.name.as_deref().unwrap_or(object["metadata"]["name"].as_str().unwrap_or_default())},
        "spec": {"selector": selector, "ports": ports},
    });
    if let Some(labels) = object["metadata"]["labels"].as_object() {
        service["metadata"]["labels"] = json!(labels);
    }
    if let Some(kind) = &flags.kind {
        service["spec"]["type"] = json!(kind);
    }
    if let Some(address) = &flags.cluster_ip {
        service["spec"]["clusterIP"] = json!(address);
    }
    Ok(service)
}

fn ports(flags: &Flags, pod: &Value) -> Result<Vec<Value>> {
    let target = |port: u16| match &flags.target_port {
        Some(text) => text.parse::<u16>().map_or_else(|_| json!(text), |number| json!(number)),
        None => json!(port),
    };
    if let Some(port) = flags.port {
        return Ok(vec![json!({"port": port, "protocol": flags.protocol, "targetPort": target(port)})]);
    }
    let mut ports = Vec::new();
    for container in pod["containers"].as_array().into_iter().flatten() {
        for port in container["ports"].as_array().into_iter().flatten() {
            let number =
                port["containerPort"].as_u64().and_then(|number| u16::try_from(number).ok()).unwrap_or(0);
            ports.push(json!({"port": number, "protocol": port["protocol"], "targetPort": target(number)}));
        }
    }
    if ports.is_empty() {
        return Err(Error::Usage("couldn't find port via --port flag or introspection".into()));
    }
    if ports.len() > 1 {
        for (index, port) in ports.iter_mut().enumerate() {
            port["name"] = json!(format!("port-{}", index + 1));
        }
    }
    Ok(ports)
}
