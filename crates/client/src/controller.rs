//! The generic controller: informers in, keys through a queue, `reconcile` out.
//!
//! ```no_run
//! # use client::controller::{Controller, Next, Reconciler};
//! # use client::{Informers, Key, Writes};
//! # use api_types::k8s::api::core::v1::Pod;
//! struct Counter;
//! #[async_trait::async_trait]
//! impl Reconciler for Counter {
//!     type Key = Key;
//!     async fn reconcile(&self, key: &Key, _writes: &Writes) -> Result<Next, anyhow::Error> {
//!         println!("{key} changed");
//!         Ok(Next::Wait)
//!     }
//! }
//! # async fn example(informers: Informers, shutdown: tokio_util::sync::CancellationToken) {
//! let pods = informers.all::<Pod>();
//! Controller::new("counter", Counter, shutdown).watch(&pods, |change| vec![change.key.clone()]).run(5).await;
//! # }
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::ErrorExt;
use crate::informer::{Change, Informer, Object};
use crate::queue::{Queue, QueueKey};
use crate::write::Writes;

/// What brings the world nearer to what a key asks for.
#[async_trait]
pub trait Reconciler: Send + Sync + 'static {
    /// What is reconciled: mostly [`crate::Key`].
    type Key: QueueKey;

    /// Looks at the present state of `key` and acts on it. Level based: it may be called for no reason at all, and the
    /// object may be gone. All writes go through `writes`; the key comes again only when the caches have seen them.
    ///
    /// # Errors
    /// Any error queues the key again with back-off; lost write races do so quietly.
    async fn reconcile(&self, key: &Self::Key, writes: &Writes) -> Result<Next, anyhow::Error>;
}

/// When a key is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When something changes.
    Wait,
    /// Also after this time.
    After(Duration),
}

/// A controller being put together.
pub struct Controller<R: Reconciler> {
    name: &'static str,
    reconciler: Arc<R>,
    queue: Queue<R::Key>,
    shutdown: CancellationToken,
    /// Each waits for its informer, then moves its changes into the queue.
    sources: Vec<Task>,
    synced: Vec<Task>,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

fn boxed(future: impl Future<Output = ()> + Send + 'static) -> Task {
    Box::pin(future)
}

impl<R: Reconciler> Controller<R> {
    /// A controller that ends when `shutdown` is cancelled. `name` is upstream's, it labels logs and metrics.
    pub fn new(name: &'static str, reconciler: R, shutdown: CancellationToken) -> Self {
        Self::shared(name, Arc::new(reconciler), Queue::new(name), shutdown)
    }

    /// As [`Controller::new`], with a queue and a reconciler that others hold too.
    pub fn shared(
        name: &'static str,
        reconciler: Arc<R>,
        queue: Queue<R::Key>,
        shutdown: CancellationToken,
    ) -> Self {
        Self { name, reconciler, queue, shutdown, sources: Vec::new(), synced: Vec::new() }
    }

    /// The queue, for timers and other sources of keys.
    pub fn queue(&self) -> &Queue<R::Key> {
        &self.queue
    }

    /// Declares an input: every change of `informer` queues the keys that `keys` gives for it.
    pub fn watch<K: Object>(
        mut self,
        informer: &Informer<K>,
        keys: impl Fn(&Change<K>) -> Vec<R::Key> + Send + 'static,
    ) -> Self {
        let queue = self.queue.clone();
        let mut changes = informer.subscribe();
        self.sources.push(Box::pin(async move {
            loop {
                let change = changes.next().await;
                for key in keys(&change) {
                    queue.add(key);
                }
            }
        }));
        self.after(informer)
    }

    /// Declares an input that is read but whose changes wake nobody.
    pub fn after<K: Object>(mut self, informer: &Informer<K>) -> Self {
        let informer = informer.clone();
        self.synced.push(Box::pin(async move { informer.synced().await }));
        self
    }

    /// Runs with `workers` keys at a time until shutdown. Starts when all inputs have their first full state.
    pub async fn run(self, workers: usize) {
        let Self { name, reconciler, queue, shutdown, sources, synced } = self;
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = futures::future::join_all(synced) => {}
        }
        tracing::debug!(controller = name, workers, "caches are synced, starting");
        let mut tasks = tokio::task::JoinSet::new();
        for source in sources {
            tasks.spawn(source);
        }
        let mut working = tokio::task::JoinSet::new();
        for _ in 0..workers.max(1) {
            // Boxed, so that the runtime's part is compiled once and not once per controller.
            working.spawn(boxed(work(name, Arc::clone(&reconciler), queue.clone())));
        }
        shutdown.cancelled().await;
        queue.close();
        // A reconciliation in flight may finish; the runtime's end cuts what takes longer.
        let finished = async { while working.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(5), finished).await.is_err() {
            tracing::warn!(controller = name, "a reconciliation was cut off by shutdown");
        }
    }
}

async fn work<R: Reconciler>(name: &'static str, reconciler: Arc<R>, queue: Queue<R::Key>) {
    while let Some(key) = queue.next().await {
        let writes = Writes::default();
        match reconciler.reconcile(&key, &writes).await {
            Ok(next) => {
                queue.forget(&key);
                if let Next::After(delay) = next {
                    queue.add_after(key.clone(), delay);
                }
            }
            Err(error) => {
                report(name, &key, &error);
                queue.add_rate_limited(key.clone());
            }
        }
        if writes.is_empty() {
            queue.done(&key);
        } else {
            // The key stays in work until its writes are visible; this worker goes on with others.
            let queue = queue.clone();
            tokio::spawn(boxed(async move {
                writes.visible().await;
                queue.done(&key);
            }));
        }
    }
}

fn report<K: std::fmt::Debug>(name: &str, key: &K, error: &anyhow::Error) {
    let kube = error.chain().find_map(|cause| cause.downcast_ref::<kube::Error>());
    let text = component::exit::render("", error);
    let text = text.trim_start_matches(": ");
    if kube
        .is_some_and(|error| error.is_conflict() || error.is_not_found() || error.is_namespace_terminating())
    {
        tracing::debug!(controller = name, ?key, error = text, "trying again");
    } else {
        tracing::error!(controller = name, ?key, error = text, "reconciliation failed, trying again");
    }
}

#[cfg(test)]
mod tests;
