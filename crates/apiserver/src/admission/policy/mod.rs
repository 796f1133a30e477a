//! ValidatingAdmissionPolicy and MutatingAdmissionPolicy (KEP-3488, KEP-3962).
//!
//! ```text
//!  watch ─► index: policies with their bindings, by resource ─► which match ─► params ─► a Stage per param
//!                                                        validations ─► denials, warnings, audit │ mutations ─► object
//! ```
//!
//! Policies are compiled when they change, not when they are used; a request that no policy is about costs one look-up.

mod constraints;
mod definition;
mod index;
mod invocation;
mod mutating;
mod params;
mod patch;
mod refusal;
mod stage;
mod validating;

use std::sync::Arc;

use access::authz::Authorizer;

pub use definition::{compile_mutating, compile_validating};
pub use index::Index;

use super::{Plugin, Versions};

/// What the two plug-ins share.
pub struct Policies {
    /// Policies that refuse.
    pub validating: Arc<Index>,
    /// Policies that change objects.
    pub mutating: Arc<Index>,
    versions: Arc<dyn Versions>,
    authorizer: Arc<Authorizer>,
}

impl Policies {
    /// Policies that `feeds` fill in.
    pub fn new(versions: Arc<dyn Versions>, authorizer: Arc<Authorizer>) -> Arc<Self> {
        Arc::new(Self {
            validating: Index::new(index::VALIDATING),
            mutating: Index::new(index::MUTATING),
            versions,
            authorizer,
        })
    }

    /// The plug-in that lets policies refuse objects.
    pub fn validating_plugin(self: &Arc<Self>) -> Arc<dyn Plugin> {
        Arc::new(validating::ValidatingAdmissionPolicy(Arc::clone(self)))
    }

    /// The plug-in that lets policies change objects.
    pub fn mutating_plugin(self: &Arc<Self>) -> Arc<dyn Plugin> {
        Arc::new(mutating::MutatingAdmissionPolicy(Arc::clone(self)))
    }
}
