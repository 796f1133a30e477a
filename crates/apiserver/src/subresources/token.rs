//! `serviceaccounts/token`: a token for a service account (KEP-1205).

use std::sync::Arc;

use access::authn::service_account;
use api_types::apply::FieldManager;
use http::StatusCode;
use jiff::Timestamp;

use crate::admission::Operation;
use crate::error::Result;
use crate::http::respond;
use crate::registry::body::{self, Expected};
use crate::registry::options::WriteOptions;
use crate::registry::{Outcome, Request};
use crate::server::Server;

/// Answers a TokenRequest.
pub(super) async fn create(server: &Arc<Server>, request: &Request) -> Result<Outcome> {
    let options = WriteOptions::parse("CreateOptions", &request.query, false)?;
    let expected = Expected::kind("authentication.k8s.io", "v1", "TokenRequest");
    let mut token_request = body::decode(request, &expected, options.field_validation)?;
    api_types::default::apply_schema(&expected.schema, &mut token_request);
    let owners = FieldManager::new(expected.schema, "authentication.k8s.io/v1", "TokenRequest", "token");
    owners.update(None, &mut token_request, &request.manager(&options.field_manager), Timestamp::now());
    let registry = &server.registry;
    let mut token_request =
        registry.admit_foreign(request, Operation::Create, &options, &request.name, token_request).await?;
    let lookup: &dyn access::Lookup = &**registry;
    let warnings = service_account::create_token(
        &server.tokens.issuer,
        lookup,
        &request.namespace,
        &request.name,
        &mut token_request,
        Timestamp::now(),
    )
    .await?;
    request.warn(warnings);
    let answer = respond::of_kind("authentication.k8s.io/v1", "TokenRequest", token_request);
    Ok(Outcome::Foreign(StatusCode::CREATED, answer))
}
