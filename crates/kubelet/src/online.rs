//! What begins once there is a connection to the API server.

use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::Node;
use client::connect::Options;
use client::events::{Recorder, Shape};
use client::{Client, Informers, Scope};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{Cluster, Late, Objects};
use crate::config::{Configuration, Flags};
use crate::cri::Runtime;
use crate::events::{Events, Recorded};
use crate::host::Host;
use crate::node::credentials::Credentials;
use crate::node::lease;
use crate::node::registration::Registration;
use crate::pod_worker::registry::Registry;
use crate::pod_worker::{Input, StatusSink};
use crate::sources::{api, mirror};
use crate::status::writer::Writer;

/// How often unused watches are ended.
const RETAIN: Duration = Duration::from_secs(60);

/// Parts that wait for the connection, and parts that it needs.
pub struct Online {
    /// Objects that pods refer to.
    pub objects: Arc<Late<dyn Objects>>,
    /// Events.
    pub events: Arc<Late<dyn Events>>,
    /// Pod statuses.
    pub sink: Arc<Late<dyn StatusSink>>,
    /// Authentication and authorization of the server's callers.
    pub client: Arc<Late<Client>>,
    /// The node.
    pub host: Arc<Host>,
    /// Pods on the node.
    pub registry: Arc<Registry>,
    /// The container runtime.
    pub runtime: Runtime,
    /// The pod manager.
    pub inputs: mpsc::Sender<Input>,
    /// Node conditions under pressure.
    pub pressure: Arc<parking_lot::Mutex<Vec<&'static str>>>,
}

impl Online {
    /// Connects, however long that takes, and starts everything that works with the API.
    pub async fn run(
        self,
        flags: Flags,
        configuration: Configuration,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) {
        let Some(kubeconfig) = flags.kubeconfig.clone() else { return };
        let credentials = Credentials {
            kubeconfig: kubeconfig.clone(),
            bootstrap: flags.bootstrap_kubeconfig.clone(),
            directory: flags.cert_dir.clone(),
            node: self.host.name.clone(),
        };
        let client = tokio::select! {
            () = stop.cancelled() => return,
            client = connect(&credentials, &kubeconfig) => client,
        };
        if configuration.rotate_certificates {
            let (client, stop) = (client.clone(), stop.clone());
            tasks.spawn(async move { credentials.rotate(client, stop).await });
        }
        self.start(client, &flags, &configuration, &tasks, &stop);
    }

    fn start(
        self,
        client: Client,
        flags: &Flags,
        configuration: &Configuration,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let informers = Informers::new(client.clone(), stop.clone());
        let pods = api::informer(&informers, &self.host.name);
        let node = informers.select::<Node>(Scope::fields(format!("metadata.name={}", self.host.name)));
        let cluster = Arc::new(Cluster::new(informers, self.inputs.clone()));
        let writer = Arc::new(Writer::new(client.clone(), pods.clone()));
        let recorder = Recorder::new(client.clone(), Shape::Core, "kubelet", &self.host.name);
        self.objects.set(cluster.clone());
        self.events.set(Arc::new(Recorded::new(recorder, &self.host.name)));
        self.sink.set(writer.clone());
        self.client.set(Arc::new(client.clone()));
        tasks.spawn(writer.clone().run(stop.clone()));
        tasks.spawn(api::run(pods.clone(), self.inputs.clone(), stop.clone()));
        let mirrors = mirror::Mirrors {
            client: client.clone(),
            pods,
            registry: self.registry.clone(),
            host: self.host.clone(),
        };
        tasks.spawn(mirrors.run(stop.clone()));
        tasks.spawn(retain(cluster, writer, self.registry.clone(), stop.clone()));
        tasks.spawn(follow_node(node, self.host.clone(), stop.clone()));
        tasks.spawn(lease::run(
            client.clone(),
            self.host.clone(),
            configuration.node_lease_duration_seconds,
            stop.clone(),
        ));
        let registration = Registration {
            client,
            host: self.host,
            runtime: self.runtime,
            events: self.events,
            labels: flags.labels(),
            taints: configuration.register_with_taints.clone(),
            provider_id: configuration.provider_id.clone(),
            register: configuration.register_node,
            port: configuration.port,
            update: configuration.node_status_update_frequency.0,
            report: configuration.node_status_report_frequency.0,
            max_images: configuration.node_status_max_images,
            pressure: self.pressure,
        };
        tasks.spawn(registration.run(stop.clone()));
    }
}

async fn connect(credentials: &Credentials, kubeconfig: &std::path::Path) -> Client {
    let mut said = String::new();
    loop {
        credentials.obtain().await;
        match client::connect(&Options::file(kubeconfig, "kubelet")).await {
            Ok(client) => return client,
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::new(error));
                if said != error {
                    tracing::error!(error, "Waiting for a usable kubeconfig");
                    said = error;
                }
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        }
    }
}

async fn retain(
    cluster: Arc<Cluster>,
    writer: Arc<Writer>,
    registry: Arc<Registry>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETAIN) => {}
        }
        cluster.retain(&registry.active());
        writer.retain(|uid| registry.get(uid).is_some());
    }
}

/// Keeps the host's copy of the Node fresh; labels decide about admission and the downward API.
async fn follow_node(node: client::Informer<Node>, host: Arc<Host>, stop: CancellationToken) {
    let mut changes = node.subscribe();
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            change = changes.next() => change,
        };
        if let Some(node) = change.new {
            host.set_node(node);
        }
    }
}
