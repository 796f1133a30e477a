use api_types::k8s::api::core::v1::ConfigMap;
use parking_lot::Mutex;

use super::*;
use crate::{Informer, Key};

fn config_map(name: &str, revision: u64) -> ConfigMap {
    let mut object = ConfigMap::default();
    object.metadata.namespace = Some("default".into());
    object.metadata.name = Some(name.into());
    object.metadata.uid = Some(format!("uid-{name}"));
    object.metadata.resource_version = Some(revision.to_string());
    object
}

/// "Writes" a new revision at the first call and records when it was called.
struct Recorder {
    informer: Informer<ConfigMap>,
    calls: Arc<Mutex<Vec<u64>>>,
}

#[async_trait]
impl Reconciler for Recorder {
    type Key = Key;
    async fn reconcile(&self, _: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let mut calls = self.calls.lock();
        calls.push(self.informer.revision());
        if calls.len() == 1 {
            writes.wrote(&self.informer, &config_map("a", 7));
        }
        Ok(Next::Wait)
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_waits_for_its_own_writes() {
    let informer = Informer::<ConfigMap>::detached(());
    informer.apply(Key::new("default", "a"), Some(config_map("a", 5)));
    informer.set_synced();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let recorder = Recorder { informer: informer.clone(), calls: Arc::clone(&calls) };
    let shutdown = CancellationToken::new();
    let controller = Controller::new("test", recorder, shutdown.clone())
        .watch(&informer, |change| vec![change.key.clone()]);
    let task = tokio::spawn(controller.run(2));
    tokio::time::sleep(Duration::from_millis(10)).await;
    // Someone else's change, older than our write: not enough.
    informer.apply(Key::new("default", "a"), Some(config_map("a", 6)));
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(*calls.lock(), [5]);
    informer.apply(Key::new("default", "a"), Some(config_map("a", 7)));
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(*calls.lock(), [5, 7]);
    shutdown.cancel();
    task.await.unwrap();
}
