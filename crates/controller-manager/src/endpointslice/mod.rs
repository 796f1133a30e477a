//! `endpointslice-controller`: the endpoints of services with a selector, in slices.

mod controller;
mod plan;

pub(crate) use controller::{BY_SERVICE, by_service, run, service_of};

#[cfg(test)]
mod tests;
