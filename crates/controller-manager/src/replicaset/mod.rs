//! `replicaset-controller` and `replicationcontroller-controller`: keep a number of pods running.

mod controller;
mod kind;
mod plan;

use api_types::k8s::api::apps::v1::ReplicaSet;
use api_types::k8s::api::core::v1::ReplicationController;

use crate::context::Context;

/// Runs the controller of ReplicaSets.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let workers = context.options.tuning.concurrent_replicaset_syncs;
    controller::run::<ReplicaSet>(context, workers).await;
    Ok(())
}

/// Runs the controller of ReplicationControllers.
pub(crate) async fn run_replication(context: Context) -> Result<(), anyhow::Error> {
    let workers = context.options.tuning.concurrent_rc_syncs;
    controller::run::<ReplicationController>(context, workers).await;
    Ok(())
}

#[cfg(test)]
mod tests;
