//! Writes and reads of single objects.

use std::time::Duration;

use serde_json::json;
use storage::{Error, Freshness, ResourceConfig, Selection, WatchFrom, WatchQuery};

use crate::etcd::Etcd;
use crate::{next, next_seen, pod, pods, store, watch_all};

#[tokio::test]
async fn an_object_lives_and_dies() {
    let etcd = Etcd::start();
    let store = store(&etcd).await;
    let pods = store.resource(pods()).unwrap();
    let created = pods.create("ns", "a", &pod("a", "", 0)).await.unwrap();
    assert_eq!((created.namespace(), created.name(), created.uid()), ("ns", "a", "uid-a"));
    let mut expected = pod("a", "", 0);
    expected["metadata"]["resourceVersion"] = created.revision().to_string().into();
    expected.as_object_mut().unwrap().retain(|name, _| name != "kind" && name != "apiVersion");
    assert_eq!(created.value(), expected);

    let read = pods.get("ns", "a", Freshness::Latest).await.unwrap().unwrap();
    assert_eq!(read.json(), created.json());
    assert!(matches!(pods.create("ns", "a", &pod("a", "", 0)).await, Err(Error::AlreadyExists { .. })));

    let updated = pods.update(&created, &pod("a", "n1", 1)).await.unwrap();
    assert!(updated.revision() > created.revision());
    assert_eq!(updated.field("spec.nodeName"), Some("n1"));
    let Err(Error::Conflict(stored)) = pods.update(&created, &pod("a", "n2", 2)).await else {
        panic!("no conflict")
    };
    assert_eq!(stored.json(), updated.json());
    assert!(matches!(pods.delete(&created).await, Err(Error::Conflict(_))));

    let revision = pods.delete(&updated).await.unwrap();
    assert!(revision > updated.revision());
    assert!(pods.get("ns", "a", Freshness::AtLeast(revision)).await.unwrap().is_none());
    assert!(matches!(pods.update(&updated, &pod("a", "", 0)).await, Err(Error::NotFound { .. })));
    assert!(matches!(pods.delete(&updated).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn an_unchanged_update_is_not_written() {
    let etcd = Etcd::start();
    let store = store(&etcd).await;
    let pods = store.resource(pods()).unwrap();
    let created = pods.create("ns", "a", &pod("a", "", 0)).await.unwrap();
    let same = pods.update(&created, &pod("a", "", 0)).await.unwrap();
    assert_eq!(same.revision(), created.revision());
    let stored = etcd.client().await.get("/registry/pods/ns/a", None).await.unwrap();
    assert_eq!(stored.kvs()[0].version(), 1);
    pods.update(&created, &pod("a", "", 1)).await.unwrap();
    assert!(matches!(pods.update(&created, &pod("a", "", 0)).await, Err(Error::Conflict(_))));
}

#[tokio::test]
async fn etcd_holds_what_upstream_reads() {
    let etcd = Etcd::start();
    let store = store(&etcd).await;
    let nodes = store.resource(ResourceConfig::new("/registry/minions", false, "v1", "Node")).unwrap();
    nodes
        .create("", "n", &json!({"metadata": {"name": "n", "resourceVersion": "3"}, "spec": {}, "kind": "x"}))
        .await
        .unwrap();
    let stored = etcd.client().await.get("/registry/minions/n", None).await.unwrap();
    assert_eq!(
        stored.kvs()[0].value_str().unwrap(),
        r#"{"kind":"Node","apiVersion":"v1","metadata":{"name":"n"},"spec":{}}"#
    );
    assert!(matches!(nodes.create("ns", "n", &json!({})).await, Err(Error::Unstorable { .. })));
    assert!(matches!(nodes.create("", "n", &json!([])).await, Err(Error::Unstorable { .. })));
    assert!(store.resource(ResourceConfig::new("/elsewhere/x", false, "v1", "X")).is_err());
}

#[tokio::test]
async fn values_in_other_encodings_are_decoded() {
    let etcd = Etcd::start();
    let mut client = etcd.client().await;
    client.put("/registry/pods/ns/old", "k8s\0old", None).await.unwrap();
    client.put("/registry/pods/ns/bad", "k8s\0bad", None).await.unwrap();
    let store = store(&etcd).await;
    let mut config = pods();
    config.decode = Some(std::sync::Arc::new(|bytes| match bytes {
        b"k8s\0bad" => Err("it is bad".to_owned()),
        bytes => Ok(json!({"metadata": {"name": String::from_utf8_lossy(&bytes[4..])}})),
    }));
    let pods = store.resource(config).unwrap();
    let read = pods.get("ns", "old", Freshness::Latest).await.unwrap().unwrap();
    assert_eq!(read.value()["metadata"]["name"], "old");
    assert!(
        pods.get("ns", "bad", Freshness::Latest).await.unwrap().is_none(),
        "left out, and reported in the log"
    );
    client.put("/registry/pods/ns/new", "k8s\0new", None).await.unwrap();
    let read = pods.get("ns", "new", Freshness::Latest).await.unwrap().unwrap();
    assert_eq!(read.value()["metadata"]["name"], "new");
    let replaced = pods.update(&read, &pod("new", "", 1)).await.unwrap();
    assert_eq!(replaced.value()["count"], 1);
}

#[tokio::test]
async fn two_stores_see_each_others_writes() {
    let etcd = Etcd::start();
    let (one, two) = (store(&etcd).await, store(&etcd).await);
    let (mine, theirs) = (one.resource(pods()).unwrap(), two.resource(pods()).unwrap());
    let mut watch = watch_all(&theirs, WatchFrom::Now).await;
    let mut current = mine.create("ns", "a", &pod("a", "", 0)).await.unwrap();
    for count in 1..50 {
        let seen = theirs.get("ns", "a", Freshness::Latest).await.unwrap().unwrap();
        assert_eq!(seen.json(), current.json(), "a consistent read sees every write that was acknowledged");
        current = theirs.update(&seen, &pod("a", "", count)).await.unwrap();
        let seen = mine.get("ns", "a", Freshness::Latest).await.unwrap().unwrap();
        assert_eq!(seen.json(), current.json());
    }
    assert_eq!(next(&mut watch).await.object.value()["count"], 0);
    for count in 1..50 {
        assert_eq!(next(&mut watch).await.object.value()["count"], count);
    }
}

#[tokio::test]
async fn keys_elsewhere_do_not_hold_up_consistent_reads() {
    let etcd = Etcd::start();
    let store = store(&etcd).await;
    let pods = store.resource(pods()).unwrap();
    pods.ready().await.unwrap();
    let mut client = etcd.client().await;
    let started = std::time::Instant::now();
    for i in 0..20 {
        client.put("elsewhere", i.to_string(), None).await.unwrap();
        assert!(pods.get("ns", "a", Freshness::Latest).await.unwrap().is_none());
    }
    assert!(started.elapsed() < Duration::from_secs(2), "20 reads took {:?}", started.elapsed());
}

#[tokio::test]
async fn objects_with_a_time_to_live_expire() {
    let etcd = Etcd::start();
    let store = store(&etcd).await;
    let mut config = ResourceConfig::new("events", true, "v1", "Event");
    config.ttl = Some(Duration::from_secs(1));
    let events = store.resource(config).unwrap();
    let mut watch = watch_all(&events, WatchFrom::Now).await;
    for name in ["a", "b"] {
        events.create("ns", name, &json!({"metadata": {"name": name}})).await.unwrap();
    }
    let mut client = etcd.client().await;
    let leases: Vec<i64> =
        futures::future::join_all(
            ["a", "b"].map(|name| {
                let mut client = client.clone();
                async move {
                    client.get(format!("/registry/events/ns/{name}"), None).await.unwrap().kvs()[0].lease()
                }
            }),
        )
        .await;
    assert!(leases[0] != 0 && leases[0] == leases[1], "one lease is shared");
    let mut gone = Vec::new();
    for at in 0..4 {
        let (kind, name, _) = next_seen(&mut watch).await;
        if at >= 2 {
            assert_eq!(kind, storage::EventKind::Deleted);
            gone.push(name);
        }
    }
    gone.sort();
    assert_eq!(gone, ["a", "b"]);
    assert_eq!(events.count(), 0);
    assert_eq!(client.get("/registry/events/ns/a", None).await.unwrap().kvs().len(), 0);
}

#[tokio::test]
async fn resources_come_and_go() {
    let etcd = Etcd::start();
    let store = store(&etcd).await;
    let config = || ResourceConfig::new("example.com/widgets", true, "example.com/v1", "Widget");
    let widgets = store.resource(config()).unwrap();
    widgets.create("ns", "w", &json!({"metadata": {"name": "w"}})).await.unwrap();
    assert_eq!(
        store.resource(config()).unwrap().get("ns", "w", Freshness::Latest).await.unwrap().unwrap().name(),
        "w"
    );
    let mut watch = watch_all(&widgets, WatchFrom::Now).await;
    store.remove(&widgets);
    assert!(futures::StreamExt::next(&mut watch).await.is_none(), "watches end");
    assert!(matches!(widgets.get("ns", "w", Freshness::Any).await, Err(Error::Removed { .. })));
    let query = WatchQuery { selection: Selection::all(), from: WatchFrom::Now, bookmarks: false };
    assert!(matches!(widgets.watch(query).await, Err(Error::Removed { .. })));

    let mut changed = config();
    changed.fields.push(storage::Field::new("spec.colour"));
    let widgets = store.resource(changed).unwrap();
    assert_eq!(
        widgets.get("ns", "w", Freshness::Latest).await.unwrap().unwrap().field("spec.colour"),
        Some("")
    );
    store.ready().await.unwrap();
    store.healthy().await.unwrap();
}
