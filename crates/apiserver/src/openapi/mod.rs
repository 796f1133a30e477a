//! OpenAPI v2 and v3 documents.

use std::sync::Arc;

use http::Response;

use crate::error::Result;
use crate::filters::Call;
use crate::handlers::page_not_found;
use crate::http::body::Body;
use crate::server::Server;

/// Answers a request below `/openapi`.
///
/// # Errors
/// None yet: every path is absent.
pub fn handle(_server: &Arc<Server>, _call: &Call) -> Result<Response<Body>> {
    Ok(page_not_found())
}
