//! What every request passes through before a handler sees it, outermost first.
//!
//! ```text
//!  panics ─► metrics ─► request info ─► authentication ─► impersonation ─► fairness ─► authorization ─► time-out ─► handlers
//! ```
//!
//! Each stage is a function in its own file; this file is the only one that knows their order.

mod access_metrics;
mod authentication;
mod inflight;
mod metrics;
mod panics;
pub mod request_info;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use access::UserInfo;
use access::authn;
use access::authz::{self, Attributes, SelectorOperator, SelectorRequirement};
use api_types::selector::FieldSelector;
use http::header::{CACHE_CONTROL, HeaderValue};
use http::{Request, Response};
use hyper::body::Incoming;

pub use authentication::Peers;
pub use inflight::InFlight;
pub use request_info::RequestInfo;

use crate::error::Error;
use crate::flowcontrol;
use crate::handlers;
use crate::http::body::Body;
use crate::http::query::{Query, unescape};
use crate::http::{media, pretty, respond};
use crate::server::Server;

/// A request that has passed all filters.
pub struct Call {
    /// Method, URI, headers (without credentials) and extensions.
    pub parts: http::request::Parts,
    /// The body, unread.
    pub body: Incoming,
    /// What it is about.
    pub info: RequestInfo,
    /// Its query.
    pub query: Query,
    /// Who asks.
    pub user: UserInfo,
}

/// Answers one request.
///
/// # Errors
/// Never: every failure is a response.
pub async fn serve(server: Arc<Server>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let started = Instant::now();
    let format = media::accept_for_error(request.headers());
    let path = unescape(request.uri().path(), false).into_owned();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let info = RequestInfo::parse(request.method(), &path, &query);
    let labels = metrics::Labels::of(&info, &query);
    let indented = is_document(&info) && pretty::wanted(request.headers(), &query);
    let mut flow = None;
    let answered = panics::catch(pass(&server, request, info, query, &mut flow)).await;
    let mut response = answered.unwrap_or_else(|error| respond::error(&error, format));
    if let Some(flow) = flow {
        flow.mark(response.headers_mut());
    }
    if indented && pretty::applies(response.headers()) {
        response = pretty::indent(response);
    }
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
    if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
        headers.insert("audit-id", id);
    }
    labels.observe(response.status(), started.elapsed());
    Ok(response)
}

/// Whether the answer is an object or a list of the API, as opposed to a stream or somebody else's answer.
fn is_document(info: &RequestInfo) -> bool {
    match info.is_resource {
        true => !inflight::is_long_running(info),
        false => info.path.starts_with("/api"),
    }
}

/// The stages in their order.
async fn pass(
    server: &Arc<Server>,
    request: Request<Incoming>,
    info: RequestInfo,
    query: Query,
    flow: &mut Option<Arc<flowcontrol::Schema>>,
) -> Result<Response<Body>, Error> {
    let _slot = match &server.flow_control {
        Some(_) => None,
        None => match server.in_flight.enter(&info) {
            Some(slot) => slot,
            None => return Ok(respond::too_many_requests()),
        },
    };
    let (mut parts, body) = request.into_parts();
    let requester = authentication::authenticate(server, &mut parts).await?;
    let user = match authn::impersonate(&server.authorizer, &requester, &parts.headers).await? {
        Some(other) => {
            authn::strip_impersonation(&mut parts.headers);
            other
        }
        None => requester,
    };
    *flow = classify(server, &user, &info);
    let _seats = match flow {
        Some(flow) => match take_seats(server, flow, &user, &info, &query).await {
            Ok(ticket) => Some(ticket),
            Err(_) => return Ok(respond::too_many_requests()),
        },
        None => None,
    };
    authorize(server, &user, &info, &query).await?;
    let long_running = inflight::is_long_running(&info);
    let handled = handlers::handle(server, Call { parts, body, info, query, user });
    if long_running {
        return handled.await;
    }
    match tokio::time::timeout(server.request_timeout(), handled).await {
        Ok(answered) => answered,
        Err(_) => Err(Error::timeout("request did not complete within the allotted timeout", 0)),
    }
}

/// What priority and fairness takes a request for. Streams go by without; a watch needs seats while it begins.
fn classify(server: &Server, user: &UserInfo, info: &RequestInfo) -> Option<Arc<flowcontrol::Schema>> {
    let control = server.flow_control.as_ref()?;
    if inflight::is_long_running(info) && info.verb != "watch" {
        return None;
    }
    control.classify(user, info)
}

async fn take_seats(
    server: &Server,
    flow: &flowcontrol::Schema,
    user: &UserInfo,
    info: &RequestInfo,
    query: &Query,
) -> Result<flowcontrol::Ticket, flowcontrol::Rejection> {
    let seats = |nominal| flowcontrol::seats(&server.registry, info, query, nominal);
    // A request may spend a part of its time in a queue, so that enough is left to answer it.
    let patience = server.request_timeout() / 4;
    flow.admit(user, info, seats, patience).await
}

async fn authorize(server: &Server, user: &UserInfo, info: &RequestInfo, query: &Query) -> Result<(), Error> {
    let attributes = attributes(user, info, query);
    let began = Instant::now();
    let verdict = server.authorizer.authorize(&attributes).await;
    access_metrics::authorized(&verdict, began.elapsed());
    match verdict.allowed() {
        true => Ok(()),
        false => Err(authz::forbidden(&attributes, &verdict.reason)),
    }
}

/// The question for the authorizer.
pub fn attributes<'a>(user: &'a UserInfo, info: &'a RequestInfo, query: &Query) -> Attributes<'a> {
    if !info.is_resource {
        return Attributes::path(user, &info.verb, &info.path);
    }
    let mut attributes = Attributes::resource(user, &info.verb, &info.group, &info.resource);
    attributes.namespace = &info.namespace;
    attributes.version = &info.version;
    attributes.subresource = &info.subresource;
    attributes.name = &info.name;
    attributes.path = &info.path;
    if matches!(info.verb.as_str(), "list" | "watch" | "deletecollection")
        && let Some(selector) = query.get("fieldSelector").and_then(|text| FieldSelector::parse(text).ok())
    {
        let requirements = selector.requirements().iter().map(|term| SelectorRequirement {
            key: term.field.clone(),
            operator: if term.equal { SelectorOperator::In } else { SelectorOperator::NotIn },
            values: vec![term.value.clone()],
        });
        attributes.field_selector = requirements.collect();
    }
    attributes
}
