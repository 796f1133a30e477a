//! `job-controller`: runs pods until enough of them have succeeded.
//!
//! Every pod carries a finalizer until its end is counted, and the count is kept in status in two steps
//! (`uncountedTerminatedPods`), so that no pod is counted twice or not at all, whenever the controller dies.

mod controller;
mod fill;
mod indexes;
mod plan;
mod policy;
mod template;

pub(crate) use controller::run;

#[cfg(test)]
mod tests;
