//! Admission webhooks: MutatingWebhookConfiguration and ValidatingWebhookConfiguration.
//!
//! ```text
//!  watch ─► index: hooks by resource ─► which match (rules, selectors, conditions) ─► review ─► call ─► patch or refusal
//! ```
//!
//! The configurations are kept in memory as they change, so a request that no hook is about costs one look-up. Hooks of
//! configurations run in the order of the configurations' names: mutating ones one after the other, each on what the one
//! before has made, validating ones side by side.
//!
//! A hook that cannot be reached must not take the cluster with it: what keeps nodes and the control plane alive, and
//! what the hook itself needs to come back, passes in spite of it (see [`lifeline`]), and its configuration says so in an
//! Event (see [`reports`]).

mod call;
mod hook;
mod index;
mod invocation;
mod lifeline;
mod metrics;
mod mutate;
mod reports;
mod review;
mod validate;

use std::sync::Arc;

use access::authz::Authorizer;

pub use hook::check_conditions;
pub use hook::{Hook, Rule};
pub use index::Index;
pub(super) use invocation::{is_exempt, selects_namespace, selects_object};
use reports::Reports;

use super::{Plugin, Versions};
use crate::loopback::Objects;

/// What the two plug-ins share.
pub struct Webhooks {
    /// The hooks that change objects.
    pub mutating: Arc<Index>,
    /// The hooks that only judge.
    pub validating: Arc<Index>,
    /// Asked by conditions, in the requester's name.
    pub authorizer: Arc<Authorizer>,
    /// How objects look in other versions.
    pub versions: Arc<dyn Versions>,
    /// Where failing hooks are told of.
    pub reports: Reports,
}

impl Webhooks {
    /// Hooks that `feeds` fill in; `resolver` finds the services behind them.
    pub fn new(
        resolver: Arc<dyn crate::outbound::Resolve>,
        versions: Arc<dyn Versions>,
        objects: Arc<dyn Objects>,
        authorizer: Arc<Authorizer>,
    ) -> Arc<Self> {
        Arc::new(Self {
            mutating: Index::new(index::MUTATING, Arc::clone(&resolver)),
            validating: Index::new(index::VALIDATING, resolver),
            authorizer,
            versions,
            reports: Reports::new(objects),
        })
    }

    /// The plug-in that lets hooks change objects.
    pub fn mutating_plugin(self: &Arc<Self>) -> Arc<dyn Plugin> {
        Arc::new(mutate::MutatingAdmissionWebhook(Arc::clone(self)))
    }

    /// The plug-in that lets hooks refuse objects.
    pub fn validating_plugin(self: &Arc<Self>) -> Arc<dyn Plugin> {
        Arc::new(validate::ValidatingAdmissionWebhook(Arc::clone(self)))
    }
}
