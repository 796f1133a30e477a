//! `garbage-collector-controller`: deletes what has lost its owners.
//!
//! ```text
//!  metadata informers of every deletable resource ──► Graph (who owns whom, by uid)
//!                                                       │ uids worth a look
//!                                                       ▼
//!                                    attempt: live object → plan(view) → delete | patch references | drop finalizer
//! ```
//!
//! The graph may be behind; every decision that deletes is made on a live read of the object and guarded by its uid.

mod collector;
mod graph;
mod monitors;
mod plan;

pub(crate) use collector::run;

#[cfg(test)]
mod tests;
