//! `ctl port-forward`: local ports that lead into a pod.

use api_types::k8s::api::core::v1::Pod;
use client::Api;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use crate::error::{Error, Result};
use crate::session::Session;
use crate::verbs::logs::pod_of;

/// Flags of `port-forward`.
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// POD or TYPE/NAME
    pod: String,
    /// [LOCAL:]REMOTE; an empty or zero LOCAL takes any free port.
    #[arg(required = true)]
    ports: Vec<String>,
    /// Addresses to listen on.
    #[arg(long, default_value = "127.0.0.1", value_delimiter = ',')]
    address: Vec<String>,
}

/// Runs the command until it is interrupted.
pub async fn run(session: &Session, flags: &Flags) -> Result<()> {
    let pod = pod_of(session, &flags.pod).await?;
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
    let service = match flags.pod.split_once('/') {
        Some((kind, name)) if session.resources().await?.find(kind)?.kind == "Service" => {
            Some(session.get(&format!("/api/v1/namespaces/{}/services/{name}", session.namespace())).await?)
        }
        _ => None,
    };
    let api: Api<Pod> = Api::namespaced(session.client().clone(), &text("namespace"));
    let mut servers = Vec::new();
    for port in &flags.ports {
        let (local, remote) = parse(port, &pod, service.as_ref())?;
        for address in &flags.address {
            let address = if address == "localhost" { "127.0.0.1" } else { address };
            let listener = TcpListener::bind((address, local)).await.map_err(|source| Error::Io {
                attempted: "listen on the local port (is it taken? choose another as LOCAL:REMOTE)",
                source,
            })?;
            let bound = listener.local_addr().map_err(|source| Error::Io { attempted: "listen", source })?;
            println!("Forwarding from {bound} -> {remote}");
            servers.push(serve(api.clone(), text("name"), listener, remote));
        }
    }
    futures::future::try_join_all(servers).await.map(drop)
}

/// `[LOCAL:]REMOTE`; REMOTE may be the name of a port, and a Service's port leads to its target.
fn parse(text: &str, pod: &Value, service: Option<&Value>) -> Result<(u16, u16)> {
    let (local, remote) = text.split_once(':').unwrap_or((text, text));
    let wrong = || Error::Usage(format!("invalid port format {text:?}: use REMOTE, LOCAL:REMOTE or :REMOTE"));
    let mut target = remote.to_owned();
    if let Some(service) = service {
        let ports = service["spec"]["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
        let number = remote.parse::<u16>().ok();
        let named =
            |port: &&Value| port["name"] == remote || number.is_some_and(|number| port["port"] == number);
        let found = ports.iter().find(named);
        let port = found.ok_or_else(|| Error::Usage(format!("the Service has no port {remote}")))?;
        target = port["targetPort"].as_str().map_or_else(|| port["targetPort"].to_string(), str::to_owned);
    }
    let remote_number = match target.parse() {
        Ok(number) => number,
        Err(_) => named_port(pod, &target)
            .ok_or_else(|| Error::Usage(format!("the pod has no port named {target:?}")))?,
    };
    let local_number = match local {
        "" => 0,
        _ if local == remote => local.parse().unwrap_or(remote_number),
        _ => local.parse().map_err(|_| wrong())?,
    };
    Ok((local_number, remote_number))
}

fn named_port(pod: &Value, name: &str) -> Option<u16> {
    let containers = pod["spec"]["containers"].as_array()?.iter();
    let mut ports = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
    ports.find(|port| port["name"] == name)?["containerPort"]
        .as_u64()
        .and_then(|port| u16::try_from(port).ok())
}

async fn serve(api: Api<Pod>, pod: String, listener: TcpListener, remote: u16) -> Result<()> {
    loop {
        let (connection, _) = listener
            .accept()
            .await
            .map_err(|source| Error::Io { attempted: "accept a connection", source })?;
        println!(
            "Handling connection for {}",
            listener.local_addr().map_or(remote, |address| address.port())
        );
        let (api, pod) = (api.clone(), pod.clone());
        tokio::spawn(async move {
            if let Err(reason) = forward(&api, &pod, connection, remote).await {
                eprintln!("error forwarding port {remote} to pod {pod}: {reason}");
            }
        });
    }
}

async fn forward(
    api: &Api<Pod>,
    pod: &str,
    mut connection: TcpStream,
    remote: u16,
) -> std::result::Result<(), String> {
    let mut forwarder = api.portforward(pod, &[remote]).await.map_err(|error| error.to_string())?;
    let failed = forwarder.take_error(remote);
    let mut stream = forwarder.take_stream(remote).ok_or("the server opened no stream")?;
    // Either side may end the connection at any time.
    tokio::io::copy_bidirectional(&mut connection, &mut stream).await.ok();
    drop(stream);
    if let Some(reason) = match failed {
        Some(failed) => failed.await,
        None => None,
    } {
        return Err(reason);
    }
    forwarder.join().await.map_err(|error| error.to_string())
}
