//! `statefulset-controller`: pods with names and claims of their own, made, updated and removed in order.

mod controller;
mod identity;
mod plan;

pub(crate) use controller::run;

#[cfg(test)]
mod tests;
