//! NamespaceExists: refuses writes into namespaces that do not exist.

use std::sync::Arc;

use async_trait::async_trait;
use serde::de::IgnoredAny;

use super::{Dependencies, support::fetch};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

pub(super) fn make(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(NamespaceExists)
}

struct NamespaceExists;

#[async_trait]
impl Plugin for NamespaceExists {
    fn name(&self) -> &'static str {
        "NamespaceExists"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update | Operation::Delete)
    }

    async fn validate(&self, request: &Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        if request.namespace.is_empty() || request.is_any("", "namespaces") {
            return Ok(());
        }
        let found: Option<IgnoredAny> = fetch(reader, ("", "namespaces"), "", request.namespace).await?;
        found.map(drop).ok_or_else(|| Error::not_found("", "namespaces", request.namespace))
    }
}
