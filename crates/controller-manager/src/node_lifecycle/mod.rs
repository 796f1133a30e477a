//! `node-lifecycle-controller`: notices silent nodes, and says with taints what their conditions mean.

mod controller;
mod plan;
mod zones;

pub(crate) use controller::run;

#[cfg(test)]
mod tests;
