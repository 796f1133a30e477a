//! Notices that something happened to a pod's containers: by events where the runtime sends them, by listing every second
//! where it does not, and by a slow listing in any case.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Error, Runtime, labels};
use crate::pod::CONFIG_SOURCE;

/// How often the runtime is listed when it sends no events.
const FAST: Duration = Duration::from_secs(1);
/// How often it is listed behind events.
const SLOW: Duration = Duration::from_secs(30);
/// After this long without a successful listing the node is not ready.
const STALE: Duration = Duration::from_secs(180);

/// A pod about which the runtime knows something new.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// The pod's UID.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether anything is left of it in the runtime.
    pub exists: bool,
    /// Whether it was made from a file on this node.
    pub from_file: bool,
}

/// Says how fresh the kubelet's picture of the runtime is.
#[derive(Clone, Default)]
pub struct Freshness {
    last: Arc<Mutex<Option<Instant>>>,
}

impl Freshness {
    /// Why the picture is too old to be trusted, if it is.
    pub fn problem(&self) -> Option<String> {
        let last = *self.last.lock();
        match last {
            // The first listing is under way; if it fails, the runtime's own status says why.
            None => None,
            Some(at) if at.elapsed() > STALE => Some(format!(
                "PLEG is not healthy: pleg was last seen active {}s ago; threshold is {}s",
                at.elapsed().as_secs(),
                STALE.as_secs()
            )),
            Some(_) => None,
        }
    }
}

/// Watches the runtime until `stop`; sends each changed pod. The first listing reports every pod that exists.
pub async fn run(
    runtime: Runtime,
    freshness: Freshness,
    changes: mpsc::Sender<Changed>,
    stop: CancellationToken,
) {
    let mut known = HashMap::new();
    let mut failing = false;
    let mut events = Events::open(&runtime).await;
    loop {
        match list(&runtime).await {
            Ok(now) => {
                *freshness.last.lock() = Some(Instant::now());
                if std::mem::take(&mut failing) {
                    tracing::info!(endpoint = runtime.endpoint(), "The container runtime answers again");
                }
                for changed in difference(&known, &now) {
                    if changes.send(changed).await.is_err() {
                        return;
                    }
                }
                known = now;
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "Waiting for the container runtime");
                }
                events = Events::None;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = events.next() => {}
        }
        if failing {
            events = Events::open(&runtime).await;
        }
    }
}

/// Where the next wake-up comes from.
enum Events {
    Stream(Box<tonic::Streaming<super::v1::ContainerEventResponse>>),
    None,
}

impl Events {
    async fn open(runtime: &Runtime) -> Self {
        match tokio::time::timeout(FAST, runtime.container_events()).await {
            Ok(Ok(stream)) => Self::Stream(Box::new(stream)),
            _ => Self::None,
        }
    }

    async fn next(&mut self) {
        let Self::Stream(stream) = self else {
            return tokio::time::sleep(FAST).await;
        };
        match tokio::time::timeout(SLOW, stream.message()).await {
            // A burst of events needs one listing.
            Ok(Ok(Some(_))) => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok(Ok(None) | Err(_)) => {
                *self = Self::None;
                tokio::time::sleep(FAST).await;
            }
            Err(_) => {}
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    namespace: String,
    name: String,
    from_file: bool,
    fingerprint: u64,
}

/// One fingerprint per pod over the identities and states of what it has in the runtime. Hashes are added, so that the
/// order of the answer does not matter.
async fn list(runtime: &Runtime) -> Result<HashMap<String, Seen>, Error> {
    let (sandboxes, containers) =
        futures::try_join!(runtime.list_sandboxes(None), runtime.list_containers(None))?;
    let from_file = |sandbox: &super::v1::PodSandbox| {
        sandbox.annotations.get(CONFIG_SOURCE).is_some_and(|source| source == "file")
    };
    let sandboxes =
        sandboxes.into_iter().map(|sandbox| (from_file(&sandbox), sandbox.id, sandbox.state, sandbox.labels));
    let containers =
        containers.into_iter().map(|container| (false, container.id, container.state, container.labels));
    let mut pods: HashMap<String, Seen> = HashMap::new();
    for (from_file, id, state, labels) in sandboxes.chain(containers) {
        let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
        let uid = label(labels::POD_UID);
        if uid.is_empty() {
            continue;
        }
        let mut hasher = DefaultHasher::new();
        (id, state).hash(&mut hasher);
        let pod = pods.entry(uid).or_insert_with(|| Seen {
            namespace: label(labels::POD_NAMESPACE),
            name: label(labels::POD_NAME),
            from_file: false,
            fingerprint: 0,
        });
        pod.from_file |= from_file;
        pod.fingerprint = pod.fingerprint.wrapping_add(hasher.finish());
    }
    Ok(pods)
}

fn difference(before: &HashMap<String, Seen>, now: &HashMap<String, Seen>) -> Vec<Changed> {
    let changed = |uid: &String, seen: &Seen, exists| Changed {
        uid: uid.clone(),
        namespace: seen.namespace.clone(),
        name: seen.name.clone(),
        from_file: seen.from_file,
        exists,
    };
    let gone =
        before.iter().filter(|(uid, _)| !now.contains_key(*uid)).map(|(uid, seen)| changed(uid, seen, false));
    let new = now
        .iter()
        .filter(|(uid, seen)| before.get(*uid) != Some(seen))
        .map(|(uid, seen)| changed(uid, seen, true));
    gone.chain(new).collect()
}
