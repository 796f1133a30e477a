//! The storage against a real etcd (package etcd-server), one per test, in a temporary directory.

// Helpers outside test functions unwrap too; a panic is how a test fails.
#![allow(clippy::unwrap_used)]

mod crud;
mod etcd;
mod failure;
mod list;
mod tls;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};
use storage::{
    Event, EventKind, Field, Options, ResourceConfig, ResourceStore, Selection, Store, Watch, WatchFrom,
    WatchQuery,
};

/// Options for tests: no compaction of our own, bookmarks at once.
pub fn options(etcd: &etcd::Etcd) -> Options {
    Options {
        endpoints: vec![etcd.endpoint()],
        compaction_interval: Duration::ZERO,
        bookmark_interval: Duration::from_millis(50),
        ..Options::default()
    }
}

/// A store over a test's etcd.
pub async fn store(etcd: &etcd::Etcd) -> Store {
    Store::connect(options(etcd)).await.unwrap()
}

/// Pods with an indexed and a plain field.
pub fn pods() -> ResourceConfig {
    ResourceConfig::new("pods", true, "v1", "Pod")
        .field(Field::new("spec.nodeName").indexed())
        .field(Field::new("status.phase"))
}

/// A pod on a node; the count tells its versions apart.
pub fn pod(name: &str, node: &str, count: u64) -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "ns", "uid": format!("uid-{name}"), "labels": {"app": "a"}},
        "spec": {"nodeName": node}, "count": count,
    })
}

/// A watch of everything, without bookmarks.
pub async fn watch_all(pods: &ResourceStore, from: WatchFrom) -> Watch {
    pods.watch(WatchQuery { selection: Selection::all(), from, bookmarks: false }).await.unwrap()
}

/// The next event; panics when none comes.
pub async fn next(watch: &mut Watch) -> Arc<Event> {
    tokio::time::timeout(Duration::from_secs(30), watch.next())
        .await
        .expect("an event comes")
        .expect("the watch is open")
        .expect("no error")
}

/// Kind, name and revision of the next event.
pub async fn next_seen(watch: &mut Watch) -> (EventKind, String, i64) {
    let event = next(watch).await;
    (event.kind, event.object.name().to_owned(), event.revision())
}
