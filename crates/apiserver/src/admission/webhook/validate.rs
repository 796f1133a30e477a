//! ValidatingAdmissionWebhook: hooks that judge the object as it will be stored, side by side.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;

use super::Webhooks;
use super::{call, invocation};
use crate::admission::{Operation, Plugin, Reader, Request, Step};
use crate::error::Result;

/// The plug-in.
pub(super) struct ValidatingAdmissionWebhook(pub(super) Arc<Webhooks>);

#[async_trait]
impl Plugin for ValidatingAdmissionWebhook {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionWebhook"
    }

    fn handles(&self, _: Operation) -> bool {
        true
    }

    async fn validate(&self, request: &Request<'_>, reader: &dyn Reader) -> Result<()> {
        let hooks = invocation::candidates(&self.0.validating, request).await?;
        let mut invocations = Vec::new();
        for hook in hooks {
            invocations.extend(invocation::of(&self.0, &hook, request, reader).await?);
        }
        if invocations.is_empty() {
            return Ok(());
        }
        // All are asked even where one refuses: each may keep count of what it is shown.
        let asked = invocations
            .iter()
            .map(|invocation| call::ask(&self.0, invocation, request, Step::Validate, reader));
        join_all(asked).await.into_iter().try_for_each(|answered| answered.map(drop))
    }
}
