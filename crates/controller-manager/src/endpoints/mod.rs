//! `endpoints-controller`: one Endpoints object per service with a selector, for clients that know no slices.

mod controller;
mod plan;

pub(crate) use controller::run;
