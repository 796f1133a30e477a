//! etcd goes away, comes back, forgets.

use std::time::Duration;

use serde_json::json;
use storage::{EventKind, Freshness, ListQuery, ResourceConfig, Store, WatchFrom};

use crate::etcd::Etcd;
use crate::{next, next_seen, options, pod, pods, store, watch_all};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_survive_kill_9_of_etcd() {
    let mut etcd = Etcd::start();
    let store = store(&etcd).await;
    let pods = store.resource(pods()).unwrap();
    let mut watch = watch_all(&pods, WatchFrom::Now).await;
    let mut current = pods.create("ns", "a", &pod("a", "", 0)).await.unwrap();
    let (mut count, mut written) = (0, vec![current.revision()]);
    for round in 0..3 {
        for _ in 0..10 {
            count += 1;
            current = pods.update(&current, &pod("a", "", count)).await.unwrap();
            written.push(current.revision());
        }
        etcd.kill();
        if round == 1 {
            assert_eq!(pods.get("ns", "a", Freshness::Any).await.unwrap().unwrap().name(), "a");
        }
        etcd.restart();
        // A consistent read waits for etcd by itself.
        let read = pods.get("ns", "a", Freshness::Latest).await.unwrap().unwrap();
        assert_eq!(read.revision(), current.revision());
    }
    for revision in written {
        assert_eq!(next(&mut watch).await.revision(), revision);
    }
}

#[tokio::test]
async fn a_compacted_gap_is_bridged_by_the_difference() {
    let mut etcd = Etcd::start();
    let store = store(&etcd).await;
    let pods = store.resource(pods()).unwrap();
    let nodes = store.resource(ResourceConfig::new("minions", false, "v1", "Node")).unwrap();
    for name in ["changed", "gone", "kept", "remade"] {
        pods.create("ns", name, &pod(name, "", 0)).await.unwrap();
    }
    nodes.create("", "n", &json!({"metadata": {"name": "n"}})).await.unwrap();
    let mut watch =
        watch_all(&pods, WatchFrom::After(pods.list(&ListQuery::default()).await.unwrap().revision)).await;
    let start = store.revision();
    // The store cannot reach this etcd while the other client writes: it holds the old port only after the restart.
    etcd.kill();
    let elsewhere = etcd.restart_elsewhere();
    let mut client = etcd.client().await;
    let put = |name: &str, uid: &str| {
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "uid": uid}}).to_string()
    };
    client.put("/registry/pods/ns/changed", put("changed", "uid-changed"), None).await.unwrap();
    client.delete("/registry/pods/ns/gone", None).await.unwrap();
    client.delete("/registry/pods/ns/remade", None).await.unwrap();
    client.put("/registry/pods/ns/remade", put("remade", "new"), None).await.unwrap();
    let added = client.put("/registry/pods/ns/added", put("added", "u"), None).await.unwrap();
    let last = added.header().unwrap().revision();
    client.compact(last, None).await.unwrap();
    etcd.kill();
    etcd.restart_at(elsewhere);

    let seen = [
        next_seen(&mut watch).await,
        next_seen(&mut watch).await,
        next_seen(&mut watch).await,
        next_seen(&mut watch).await,
        next_seen(&mut watch).await,
    ];
    let name = |name: &str| name.to_owned();
    assert_eq!(seen[0], (EventKind::Modified, name("changed"), start + 1));
    assert_eq!(seen[1], (EventKind::Deleted, name("remade"), start + 3));
    assert_eq!(seen[2], (EventKind::Added, name("remade"), start + 4));
    assert_eq!(seen[3], (EventKind::Added, name("added"), start + 5));
    assert_eq!(seen[4], (EventKind::Deleted, name("gone"), last));
    assert_eq!(pods.list(&ListQuery::default()).await.unwrap().items.len(), 4);
    assert_eq!(nodes.count(), 1);
    let created = pods.create("ns", "after", &pod("after", "", 0)).await.unwrap();
    assert_eq!(next_seen(&mut watch).await, (EventKind::Added, name("after"), created.revision()));
}

#[tokio::test]
async fn a_wiped_etcd_ends_watches_and_starts_over() {
    let mut etcd = Etcd::start();
    let store = store(&etcd).await;
    let pods = store.resource(pods()).unwrap();
    for i in 0..10 {
        pods.create("ns", &format!("p{i}"), &pod("p", "", 0)).await.unwrap();
    }
    let mut watch = watch_all(&pods, WatchFrom::Now).await;
    etcd.kill();
    etcd.wipe();
    etcd.restart();
    assert!(
        tokio::time::timeout(Duration::from_secs(30), futures::StreamExt::next(&mut watch))
            .await
            .unwrap()
            .is_none()
    );
    pods.create("ns", "new", &pod("new", "", 0)).await.unwrap();
    let page = pods.list(&ListQuery::default()).await.unwrap();
    assert_eq!(page.items.len(), 1);
    assert!(page.revision < 10);
}

#[tokio::test]
async fn the_store_waits_for_etcd_and_says_so() {
    let mut etcd = Etcd::start();
    etcd.kill();
    let connecting = tokio::spawn(Store::connect(options(&etcd)));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!connecting.is_finished());
    etcd.restart();
    connecting.await.unwrap().unwrap();
    let unreadable = storage::Options {
        endpoints: vec!["https://127.0.0.1:1".to_owned()],
        ca_file: Some("/nonexistent/ca.crt".into()),
        ..options(&etcd)
    };
    let error = Store::connect(unreadable).await.err().unwrap();
    assert!(error.to_string().starts_with("etcd --etcd-cafile: cannot read /nonexistent/ca.crt"), "{error}");
}

#[tokio::test]
async fn stores_compact_together() {
    let etcd = Etcd::start();
    let compacting = storage::Options { compaction_interval: Duration::from_millis(200), ..options(&etcd) };
    let (one, two) =
        (Store::connect(compacting.clone()).await.unwrap(), Store::connect(compacting).await.unwrap());
    let pods = one.resource(pods()).unwrap();
    let mut current = pods.create("ns", "a", &pod("a", "", 0)).await.unwrap();
    let first = current.revision();
    let mut client = etcd.client().await;
    let mut count = 0;
    loop {
        count += 1;
        current = pods.update(&current, &pod("a", "", count)).await.unwrap();
        let old = etcd_client::GetOptions::new().with_revision(first);
        if client.get("/registry/pods/ns/a", Some(old)).await.is_err() {
            break;
        }
        assert!(count < 1000, "never compacted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seen = two.resource(crate::pods()).unwrap().get("ns", "a", Freshness::Latest).await.unwrap().unwrap();
    assert_eq!(seen.revision(), current.revision());
}

/// Writers go on through two kills; every write that was acknowledged is seen once, in order, and none is made up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_and_watchers_go_on_through_kill_9() {
    let mut etcd = Etcd::start();
    let (one, two) = (store(&etcd).await, store(&etcd).await);
    let (mine, theirs) = (one.resource(pods()).unwrap(), two.resource(pods()).unwrap());
    let mut watches = [watch_all(&mine, WatchFrom::Now).await, watch_all(&theirs, WatchFrom::Now).await];
    let mut writers = Vec::new();
    for writer in 0..4 {
        let pods = if writer % 2 == 0 { mine.clone() } else { theirs.clone() };
        writers.push(tokio::spawn(async move {
            let name = format!("p{writer}");
            let mut current = pods.create("ns", &name, &pod(&name, "", 0)).await.unwrap();
            let mut acknowledged = vec![current.revision()];
            for count in 1..200 {
                match pods.update(&current, &pod(&name, "", count)).await {
                    Ok(object) => current = object,
                    // The outcome of a write that was cut off is unknown until it is read back.
                    Err(storage::Error::Unavailable { .. }) => {
                        current = pods.get("ns", &name, Freshness::Latest).await.unwrap().unwrap();
                    }
                    Err(error) => panic!("{error}"),
                }
                acknowledged.push(current.revision());
            }
            (acknowledged, current)
        }));
    }
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        etcd.kill();
        tokio::time::sleep(Duration::from_millis(100)).await;
        etcd.restart();
    }
    let mut acknowledged = Vec::new();
    for writer in writers {
        let (revisions, last) = writer.await.unwrap();
        acknowledged.extend(revisions);
        for pods in [&mine, &theirs] {
            let read = pods.get("ns", last.name(), Freshness::Latest).await.unwrap().unwrap();
            assert_eq!(read.json(), last.json());
        }
    }
    acknowledged.sort_unstable();
    acknowledged.dedup();
    let last = *acknowledged.last().unwrap();
    for watch in &mut watches {
        let mut seen = vec![0];
        while seen[seen.len() - 1] < last {
            let revision = next(watch).await.revision();
            assert!(revision > seen[seen.len() - 1], "in order, each once");
            seen.push(revision);
        }
        let missed: Vec<_> =
            acknowledged.iter().filter(|revision| seen.binary_search(revision).is_err()).collect();
        assert!(missed.is_empty(), "lost {missed:?}");
    }
}

#[tokio::test]
async fn a_member_that_is_down_is_gone_around() {
    let etcd = Etcd::start();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoints = vec![format!("http://127.0.0.1:{dead}"), etcd.endpoint()];
    let store = Store::connect(storage::Options { endpoints, ..options(&etcd) }).await.unwrap();
    let pods = store.resource(pods()).unwrap();
    let mut watch = watch_all(&pods, WatchFrom::Now).await;
    let started = std::time::Instant::now();
    for i in 0..30 {
        let name = format!("p{i}");
        let created = pods.create("ns", &name, &pod(&name, "", 0)).await.unwrap();
        assert_eq!(
            pods.get("ns", &name, Freshness::Latest).await.unwrap().unwrap().revision(),
            created.revision()
        );
        assert_eq!(next_seen(&mut watch).await, (EventKind::Added, name, created.revision()));
    }
    assert!(started.elapsed() < Duration::from_secs(10), "took {:?}", started.elapsed());
}
