//! Against a real apiserver: run with `COXSWAIN_TEST_KUBECONFIG=<file> cargo test -p client --test apiserver -- --ignored`
//! while `hack/run-apiserver` runs (it prints the kubeconfig's path).

use std::time::Duration;

use api_types::k8s::api::core::v1::ConfigMap;
use client::{Api, DeleteParams, Informers, Key, Object, PostParams, Scope, Writer, Writes, connect};
use component::CancellationToken;

async fn client() -> client::Client {
    let path = std::env::var("COXSWAIN_TEST_KUBECONFIG")
        .expect("COXSWAIN_TEST_KUBECONFIG names the kubeconfig of a test server");
    connect(&connect::Options::file(path.as_ref(), "client-test")).await.expect("the kubeconfig can be used")
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    let mut object =
        ConfigMap { data: Some([("k".to_owned(), value.to_owned())].into()), ..ConfigMap::default() };
    object.metadata.name = Some(name.to_owned());
    object.metadata.namespace = Some("default".to_owned());
    object.metadata.labels = Some([("suite".to_owned(), "client".to_owned())].into());
    object
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future)
        .await
        .unwrap_or_else(|_| panic!("timed out: {what}"))
}

fn value<K: Object>(object: &K) -> Option<String> {
    object.meta().resource_version.clone()
}

#[tokio::test]
#[ignore = "needs a running apiserver"]
async fn an_informer_mirrors_the_server_and_writers_are_read_back() {
    let client = client().await;
    let shutdown = CancellationToken::new();
    let informers = Informers::new(client.clone(), shutdown.clone());
    let api = Api::<ConfigMap>::namespaced(client.clone(), "default");
    let none_is_fine = api
        .delete_collection(&DeleteParams::default(), &client::ListParams::default().labels("suite=client"))
        .await;
    assert!(none_is_fine.is_ok());
    let before = api.create(&PostParams::default(), &config_map("first", "1")).await.expect("created");

    let maps = informers.select::<ConfigMap>(Scope::labels("suite=client"));
    within("first list", maps.synced()).await;
    assert_eq!(value(&*maps.store().find("default", "first").expect("listed")), value(&before));
    assert!(maps.store().find("default", "first").expect("listed").metadata.managed_fields.is_none());
    let mut changes = maps.subscribe();
    assert_eq!(within("what is there", changes.next()).await.key, Key::new("default", "first"));

    let writer = Writer::new(&client, &maps);
    let writes = Writes::default();
    let created = writer.create(&writes, &config_map("second", "1")).await.expect("created");
    within("own write", writes.visible()).await;
    assert_eq!(value(&*maps.store().find("default", "second").expect("visible")), value(&created));
    let change = within("creation", changes.next()).await;
    assert!(change.old.is_none() && change.new.is_some());

    let writes = Writes::default();
    let how = client::write::only(created.metadata.uid.as_deref());
    writer.delete(&writes, &Key::new("default", "second"), &how).await.expect("deleted");
    within("own deletion", writes.visible()).await;
    assert!(maps.store().find("default", "second").is_none());
    assert!(within("deletion", changes.next()).await.new.is_none());
    shutdown.cancel();
}
