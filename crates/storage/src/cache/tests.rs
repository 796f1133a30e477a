use super::*;
use crate::codec::{Key, Prepared};
use crate::config::{Field, ResourceConfig};
use crate::event::EventKind;
use crate::intern::Interner;

const LIMITS: HistoryLimits = HistoryLimits { window: Duration::from_secs(75), bytes: 1 << 20 };

fn object(key: &str, node: &str, revision: i64) -> Arc<Object> {
    let config = Arc::new(
        ResourceConfig::new("/registry/pods", true, "v1", "Pod").field(Field::new("spec.nodeName").indexed()),
    );
    let value = serde_json::json!({"metadata": {"uid": key}, "spec": {"nodeName": node}});
    let key = Key::parse(true, key).unwrap();
    Prepared::new(&config, &Interner::default(), key, "k", &value).unwrap().object(revision)
}

fn cache() -> Cache {
    Cache::new([0].into(), LIMITS)
}

fn put(cache: &mut Cache, key: &str, node: &str, revision: i64) {
    cache.apply(key, Some(object(key, node, revision)), revision, Instant::now());
}

fn keys(objects: &Objects) -> Vec<&str> {
    objects.iter().map(|object| &*object.0.key).collect()
}

#[test]
fn the_past_is_rolled_back_to() {
    let mut cache = cache();
    cache.load(vec![object("ns/a", "", 3), object("ns/b", "", 4)], 5);
    put(&mut cache, "ns/c", "", 6);
    cache.apply("ns/a", None, 7, Instant::now());
    put(&mut cache, "ns/b", "", 8);
    cache.apply("ns/none", None, 9, Instant::now());
    let at = |revision| cache.objects_at(revision).map(|objects| keys(&objects).join(" "));
    assert_eq!(at(4), None);
    assert_eq!(at(5).as_deref(), Some("ns/a ns/b"));
    assert_eq!(at(6).as_deref(), Some("ns/a ns/b ns/c"));
    assert_eq!(at(7).as_deref(), Some("ns/b ns/c"));
    assert_eq!(cache.objects_at(7).unwrap().get("ns/b").unwrap().0.revision, 4);
    assert_eq!(cache.objects_at(8).unwrap().get("ns/b").unwrap().0.revision, 8);
    assert_eq!(cache.changed_at(), 9);
}

#[test]
fn indexes_follow_the_objects() {
    let mut cache = cache();
    let on = |cache: &Cache, node: &str| {
        keys(&cache.candidates(&Selection::all().indexed(0, node)))
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    cache.load(vec![object("ns/a", "n1", 1), object("ns/b", "n1", 2)], 2);
    put(&mut cache, "ns/c", "n1", 3);
    assert_eq!(on(&cache, "n1"), ["ns/a", "ns/b", "ns/c"]);
    put(&mut cache, "ns/a", "n2", 4);
    put(&mut cache, "ns/b", "n1", 5);
    cache.apply("ns/c", None, 6, Instant::now());
    assert_eq!((on(&cache, "n1"), on(&cache, "n2")), (vec!["ns/b".to_owned()], vec!["ns/a".to_owned()]));
    assert_eq!(cache.candidates(&Selection::all().indexed(0, "n1")).get("ns/b").unwrap().0.revision, 5);
}

#[test]
fn history_forgets_whole_revisions() {
    let mut cache = Cache::new([].into(), HistoryLimits { window: Duration::ZERO, ..LIMITS });
    cache.load((0..300).map(|i| object(&format!("ns/{i:03}"), "", 1)).collect(), 1);
    // A lease that expires deletes many keys in one revision.
    for i in 0..150 {
        cache.apply(&format!("ns/{i:03}"), None, 2, Instant::now());
    }
    assert!(cache.changes_after(1).is_err());
    assert_eq!(cache.changes_after(2).unwrap().len(), 0, "the rest of revision 2 went too");
    for i in 150..300 {
        cache.apply(&format!("ns/{i:03}"), None, i, Instant::now());
    }
    assert_eq!(cache.changes_after(199).unwrap().len(), CHANGES_KEPT);
    assert_eq!(cache.changes_after(198).unwrap_err(), 199);
}

#[test]
fn catching_up_gives_the_difference_in_order() {
    let mut cache = cache();
    cache.load(vec![object("ns/a", "", 1), object("ns/b", "", 2), object("ns/c", "", 3)], 5);
    let changes =
        cache.catch_up(vec![object("ns/d", "", 8), object("ns/a", "", 1), object("ns/b", "x", 7)], 9);
    let seen: Vec<_> =
        changes.iter().map(|(key, object, revision)| (&**key, object.is_some(), *revision)).collect();
    assert_eq!(seen, [("ns/b", true, 7), ("ns/d", true, 8), ("ns/c", false, 9)]);
}

#[test]
fn scans_stay_in_their_namespace() {
    let objects: Objects =
        ["a/x", "a/y", "a-b/x", "ab/x", "b/x"].map(|key| ByKey(object(key, "", 1))).into_iter().collect();
    let scanned = |selection: &Selection, start: &str| {
        scan(&objects, selection, start).map(|object| object.key.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(scanned(&Selection::all(), ""), ["a-b/x", "a/x", "a/y", "ab/x", "b/x"]);
    let a = Selection::all().namespace("a");
    assert_eq!(scanned(&a, ""), ["a/x", "a/y"]);
    assert_eq!(scanned(&a, "a/x\0"), ["a/y"]);
    assert_eq!(scanned(&a, "zzz"), [""; 0]);
    assert_eq!(scanned(&Selection::all().namespace("c"), ""), [""; 0]);
}

#[test]
fn snapshots_age() {
    let mut cache = cache();
    let now = Instant::now();
    for revision in 1..=20 {
        cache.keep(revision, Objects::new(), now);
    }
    assert_eq!(cache.snapshots.len(), SNAPSHOTS_MAX);
    cache.expire(now + SNAPSHOT_AGE);
    assert!(cache.snapshots.is_empty());
}

#[test]
fn watchers_hear_of_changes() {
    let mut cache = cache();
    let (_, _, mut queue) = cache.watchers.add(Selection::all().indexed(0, "n1"), 0, 10, true, |_| true);
    put(&mut cache, "ns/a", "n1", 3);
    put(&mut cache, "ns/a", "n2", 4);
    put(&mut cache, "ns/b", "n2", 5);
    let seen: Vec<_> =
        std::iter::from_fn(|| queue.try_recv().ok()).map(|event| (event.kind, event.revision())).collect();
    assert_eq!(seen, [(EventKind::Added, 3), (EventKind::Deleted, 4)]);
}
