//! DenyServiceExternalIPs: a Service takes no external addresses that it did not have.

use std::sync::Arc;

use async_trait::async_trait;

use super::Dependencies;
use super::support::{list, refuse};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

const ADDRESSES: &str = "/spec/externalIPs";

pub(super) fn make(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(DenyServiceExternalIps)
}

struct DenyServiceExternalIps;

#[async_trait]
impl Plugin for DenyServiceExternalIps {
    fn name(&self) -> &'static str {
        "DenyServiceExternalIPs"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, request: &Request<'_>, _: &dyn Reader) -> Result<(), Error> {
        let Some(service) = request.is("", "services").then_some(request.object.as_ref()).flatten() else {
            return Ok(());
        };
        let old = request.old_object.map(|o| list(o, ADDRESSES)).unwrap_or_default();
        if list(service, ADDRESSES).iter().all(|address| old.contains(address)) {
            return Ok(());
        }
        Err(refuse(request, "Use of external IPs is denied by admission control"))
    }
}
