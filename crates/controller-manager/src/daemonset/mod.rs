//! `daemonset-controller`: one pod on every node that a template admits.

mod controller;
mod plan;
mod template;

pub(crate) use controller::run;

#[cfg(test)]
mod tests;
