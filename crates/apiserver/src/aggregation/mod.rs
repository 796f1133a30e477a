//! API aggregation: groups and versions that other servers serve, registered as APIServices.
//!
//! ```text
//!  watch ─► index of remote group versions ─► availability: service, endpoints, discovery ─► status of the APIService
//!                 │
//!  request ───────┴─► proxy: front-proxy certificate, X-Remote-* headers ─► the service
//! ```
//!
//! Groups of this server itself are APIServices too, always available. A request for what no APIService gives away costs
//! one look at an empty table.

mod autoregister;
mod availability;
mod discovery;
mod index;
mod proxy;
mod remote;
mod watches;

use std::sync::Arc;

pub use discovery::Merged;
pub use index::Aggregator;
pub use proxy::serve;
pub use remote::Remote;

use crate::server::Server;

/// Keeps the status of every APIService, as long as the server runs.
pub async fn run(server: Arc<Server>) {
    tokio::spawn(autoregister::run(Arc::clone(&server)));
    let mut changed = server.aggregator.changes();
    let mut tending: Vec<(Arc<Remote>, tokio::task::JoinHandle<()>)> = Vec::new();
    loop {
        let remotes = server.aggregator.remotes();
        tending.retain(|(remote, task)| {
            let present = remotes.iter().any(|other| Arc::ptr_eq(other, remote));
            if !present {
                remote.stop();
                task.abort();
            }
            present
        });
        for remote in &*remotes {
            if !tending.iter().any(|(known, _)| Arc::ptr_eq(known, remote)) {
                let task = tokio::spawn(availability::tend(Arc::clone(&server), Arc::clone(remote)));
                tending.push((Arc::clone(remote), task));
            }
        }
        for name in server.aggregator.take_new_locals() {
            availability::settle_local(&server, &name).await;
        }
        tokio::select! {
            changed = changed.changed() => if changed.is_err() { return },
            () = server.shutdown.cancelled() => return,
        }
    }
}
