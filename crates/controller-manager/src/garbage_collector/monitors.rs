//! Which resources are watched, and how their changes reach the graph.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::apimachinery::pkg::apis::meta::v1::OwnerReference;
use client::discovery::{self, Served};
use client::kube::api::ApiResource;
use client::kube::core::{DynamicObject, PartialObjectMeta};
use client::queue::Queue;
use client::{Change, Client, Informer, Informers, Scope};
use component::CancellationToken;
use parking_lot::{Mutex, RwLock};

use super::graph::{Graph, Work};

pub(super) type Metadata = PartialObjectMeta<DynamicObject>;

/// Events come and go by themselves and own nothing.
const IGNORED: [(&str, &str); 2] = [("", "events"), ("events.k8s.io", "events")];

/// All monitored resources and the graph that they feed.
pub(super) struct Monitors {
    informers: Informers,
    client: Client,
    shutdown: CancellationToken,
    pub graph: Arc<Mutex<Graph>>,
    pub queue: Queue<Work>,
    running: Mutex<HashMap<ApiResource, (CancellationToken, Informer<Metadata>)>>,
    /// Resource and scope by `apiVersion` and kind, as references name them.
    kinds: Arc<Kinds>,
}

impl Monitors {
    pub(super) fn new(client: Client, informers: Informers, shutdown: CancellationToken) -> Self {
        // Names and ownership are all that is needed of an object.
        informers.transform::<Metadata>(|object| {
            object.metadata.labels = None;
            object.metadata.annotations = None;
            object.types = None;
        });
        Self {
            informers,
            client,
            shutdown,
            graph: Arc::default(),
            queue: Queue::new("garbage_collector_attempt_to_delete"),
            running: Mutex::default(),
            kinds: Arc::default(),
        }
    }

    /// The resource that a reference means.
    pub(super) fn resource_of(&self, owner: &OwnerReference) -> Option<(Arc<ApiResource>, bool)> {
        resource_of(&self.kinds, owner)
    }

    /// Starts and stops monitors so that they fit what the server serves.
    pub(super) async fn refresh(&self) -> Result<(), client::Error> {
        let discovered = discovery::discover(&self.client).await?;
        let wanted: Vec<&Served> = discovered
            .resources
            .iter()
            .filter(|served| served.can(&["delete", "list", "watch"]))
            .filter(|served| !IGNORED.contains(&(&served.resource.group, &served.resource.plural)))
            .collect();
        self.learn(&wanted);
        let mut running = self.running.lock();
        if discovered.complete {
            running.retain(|resource, (stop, _)| {
                let kept = wanted.iter().any(|served| served.resource == *resource);
                if !kept {
                    stop.cancel();
                    self.informers.stop::<Metadata>(resource, &Scope::default());
                }
                kept
            });
        }
        for served in wanted {
            if !running.contains_key(&served.resource) {
                running.insert(served.resource.clone(), self.monitor(served));
            }
        }
        Ok(())
    }

    /// Waits until all monitors have their first state, but not for ever: a broken definition must not stop collection.
    pub(super) async fn synced(&self) {
        let informers: Vec<_> = self.running.lock().values().map(|(_, informer)| informer.clone()).collect();
        let all = futures::future::join_all(informers.iter().map(Informer::synced));
        if tokio::time::timeout(Duration::from_secs(30), all).await.is_err() {
            tracing::warn!(
                waiting = self.informers.unsynced().join(", "),
                "collecting garbage without these resources"
            );
        }
    }

    fn learn(&self, wanted: &[&Served]) {
        let mut kinds = self.kinds.write();
        for served in wanted {
            let name = (served.resource.api_version.clone(), served.resource.kind.clone());
            kinds.entry(name).or_insert_with(|| (Arc::new(served.resource.clone()), served.namespaced));
        }
    }

    fn monitor(&self, served: &Served) -> (CancellationToken, Informer<Metadata>) {
        let informer = self.informers.dynamic::<Metadata>(served.resource.clone(), Scope::default());
        let stop = self.shutdown.child_token();
        let resource = Arc::new(served.resource.clone());
        let (graph, queue, kinds) = (Arc::clone(&self.graph), self.queue.clone(), Arc::clone(&self.kinds));
        let (namespaced, mut changes, stopped) = (served.namespaced, informer.subscribe(), stop.clone());
        tokio::spawn(async move {
            loop {
                let change = tokio::select! {
                    () = stopped.cancelled() => return,
                    change = changes.next() => change,
                };
                let work = apply(&graph, &resource, namespaced, &change, &kinds);
                for item in work {
                    queue.add(item);
                }
            }
        });
        (stop, informer)
    }
}

/// Resource and scope by `apiVersion` and kind.
type Kinds = RwLock<HashMap<(String, String), (Arc<ApiResource>, bool)>>;

/// References may name another version than the preferred one; the kind's group decides then.
fn resource_of(kinds: &Kinds, owner: &OwnerReference) -> Option<(Arc<ApiResource>, bool)> {
    let kinds = kinds.read();
    let exact = kinds.get(&(owner.api_version.clone(), owner.kind.clone()));
    let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
    let found = exact.or_else(|| {
        kinds.values().find(|(resource, _)| resource.group == group && resource.kind == owner.kind)
    });
    found.cloned()
}

fn apply(
    graph: &Mutex<Graph>,
    resource: &Arc<ApiResource>,
    namespaced: bool,
    change: &Change<Metadata>,
    kinds: &Kinds,
) -> Vec<Work> {
    let mut graph = graph.lock();
    let mut work = Vec::new();
    let replaced =
        |old: &Metadata| change.new.as_ref().is_none_or(|new| new.metadata.uid != old.metadata.uid);
    if let Some(old) = change.old.as_ref().filter(|old| replaced(old)) {
        work.extend(graph.remove(old.metadata.uid.as_deref().unwrap_or_default()));
    }
    if let Some(new) = &change.new {
        work.extend(graph.upsert(resource, namespaced, &new.metadata, |owner| resource_of(kinds, owner)));
    }
    work
}
