//! Watches: order, selections, replay, bookmarks, limits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use storage::{Error, EventKind, Freshness, ListQuery, Options, Selection, Store, WatchFrom, WatchQuery};

use crate::etcd::Etcd;
use crate::{next, next_seen, options, pod, pods, store, watch_all};

const STATE: WatchFrom = WatchFrom::State { freshness: Freshness::Latest, end_bookmark: false };

#[tokio::test]
async fn frames_are_upstreams() {
    let etcd = Etcd::start();
    let store = store(&etcd).await;
    let pods = store.resource(pods()).unwrap();
    let mut watch = watch_all(&pods, WatchFrom::Now).await;
    let a = pods.create("ns", "a", &pod("a", "n1", 0)).await.unwrap();
    let event = next(&mut watch).await;
    let frame: serde_json::Value = serde_json::from_slice(event.frame()).unwrap();
    let mut object = pod("a", "n1", 0);
    object["metadata"]["resourceVersion"] = a.revision().to_string().into();
    assert_eq!(frame, serde_json::json!({"type": "ADDED", "object": object}));
    assert!(event.frame().ends_with(b"}\n"));
    assert!(Arc::ptr_eq(&event.object, &pods.get("ns", "a", Freshness::Any).await.unwrap().unwrap()));
    let gone = pods.delete(&a).await.unwrap();
    let event = next(&mut watch).await;
    assert_eq!((event.kind, event.revision()), (EventKind::Deleted, gone));
    let frame: serde_json::Value = serde_json::from_slice(event.frame()).unwrap();
    assert_eq!(frame["object"]["metadata"]["resourceVersion"], gone.to_string());
    assert_eq!(frame["object"]["spec"]["nodeName"], "n1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_lose_and_reorder_nothing() {
    let etcd = Etcd::start();
    let (one, two) = (store(&etcd).await, store(&etcd).await);
    let (mine, theirs) = (one.resource(pods()).unwrap(), two.resource(pods()).unwrap());
    let mut watches = Vec::new();
    for pods in [&mine, &theirs] {
        watches.push(watch_all(pods, STATE).await);
        let selection = Selection::all().namespace("ns");
        watches
            .push(pods.watch(WatchQuery { selection, from: WatchFrom::Now, bookmarks: true }).await.unwrap());
    }
    let mut writers = Vec::new();
    for writer in 0..8 {
        let pods = if writer % 2 == 0 { mine.clone() } else { theirs.clone() };
        writers.push(tokio::spawn(async move {
            let name = format!("p{writer}");
            let mut revisions = Vec::new();
            let mut current = pods.create("ns", &name, &pod(&name, "", 0)).await.unwrap();
            revisions.push(current.revision());
            for count in 1..60 {
                if count % 10 == 0 {
                    revisions.push(pods.delete(&current).await.unwrap());
                    current = pods.create("ns", &name, &pod(&name, "", count)).await.unwrap();
                } else {
                    current = pods.update(&current, &pod(&name, "", count)).await.unwrap();
                }
                revisions.push(current.revision());
            }
            revisions
        }));
    }
    let mut expected: Vec<i64> = Vec::new();
    for writer in writers {
        expected.extend(writer.await.unwrap());
    }
    expected.sort_unstable();
    for watch in &mut watches {
        let mut state = HashMap::new();
        let mut seen = Vec::new();
        let mut last = 0;
        while seen.len() < expected.len() {
            let event = next(watch).await;
            assert!(event.revision() >= last, "in order");
            last = event.revision();
            let present = state.contains_key(event.object.name());
            match event.kind {
                EventKind::Bookmark => continue,
                EventKind::Added => assert!(!present),
                EventKind::Modified | EventKind::Deleted => assert!(present),
            }
            if event.kind == EventKind::Deleted {
                state.remove(event.object.name());
            } else {
                state.insert(event.object.name().to_owned(), event.revision());
            }
            seen.push(event.revision());
        }
        assert_eq!(seen, expected, "each once, in order");
    }
}

#[tokio::test]
async fn objects_enter_and_leave_selections() {
    let etcd = Etcd::start();
    let store = store(&etcd).await;
    let pods = store.resource(pods()).unwrap();
    let slot = pods.config().field_slot("spec.nodeName").unwrap();
    let phase = pods.config().field_slot("status.phase").unwrap();
    let selections = [
        Selection::all().indexed(slot, "n1"),
        Selection::all().namespace("ns").indexed(slot, "n1"),
        Selection::all().name("a").indexed(slot, "n1"),
        Selection::all().matching(|object| object.field("spec.nodeName") == Some("n1")),
        Selection::all().indexed(phase, "").matching(|object| object.field("spec.nodeName") == Some("n1")),
    ];
    let start = pods.list(&ListQuery::default()).await.unwrap().revision;
    let mut watches = Vec::new();
    for selection in &selections {
        watches.push(
            pods.watch(WatchQuery { selection: selection.clone(), from: WatchFrom::Now, bookmarks: false })
                .await
                .unwrap(),
        );
    }
    let created = pods.create("ns", "a", &pod("a", "", 0)).await.unwrap();
    let entered = pods.update(&created, &pod("a", "n1", 0)).await.unwrap();
    let inside = pods.update(&entered, &pod("a", "n1", 1)).await.unwrap();
    let left = pods.update(&inside, &pod("a", "n2", 1)).await.unwrap();
    let back = pods.update(&left, &pod("a", "n1", 2)).await.unwrap();
    let gone = pods.delete(&back).await.unwrap();
    pods.get("ns", "a", Freshness::Latest).await.unwrap();
    // The same from history.
    for selection in &selections {
        let from = WatchFrom::After(start);
        watches.push(
            pods.watch(WatchQuery { selection: selection.clone(), from, bookmarks: false }).await.unwrap(),
        );
    }
    for watch in &mut watches {
        let expected = [
            (EventKind::Added, entered.revision(), 0),
            (EventKind::Modified, inside.revision(), 1),
            (EventKind::Deleted, left.revision(), 1),
            (EventKind::Added, back.revision(), 2),
            (EventKind::Deleted, gone, 2),
        ];
        for (kind, revision, count) in expected {
            let event = next(watch).await;
            assert_eq!((event.kind, event.revision()), (kind, revision));
            assert_eq!(
                event.object.field("spec.nodeName"),
                Some("n1"),
                "the state inside the selection is shown"
            );
            assert_eq!(event.object.value()["count"], count);
            assert_eq!(event.object.value()["metadata"]["resourceVersion"], revision.to_string());
        }
    }
}

#[tokio::test]
async fn watches_begin_where_they_are_told() {
    let etcd = Etcd::start();
    let store = store(&etcd).await;
    let pods = store.resource(pods()).unwrap();
    let a = pods.create("ns", "a", &pod("a", "", 0)).await.unwrap();
    let b = pods.create("ns", "b", &pod("b", "", 0)).await.unwrap();
    let mut state = watch_all(&pods, STATE).await;
    let end_bookmark = WatchFrom::State { freshness: Freshness::AtLeast(b.revision()), end_bookmark: true };
    let mut listed = watch_all(&pods, end_bookmark).await;
    let mut now = watch_all(&pods, WatchFrom::Now).await;
    let mut past = watch_all(&pods, WatchFrom::After(a.revision())).await;
    let mut future = watch_all(&pods, WatchFrom::After(b.revision() + 20)).await;
    let c = pods.create("ns", "c", &pod("c", "", 0)).await.unwrap();
    let d = pods.create("ns", "d", &pod("d", "", 0)).await.unwrap();

    let added = |object: &storage::Object| (EventKind::Added, object.name().to_owned(), object.revision());
    for expected in [&a, &b, &c, &d] {
        assert_eq!(next_seen(&mut state).await, added(expected));
    }
    for expected in [&a, &b] {
        assert_eq!(next_seen(&mut listed).await, added(expected));
    }
    let bookmark = next(&mut listed).await;
    assert_eq!(bookmark.kind, EventKind::Bookmark);
    let end = bookmark.revision();
    assert!((b.revision()..c.revision()).contains(&end), "{end}");
    let frame: serde_json::Value = serde_json::from_slice(bookmark.frame()).unwrap();
    let metadata = serde_json::json!({
        "annotations": {"k8s.io/initial-events-end": "true"}, "resourceVersion": end.to_string(),
    });
    assert_eq!(
        frame,
        serde_json::json!({"type": "BOOKMARK", "object": {"kind": "Pod", "apiVersion": "v1", "metadata": metadata}})
    );
    for expected in [&c, &d] {
        assert_eq!(next_seen(&mut listed).await, added(expected));
        assert_eq!(next_seen(&mut now).await, added(expected));
    }
    for expected in [&b, &c, &d] {
        assert_eq!(next_seen(&mut past).await, added(expected));
    }
    let mut current = d;
    while current.revision() <= b.revision() + 20 {
        current = pods.update(&current, &pod("d", "", current.revision().unsigned_abs())).await.unwrap();
    }
    assert_eq!(next_seen(&mut future).await, (EventKind::Modified, "d".to_owned(), current.revision()));
}

#[tokio::test]
async fn bookmarks_tell_idle_watchers_how_far_they_are() {
    let etcd = Etcd::start();
    let store = store(&etcd).await;
    let pods = store.resource(pods()).unwrap();
    let selection = Selection::all().namespace("quiet");
    let query = WatchQuery { selection, from: WatchFrom::Now, bookmarks: true };
    let mut watch = pods.watch(query).await.unwrap();
    let created = pods.create("ns", "a", &pod("a", "", 0)).await.unwrap();
    loop {
        let bookmark = next(&mut watch).await;
        assert_eq!(bookmark.kind, EventKind::Bookmark);
        if bookmark.revision() >= created.revision() {
            break;
        }
    }
    let created = pods.create("ns", "b", &pod("b", "", 0)).await.unwrap();
    pods.get("ns", "b", Freshness::AtLeast(created.revision())).await.unwrap();
    let bookmark = watch.bookmark_now().unwrap();
    assert!(bookmark.revision() >= created.revision());
    assert!(watch.bookmark_now().is_none(), "nothing new to say");
}

#[tokio::test]
async fn slow_watchers_are_ended_and_old_revisions_expire() {
    let etcd = Etcd::start();
    let options = Options { watch_queue: 10, history_bytes: 2000, ..options(&etcd) };
    let store = Store::connect(options).await.unwrap();
    let pods = store.resource(pods()).unwrap();
    let start = pods.list(&ListQuery::default()).await.unwrap().revision;
    let mut slow = watch_all(&pods, WatchFrom::Now).await;
    let mut current = pods.create("ns", "a", &pod("a", "", 0)).await.unwrap();
    let mut revisions = vec![current.revision()];
    for count in 1..30 {
        current = pods.update(&current, &pod("a", "", count)).await.unwrap();
        revisions.push(current.revision());
    }
    pods.get("ns", "a", Freshness::Latest).await.unwrap();
    let mut seen = 0;
    while let Some(event) = slow.next().await {
        assert_eq!(event.unwrap().object.value()["count"], seen);
        seen += 1;
    }
    assert_eq!(seen, 10, "what was queued is delivered, then the stream ends");
    let query = WatchQuery { selection: Selection::all(), from: WatchFrom::After(start), bookmarks: false };
    let Err(error @ Error::Expired { .. }) = pods.watch(query).await else { panic!("not expired") };
    assert!(error.to_string().starts_with(&format!("too old resource version: {start} (")), "{error}");
    let mut recent = watch_all(&pods, WatchFrom::After(revisions[27])).await;
    assert_eq!(next(&mut recent).await.object.value()["count"], 28);
    assert_eq!(next(&mut recent).await.object.value()["count"], 29);
    assert!(tokio::time::timeout(Duration::from_millis(20), recent.next()).await.is_err());
}
