use super::*;
use crate::codec::{Key, Prepared};
use crate::config::{Field, ResourceConfig};
use crate::intern::Interner;

fn object(key: &str, node: &str, revision: i64) -> Arc<Object> {
    let config = Arc::new(
        ResourceConfig::new("/registry/pods", true, "v1", "Pod").field(Field::new("spec.nodeName").indexed()),
    );
    let value = serde_json::json!({"spec": {"nodeName": node}});
    Prepared::new(&config, &Interner::default(), Key::parse(true, key).unwrap(), "k", &value)
        .unwrap()
        .object(revision)
}

fn change(old: Option<(&str, &str)>, new: Option<(&str, &str)>) -> Change {
    Change {
        revision: 9,
        old: old.map(|(key, node)| object(key, node, 8)),
        new: new.map(|(key, node)| object(key, node, 9)),
    }
}

#[test]
fn a_change_visits_its_audience_once() {
    let mut watchers = Watchers::default();
    let selections = [
        Selection::all(),
        Selection::all().namespace("ns"),
        Selection::all().name("a"),
        Selection::all().namespace("ns").name("a"),
        Selection::all().indexed(0, "n1"),
        Selection::all().namespace("ns").indexed(0, "n2"),
        Selection::all().indexed(0, "n3"),
        Selection::all().namespace("other"),
        Selection::all().namespace("other").indexed(0, "n1"),
        Selection::all().matching(|object| object.field_at(0) == Some("n2")),
    ];
    let mut queues: Vec<_> =
        selections.iter().map(|selection| watchers.add(selection.clone(), 0, 4, true, |_| true)).collect();
    watchers.dispatch(&change(Some(("ns/a", "n1")), Some(("ns/a", "n2"))), &[0]);
    let mut seen = |at: usize| {
        std::iter::from_fn(|| queues[at].2.try_recv().ok()).map(|event| event.kind).collect::<Vec<_>>()
    };
    use EventKind::{Added, Deleted, Modified};
    let expected: [&[EventKind]; 10] =
        [&[Modified], &[Modified], &[Modified], &[Modified], &[Deleted], &[Added], &[], &[], &[], &[Added]];
    for (at, expected) in expected.iter().enumerate() {
        assert_eq!(seen(at), *expected, "{:?}", selections[at]);
    }
}

#[test]
fn events_are_shared_by_watchers() {
    let mut watchers = Watchers::default();
    let (_, _, mut one) = watchers.add(Selection::all(), 0, 4, true, |_| true);
    let (_, _, mut two) = watchers.add(Selection::all().namespace("ns"), 0, 4, true, |_| true);
    let delivered = watchers.dispatch(&change(None, Some(("ns/a", "n1"))), &[0]);
    assert_eq!(delivered, Delivered { events: 2, ended: 0 });
    let (one, two) = (one.try_recv().unwrap(), two.try_recv().unwrap());
    assert!(Arc::ptr_eq(&one, &two));
    assert_eq!(one.frame().as_ptr(), two.frame().as_ptr());
}

#[test]
fn watchers_that_lag_or_left_are_forgotten() {
    let mut watchers = Watchers::default();
    let (_, _, _kept_but_not_read) = watchers.add(Selection::all(), 0, 1, true, |_| true);
    let (_, _, gone) = watchers.add(Selection::all().namespace("ns"), 0, 1, true, |_| true);
    let (id, bucket, _queue) = watchers.add(Selection::all().name("zzz"), 0, 1, true, |_| true);
    drop(gone);
    let change = change(None, Some(("ns/a", "n1")));
    assert_eq!(watchers.dispatch(&change, &[0]), Delivered { events: 1, ended: 0 });
    assert_eq!(watchers.dispatch(&change, &[0]), Delivered { events: 0, ended: 1 });
    assert_eq!(watchers.count, 1);
    watchers.remove(id, &bucket);
    watchers.remove(id, &bucket);
    assert_eq!((watchers.count, watchers.buckets.len()), (0, 0));
}

#[test]
fn watchers_wait_for_their_revision() {
    let mut watchers = Watchers::default();
    let (_, _, mut queue) = watchers.add(Selection::all(), 9, 4, true, |_| true);
    watchers.dispatch(&change(None, Some(("ns/a", "n1"))), &[0]);
    assert!(queue.try_recv().is_err());
}
