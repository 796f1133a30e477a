//! LimitRanger: pods and claims stay within the LimitRanges of their namespace, and take their defaults.

mod bounds;
mod defaults;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::Dependencies;
use super::support::{fetch_all, list, refuse};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

pub(super) fn make(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(LimitRanger)
}

struct LimitRanger;

#[async_trait]
impl Plugin for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn mutate(&self, request: &mut Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        if !request.is("", "pods") || request.operation != Operation::Create {
            return Ok(());
        }
        let ranges = ranges(request, reader).await?;
        if let Some(pod) = &mut request.object {
            ranges.iter().for_each(|range| defaults::apply(pod, list(range, "/spec/limits")));
        }
        Ok(())
    }

    async fn validate(&self, request: &Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        let pod = request.is_any("", "pods")
            && match request.subresource {
                "" => request.operation == Operation::Create,
                "resize" => request.operation == Operation::Update,
                _ => false,
            };
        let claim = request.is("", "persistentvolumeclaims");
        let Some(object) = request.object.as_ref().filter(|_| pod || claim) else { return Ok(()) };
        if request.operation == Operation::Update && !object["metadata"]["deletionTimestamp"].is_null() {
            return Ok(());
        }
        for range in ranges(request, reader).await? {
            let limits = list(&range, "/spec/limits");
            let broken =
                if pod { bounds::pod(&object["spec"], limits) } else { bounds::claim(object, limits) };
            match broken.as_slice() {
                [] => {}
                [one] => return Err(refuse(request, one)),
                many => return Err(refuse(request, format!("[{}]", many.join(", ")))),
            }
        }
        Ok(())
    }
}

async fn ranges(request: &Request<'_>, reader: &dyn Reader) -> Result<Vec<Value>, Error> {
    fetch_all(reader, ("", "limitranges"), request.namespace).await
}
