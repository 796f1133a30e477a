//! `deployment-controller`: rolls ReplicaSets forward and back.
//!
//! `plan.rs` decides the stage; `sets.rs` finds and makes the new set; `scale.rs` moves replicas between sets;
//! `status.rs` tells how far it has come.

mod controller;
mod plan;
mod scale;
mod sets;
mod status;

pub(crate) use controller::run;

#[cfg(test)]
mod tests;
