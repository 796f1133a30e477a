//! Lists: pages, selections, revisions, tokens.

use storage::{Error, Freshness, ListAt, ListQuery, Page, ResourceStore, Selection};

use crate::etcd::Etcd;
use crate::{options, pod, pods, store};

async fn fill(pods: &ResourceStore, count: usize) {
    for i in 0..count {
        let node = format!("n{}", i % 3);
        pods.create("ns", &format!("p{i:03}"), &pod(&format!("p{i:03}"), &node, 0)).await.unwrap();
    }
}

fn names(page: &Page) -> Vec<&str> {
    page.items.iter().map(|object| object.name()).collect()
}

fn query(limit: usize) -> ListQuery {
    ListQuery { selection: Selection::all().namespace("ns"), limit, ..ListQuery::default() }
}

#[tokio::test]
async fn pages_are_a_snapshot_under_writes() {
    let etcd = Etcd::start();
    let store = store(&etcd).await;
    let pods = store.resource(pods()).unwrap();
    fill(&pods, 50).await;
    pods.create("other", "x", &pod("x", "", 0)).await.unwrap();
    let all = pods.list(&query(0)).await.unwrap();
    assert_eq!((all.items.len(), all.remaining, all.continue_token.clone()), (50, None, None));

    let first = pods.list(&query(20)).await.unwrap();
    assert_eq!((first.items.len(), first.remaining), (20, Some(30)));
    for object in &all.items {
        if object.name() < "p025" {
            pods.delete(object).await.unwrap();
        } else {
            pods.update(object, &pod(object.name(), "moved", 1)).await.unwrap();
        }
        pods.create("ns", &format!("q{}", object.name()), &pod("q", "", 0)).await.unwrap();
    }
    let mut seen: Vec<_> = first.items.clone();
    let mut token = first.continue_token.clone();
    while let Some(continue_token) = token {
        let page = pods.list(&ListQuery { continue_token: Some(continue_token), ..query(20) }).await.unwrap();
        assert_eq!(page.revision, first.revision);
        seen.extend(page.items);
        token = page.continue_token;
    }
    assert_eq!(seen.len(), 50);
    for (seen, before) in seen.iter().zip(&all.items) {
        assert_eq!(seen.json(), before.json());
    }
    let now = pods.list(&query(0)).await.unwrap();
    assert_eq!(now.items.len(), 75);
}

#[tokio::test]
async fn selections() {
    let etcd = Etcd::start();
    let store = store(&etcd).await;
    let pods = store.resource(pods()).unwrap();
    fill(&pods, 9).await;
    pods.create("ns2", "p000", &pod("p000", "n1", 0)).await.unwrap();
    // "ns-" sorts before "ns/": a namespace's keys are a range of their own.
    pods.create("ns-a", "p000", &pod("p000", "n2", 0)).await.unwrap();
    let list = async |selection: Selection, limit: usize| {
        pods.list(&ListQuery { selection, limit, ..ListQuery::default() }).await.unwrap()
    };
    let slot = pods.config().field_slot("spec.nodeName").unwrap();

    assert_eq!(list(Selection::all(), 0).await.items.len(), 11);
    assert_eq!(list(Selection::all().namespace("ns"), 0).await.items.len(), 9);
    assert_eq!(names(&list(Selection::all().namespace("ns").name("p004"), 0).await), ["p004"]);
    assert_eq!(list(Selection::all().name("p000"), 0).await.items.len(), 3);
    assert_eq!(
        names(&list(Selection::all().indexed(slot, "n1").namespace("ns"), 0).await),
        ["p001", "p004", "p007"]
    );
    assert_eq!(list(Selection::all().indexed(slot, "n1"), 0).await.items.len(), 4);
    assert!(list(Selection::all().indexed(slot, "none"), 0).await.items.is_empty());
    let page = list(Selection::all().namespace("ns").matching(|object| object.name() > "p003"), 2).await;
    assert_eq!((names(&page), page.remaining), (vec!["p004", "p005"], None));
    assert!(page.continue_token.is_some());
    let page = list(Selection::all().namespace("ns").name("p004"), 1).await;
    assert!(page.continue_token.is_none());
}

#[tokio::test]
async fn exact_revisions_come_from_memory_or_etcd() {
    let etcd = Etcd::start();
    let options = storage::Options { freshness_timeout: std::time::Duration::from_secs(1), ..options(&etcd) };
    for forgetful in [false, true] {
        let history_bytes = if forgetful { 0 } else { options.history_bytes };
        let store =
            storage::Store::connect(storage::Options { history_bytes, ..options.clone() }).await.unwrap();
        let namespace = format!("ns{forgetful}");
        let pods = store.resource(pods()).unwrap();
        let a = pods.create(&namespace, "a", &pod("a", "", 0)).await.unwrap();
        let b = pods.create(&namespace, "b", &pod("b", "", 0)).await.unwrap();
        let changed = pods.update(&a, &pod("a", "", 1)).await.unwrap();
        let gone = pods.delete(&b).await.unwrap();
        let at = async |revision: i64, limit: usize| {
            let selection = Selection::all().namespace(&namespace);
            pods.list(&ListQuery { selection, at: ListAt::Exact(revision), limit, continue_token: None })
                .await
        };
        let page = at(a.revision(), 0).await.unwrap();
        assert_eq!((names(&page), page.revision), (vec!["a"], a.revision()));
        let page = at(b.revision(), 1).await.unwrap();
        assert_eq!((names(&page), page.remaining), (vec!["a"], Some(1)));
        assert_eq!(page.items[0].json(), a.json());
        let rest = ListQuery {
            selection: Selection::all().namespace(&namespace),
            continue_token: page.continue_token,
            ..ListQuery::default()
        };
        assert_eq!(names(&pods.list(&rest).await.unwrap()), ["b"]);
        assert_eq!(at(changed.revision(), 0).await.unwrap().items[0].json(), changed.json());
        assert_eq!(names(&at(gone, 0).await.unwrap()), ["a"]);
        let error = at(gone + 1000, 0).await.unwrap_err();
        assert!(matches!(error, Error::TooLargeRevision { .. }), "{error}");
    }
}

#[tokio::test]
async fn compacted_lists_expire_but_can_go_on() {
    let etcd = Etcd::start();
    let store =
        storage::Store::connect(storage::Options { history_bytes: 0, ..options(&etcd) }).await.unwrap();
    let pods = store.resource(pods()).unwrap();
    fill(&pods, 30).await;
    let first = pods.list(&query(10)).await.unwrap();
    // Push the snapshot out of memory.
    for i in 0..20 {
        pods.create("z", &format!("z{i}"), &pod("z", "", 0)).await.unwrap();
        pods.list(&ListQuery { limit: 1, ..ListQuery::default() }).await.unwrap();
    }
    let next = ListQuery { continue_token: first.continue_token.clone(), ..query(10) };
    let second = pods.list(&next).await.unwrap();
    assert_eq!((names(&second)[0], second.revision, second.remaining), ("p010", first.revision, Some(10)));
    etcd.client().await.compact(store.current_revision().await.unwrap(), None).await.unwrap();
    let Err(Error::Expired { continue_token: Some(token), message }) = pods.list(&next).await else {
        panic!("not expired")
    };
    assert!(message.starts_with("The provided continue parameter is too old"));
    let page = pods.list(&ListQuery { continue_token: Some(token), ..query(10) }).await.unwrap();
    assert_eq!(names(&page)[0], "p010");
    assert!(page.revision > first.revision);
    let exact = ListQuery { at: ListAt::Exact(first.revision), ..query(0) };
    assert!(matches!(pods.list(&exact).await, Err(Error::Expired { continue_token: None, .. })));
}

#[tokio::test]
async fn any_is_served_without_etcd() {
    let mut etcd = Etcd::start();
    let store = store(&etcd).await;
    let pods = store.resource(pods()).unwrap();
    fill(&pods, 3).await;
    pods.list(&query(0)).await.unwrap();
    etcd.kill();
    let any = ListQuery { at: ListAt::Fresh(Freshness::Any), ..query(0) };
    assert_eq!(pods.list(&any).await.unwrap().items.len(), 3);
    assert!(pods.get("ns", "p001", Freshness::Any).await.unwrap().is_some());
    assert!(store.healthy().await.is_err());
}
