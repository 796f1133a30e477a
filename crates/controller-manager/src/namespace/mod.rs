//! `namespace-controller`: empties namespaces that are being deleted, pods first, then lets them go.

mod content;
mod plan;

use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::Namespace;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::discovery::{self, Discovery};
use client::{Client, ErrorExt, Informer, Key, Writer, Writes};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::context::Context;

/// What the controller waits for besides the content itself.
const FINALIZER: &str = "kubernetes";
/// How long a discovery answer is used.
const DISCOVERY_TTL: Duration = Duration::from_secs(15);

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let namespaces = context.informers.all::<Namespace>();
    let reconciler = Namespaces {
        namespaces: namespaces.clone(),
        writer: context.writer(),
        client: context.client.clone(),
        discovered: Mutex::default(),
    };
    let workers = context.options.tuning.concurrent_namespace_syncs;
    Controller::new("namespace", reconciler, context.shutdown)
        .watch(&namespaces, |change| {
            let leaving =
                change.new.as_ref().is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some());
            leaving.then(|| change.key.clone()).into_iter().collect()
        })
        .run(workers)
        .await;
    Ok(())
}

struct Namespaces {
    namespaces: Informer<Namespace>,
    writer: Writer<Namespace>,
    client: Client,
    discovered: Mutex<Option<(Instant, Arc<Discovery>)>>,
}

#[async_trait]
impl Reconciler for Namespaces {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(namespace) = self.namespaces.store().get(key) else { return Ok(Next::Wait) };
        if namespace.metadata.deletion_timestamp.is_none() {
            return Ok(Next::Wait);
        }
        let holds = |namespace: &Namespace| {
            let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.clone());
            finalizers.unwrap_or_default().iter().any(|finalizer| finalizer == FINALIZER)
        };
        if !holds(&namespace) {
            return Ok(Next::Wait);
        }
        let findings = match self.discover().await {
            Ok(discovered) => content::empty(&self.client, &key.name, &discovered).await,
            Err(error) => {
                plan::Findings { discovery_error: Some(error.to_string()), ..plan::Findings::default() }
            }
        };
        let mut current = Namespace::clone(&namespace);
        if let Some(status) = plan::status(&current, &findings, Timestamp::now()) {
            current.status = Some(status);
            match self.writer.update_status(writes, &current).await {
                Ok(written) => current = written,
                Err(error) if error.is_not_found() => return Ok(Next::Wait),
                Err(error) => return Err(error.into()),
            }
        }
        if !findings.is_empty() {
            return Ok(Next::After(findings.patience()));
        }
        if let Some(spec) = &mut current.spec {
            spec.finalizers =
                spec.finalizers.take().map(|all| all.into_iter().filter(|f| f != FINALIZER).collect());
        }
        match self.writer.update_sub(writes, "finalize", &current).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(Next::Wait),
        }
    }
}

impl Namespaces {
    async fn discover(&self) -> Result<Arc<Discovery>, client::Error> {
        if let Some((at, known)) = &*self.discovered.lock()
            && at.elapsed() < DISCOVERY_TTL
        {
            return Ok(Arc::clone(known));
        }
        let fresh = Arc::new(discovery::discover(&self.client).await?);
        *self.discovered.lock() = Some((Instant::now(), Arc::clone(&fresh)));
        Ok(fresh)
    }
}
