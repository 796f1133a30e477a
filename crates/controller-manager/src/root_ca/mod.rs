//! `root-ca-certificate-publisher-controller`: the cluster's CA in every namespace, for pods to trust the apiserver.

use api_types::k8s::api::core::v1::{ConfigMap, Namespace};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::{ErrorExt, Informer, Key, Writer, Writes};

use crate::context::Context;

const NAME: &str = "kube-root-ca.crt";
const FILE: &str = "ca.crt";
const DESCRIPTION: (&str, &str) = (
    "kubernetes.io/description",
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.",
);

/// Runs the controller until shutdown. Without `--root-ca-file` there is nothing to publish.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let Some(path) = &context.options.identity.root_ca_file else {
        tracing::info!("no --root-ca-file: the root CA is not published");
        return Ok(());
    };
    let bundle = tokio::fs::read_to_string(path).await?;
    let namespaces = context.informers.all::<Namespace>();
    let maps = context.informers.all::<ConfigMap>();
    let reconciler =
        Publisher { bundle, namespaces: namespaces.clone(), maps: maps.clone(), writer: context.writer() };
    Controller::new("root_ca_cert_publisher", reconciler, context.shutdown)
        .watch(&namespaces, |change| vec![change.key.clone()])
        .watch(&maps, |change| {
            (&*change.key.name == NAME).then(|| Key::cluster(&change.key.namespace)).into_iter().collect()
        })
        .run(1)
        .await;
    Ok(())
}

struct Publisher {
    bundle: String,
    namespaces: Informer<Namespace>,
    maps: Informer<ConfigMap>,
    writer: Writer<ConfigMap>,
}

#[async_trait]
impl Reconciler for Publisher {
    /// A namespace.
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(namespace) = self.namespaces.store().get(key) else { return Ok(Next::Wait) };
        if namespace.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Wait);
        }
        let wanted = [(FILE.to_owned(), self.bundle.clone())].into();
        let described = |meta: &ObjectMeta| {
            meta.annotations
                .as_ref()
                .and_then(|all| all.get(DESCRIPTION.0))
                .is_some_and(|text| text == DESCRIPTION.1)
        };
        let result = match self.maps.store().find(&key.name, NAME) {
            Some(map) if map.data.as_ref() == Some(&wanted) && described(&map.metadata) => {
                return Ok(Next::Wait);
            }
            Some(map) => {
                let mut map = ConfigMap::clone(&map);
                map.data = Some(wanted);
                map.metadata.annotations =
                    Some([(DESCRIPTION.0.to_owned(), DESCRIPTION.1.to_owned())].into());
                self.writer.update(writes, &map).await
            }
            None => {
                let map = ConfigMap {
                    metadata: ObjectMeta {
                        name: Some(NAME.to_owned()),
                        namespace: Some(key.name.to_string()),
                        annotations: Some([(DESCRIPTION.0.to_owned(), DESCRIPTION.1.to_owned())].into()),
                        ..ObjectMeta::default()
                    },
                    data: Some(wanted),
                    ..ConfigMap::default()
                };
                self.writer.create(writes, &map).await
            }
        };
        match result {
            Err(error) if error.is_namespace_terminating() || error.is_not_found() => Ok(Next::Wait),
            result => result.map(|_| Next::Wait).map_err(Into::into),
        }
    }
}
