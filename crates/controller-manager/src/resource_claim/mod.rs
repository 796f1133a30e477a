//! `resourceclaim-controller`: makes the claims that pods ask for through templates (KEP-4381), and frees claims whose pods
//! have gone.

mod controller;
mod plan;

#[cfg(test)]
mod tests;

pub(crate) use controller::run;
