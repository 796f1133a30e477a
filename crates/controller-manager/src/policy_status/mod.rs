//! `validatingadmissionpolicy-status-controller`: says in a policy's status which of its expressions do not fit the types
//! of the resources that it is about.

mod plan;

use api_types::k8s::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::{ErrorExt, Informer, Key, Writer, Writes};

use crate::context::Context;

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let policies = context.informers.all::<ValidatingAdmissionPolicy>();
    let reconciler = Policies { policies: policies.clone(), writer: context.writer() };
    let workers = context.options.tuning.concurrent_validating_admission_policy_status_syncs;
    Controller::new("validatingadmissionpolicy-status", reconciler, context.shutdown)
        .watch(&policies, |change| vec![change.key.clone()])
        .run(workers)
        .await;
    Ok(())
}

struct Policies {
    policies: Informer<ValidatingAdmissionPolicy>,
    writer: Writer<ValidatingAdmissionPolicy>,
}

#[async_trait]
impl Reconciler for Policies {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(policy) = self.policies.store().get(key) else { return Ok(Next::Wait) };
        let Some(status) = plan::status(&policy) else { return Ok(Next::Wait) };
        let mut changed = ValidatingAdmissionPolicy::clone(&policy);
        changed.status = Some(status);
        match self.writer.update_status(writes, &changed).await {
            Err(error) if error.is_not_found() => Ok(Next::Wait),
            result => result.map(|_| Next::Wait).map_err(Into::into),
        }
    }
}
