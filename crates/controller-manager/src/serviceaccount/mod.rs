//! `serviceaccount-controller` (an account named default in every namespace), `serviceaccount-token-controller` (tokens in
//! Secrets, for those who still ask for them) and `legacy-serviceaccount-token-cleaner-controller` (removes those that nobody
//! asked for and nobody uses).

mod legacy;
mod tokens;

use api_types::k8s::api::core::v1::{Namespace, ServiceAccount};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::{ErrorExt, Informer, Key, Writer, Writes};

use crate::context::Context;

pub(crate) use legacy::run as run_legacy_cleaner;
pub(crate) use tokens::run as run_tokens;

const DEFAULT: &str = "default";

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let namespaces = context.informers.all::<Namespace>();
    let accounts = context.informers.all::<ServiceAccount>();
    let reconciler =
        Accounts { namespaces: namespaces.clone(), accounts: accounts.clone(), writer: context.writer() };
    Controller::new("serviceaccount", reconciler, context.shutdown)
        .watch(&namespaces, |change| vec![change.key.clone()])
        .watch(&accounts, |change| {
            let gone = change.new.is_none() && &*change.key.name == DEFAULT;
            gone.then(|| Key::cluster(&change.key.namespace)).into_iter().collect()
        })
        .run(1)
        .await;
    Ok(())
}

struct Accounts {
    namespaces: Informer<Namespace>,
    accounts: Informer<ServiceAccount>,
    writer: Writer<ServiceAccount>,
}

#[async_trait]
impl Reconciler for Accounts {
    /// A namespace.
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(namespace) = self.namespaces.store().get(key) else { return Ok(Next::Wait) };
        if namespace.metadata.deletion_timestamp.is_some()
            || self.accounts.store().find(&key.name, DEFAULT).is_some()
        {
            return Ok(Next::Wait);
        }
        let account = ServiceAccount {
            metadata: ObjectMeta {
                name: Some(DEFAULT.to_owned()),
                namespace: Some(key.name.to_string()),
                ..ObjectMeta::default()
            },
            ..ServiceAccount::default()
        };
        match self.writer.create(writes, &account).await {
            Err(error)
                if error.is_already_exists() || error.is_namespace_terminating() || error.is_not_found() =>
            {
                Ok(Next::Wait)
            }
            result => result.map(|_| Next::Wait).map_err(Into::into),
        }
    }
}
