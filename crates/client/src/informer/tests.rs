use api_types::k8s::api::core::v1::{Pod, PodSpec};

use super::*;

fn pod(name: &str, node: &str, revision: u64) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.namespace = Some("default".into());
    pod.metadata.name = Some(name.into());
    pod.metadata.resource_version = Some(revision.to_string());
    pod.spec = Some(PodSpec { node_name: Some(node.to_owned()), ..PodSpec::default() });
    pod
}

fn key(name: &str) -> Key {
    Key::new("default", name)
}

#[tokio::test]
async fn changes_of_one_key_are_merged_and_none_is_lost() {
    let informer = Informer::<Pod>::detached(());
    informer.apply(key("a"), Some(pod("a", "n1", 1)));
    let mut changes = informer.subscribe();
    let first = changes.next().await;
    assert!(first.old.is_none() && first.new.is_some());

    informer.apply(key("a"), Some(pod("a", "n2", 2)));
    informer.apply(key("b"), Some(pod("b", "n1", 3)));
    informer.apply(key("a"), None);
    informer.apply(key("c"), Some(pod("c", "n1", 4)));
    informer.apply(key("c"), None);
    let change = changes.next().await;
    assert_eq!(change.key, key("a"));
    assert_eq!(change.old.unwrap().spec.as_ref().unwrap().node_name.as_deref(), Some("n1"));
    assert!(change.new.is_none());
    assert_eq!(changes.next().await.key, key("b"));
    assert!(changes.try_next().is_none());
    assert_eq!(informer.revision(), 4);
}

#[test]
fn indexes_follow_the_objects() {
    let informer = Informer::<Pod>::detached(());
    informer.apply(key("a"), Some(pod("a", "n1", 1)));
    informer.index("node", by_node);
    informer.apply(key("b"), Some(pod("b", "n1", 2)));
    let names = |node: &str| -> Vec<String> {
        informer.store().by_index("node", node).iter().filter_map(|pod| pod.metadata.name.clone()).collect()
    };
    assert_eq!(names("n1"), ["a", "b"]);
    informer.apply(key("a"), Some(pod("a", "n2", 3)));
    informer.apply(key("b"), None);
    assert!(names("n1").is_empty());
    assert_eq!(names("n2"), ["a"]);
    assert_eq!(informer.store().list_namespace("default").len(), 1);
    assert!(informer.store().list_namespace("defaul").is_empty());
}
