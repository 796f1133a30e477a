//! AlwaysDeny: refuses everything, for tests.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Dependencies, support::refuse};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

pub(super) fn make_deny(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(AlwaysDeny)
}

struct AlwaysDeny;

#[async_trait]
impl Plugin for AlwaysDeny {
    fn name(&self) -> &'static str {
        "AlwaysDeny"
    }

    fn handles(&self, _: Operation) -> bool {
        true
    }

    async fn mutate(&self, request: &mut Request<'_>, _: &dyn Reader) -> Result<(), Error> {
        Err(refuse(request, "admission control is denying all modifications"))
    }
}
