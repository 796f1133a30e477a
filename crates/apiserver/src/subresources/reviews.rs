//! Reviews: questions about identity and permission, answered in the object that asks.

use std::sync::Arc;

use access::authn;
use access::authz::review;
use api_types::default;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::json;

use crate::admission::Operation;
use crate::error::{self, Result};
use crate::registry::body::{self, Expected};
use crate::registry::options::WriteOptions;
use crate::registry::{Item, Outcome, Request, managed, meta};
use crate::server::Server;

/// Answers a review.
pub(super) async fn create(server: &Arc<Server>, request: &Request) -> Result<Outcome> {
    let endpoint = &request.endpoint;
    let info = &endpoint.info;
    let options = WriteOptions::parse("CreateOptions", &request.query, false)?;
    let mut review = body::decode(request, &Expected::object(info), options.field_validation)?;
    default::apply(info, &mut review);
    if info.namespaced {
        meta::set(&mut review, "namespace", Some(request.namespace.clone().into()));
    }
    let manager = request.manager(&options.field_manager);
    managed::on_update(endpoint, None, &mut review, &manager, "");
    let mut review = server.registry.admit_foreign(request, Operation::Create, &options, "", review).await?;
    let authorizer = &server.authorizer;
    match &*info.plural {
        "tokenreviews" => authn::token_review(&server.authenticator, &mut review, Timestamp::now()).await?,
        "selfsubjectreviews" => review["status"] = json!({ "userInfo": request.user }),
        "subjectaccessreviews" => review::subject_access_review(authorizer, &mut review).await?,
        "selfsubjectaccessreviews" => {
            review::self_subject_access_review(authorizer, &request.user, &mut review).await?;
        }
        "localsubjectaccessreviews" => {
            review::local_subject_access_review(authorizer, &request.namespace, &mut review).await?;
        }
        "selfsubjectrulesreviews" => {
            review::self_subject_rules_review(authorizer, &request.user, &mut review)?
        }
        _ => return Err(error::method_not_allowed()),
    }
    if &*info.plural == "selfsubjectreviews" {
        meta::set(&mut review, "creationTimestamp", Some(meta::now().into()));
    }
    Ok(Outcome::Object(StatusCode::CREATED, Item::Made(review)))
}
