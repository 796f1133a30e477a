//! Requests to resources: which operation, and the response in the form that the client accepts.

use std::sync::Arc;

use api_types::{field, name};
use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use parking_lot::Mutex;

use super::page_not_found;
use crate::admission::Annotations;
use crate::error::{self, Error, Result};
use crate::filters::Call;
use crate::http::body::{self, Body};
use crate::http::media::{self, Accepted};
use crate::http::pretty;
use crate::http::render::Renderer;
use crate::http::respond;
use crate::http::watch;
use crate::registry::{Endpoint, Outcome, Request};
use crate::server::Server;
use crate::streams;
use crate::subresources;
use crate::table;

/// Answers a request to a resource.
pub(super) async fn handle(server: &Arc<Server>, call: Call) -> Result<Response<Body>> {
    let info = &call.info;
    let Some(endpoint) = server.registry.endpoint(&info.group, &info.version, &info.resource) else {
        return not_served(server, &call);
    };
    if endpoint.info.is_custom() && !custom_path_fits(&endpoint, &call) {
        return Ok(page_not_found());
    }
    if let Err(error) = check(&endpoint, &call) {
        // Only the registry's own refusals come from behind the handler that warns.
        let warned = deprecation(&endpoint).filter(|_| info.verb == "watch");
        return Ok(failed(&call.parts.headers, &error, warned.map(str::to_owned).into_iter().collect()));
    }
    if subresources::is_stream(&endpoint, &info.subresource) {
        return streams::serve(server, &endpoint, call).await;
    }
    let verb = info.verb.clone();
    let of_many = matches!(verb.as_str(), "list" | "watch");
    let accepted = match endpoint.has_protobuf() {
        true => media::accept(&call.parts.headers, true, of_many)?,
        false => media::accept_custom(&call.parts.headers, of_many)?,
    };
    let gzip = respond::takes_gzip(&call.parts.headers) && !pretty::wanted(&call.parts.headers, &call.query);
    let include_object = table::Include::parse(&call.query)?;
    let mut request = read(endpoint, call).await?;
    request.warn(deprecation(&request.endpoint).map(str::to_owned));
    let mut outcome = operate(server, &request, &verb).await;
    if outcome.as_ref().is_err_and(Error::is_not_found)
        && let Some(successor) = successor(server, &request.endpoint).await
    {
        request.endpoint = successor;
        outcome = operate(server, &request, &verb).await;
    }
    let answered = match outcome {
        Ok(outcome) => finish(server, &request, outcome, accepted, include_object, gzip),
        Err(error) => Err(error),
    };
    let warnings = request.warnings.into_inner();
    match answered {
        Ok(mut response) => {
            respond::add_warnings(response.headers_mut(), warnings);
            Ok(response)
        }
        Err(error) => Ok(failed(&request.headers, &error, warnings)),
    }
}

/// Whether the resource has what the path and the method ask for.
fn check(endpoint: &Endpoint, call: &Call) -> Result<()> {
    let info = &call.info;
    if !path_fits(endpoint, call) {
        return Err(Error::path_not_found());
    }
    if !is_selected_name(call) {
        check_name(&info.name)?;
    }
    if info.subresource.is_empty() {
        return match allowed(endpoint, call) {
            true => may_still_create(endpoint, call),
            false => Err(refused(endpoint, call)),
        };
    }
    let row =
        endpoint.info.subresource(&info.subresource).ok_or_else(|| match endpoint.info.is_custom() {
            true => error::not_found(&endpoint.info, &info.name),
            false => Error::path_not_found(),
        })?;
    // Streams judge methods by themselves: an upgrade is a GET or a POST.
    let is_stream = subresources::is_stream(endpoint, &info.subresource);
    match is_stream || row.verbs.iter().any(|verb| *verb == info.verb) && is_plain(&call.parts.method) {
        true => Ok(()),
        false => Err(error::method_not_allowed()),
    }
}

/// The endpoint that took the place of one whose definition changed while a request was under way.
async fn successor(server: &Server, endpoint: &Endpoint) -> Option<Arc<Endpoint>> {
    /// The old one is closed a moment before the new one is there.
    const LOOKS: usize = 100;
    let info = &endpoint.info;
    for _ in 0..LOOKS {
        if !endpoint.is_retired() {
            return None;
        }
        let found = server.registry.endpoint(&info.group, &info.version, &info.plural)?;
        if !found.is_retired() {
            return Some(found);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// A name must not be able to lead out of its collection.
fn check_name(name: &str) -> Result<()> {
    let wrong = name::path_segment_rule(name, false);
    match wrong.is_empty() {
        true => Ok(()),
        false => {
            let why = format!("Name parameter invalid: {}: {}", field::quote(name), wrong.join(";"));
            Err(Error::bad_request(why))
        }
    }
}

/// Nothing new comes into being under a definition that is being deleted.
fn may_still_create(endpoint: &Endpoint, call: &Call) -> Result<()> {
    let terminating = endpoint.info.custom.as_ref().is_some_and(|custom| custom.is_terminating());
    if !terminating || call.info.verb != "create" {
        return Ok(());
    }
    let info = &endpoint.info;
    let message = "create not allowed while custom resource definition is terminating";
    Err(Error::method_not_supported(&info.group, &info.plural, "create").with_message(message))
}

/// Reads the body, and makes of the call what the registry works on.
async fn read(endpoint: Arc<Endpoint>, call: Call) -> Result<Request> {
    let Call { parts, body, info, query, user } = call;
    let body = match parts.method {
        Method::GET => Bytes::new(),
        _ => body::read(body).await?,
    };
    let in_collection = matches!(info.verb.as_str(), "list" | "watch" | "deletecollection" | "create")
        && info.subresource.is_empty();
    // A namespace's own name is not the namespace that it is in.
    let is_namespace = info.resource == "namespaces" && info.group.is_empty();
    Ok(Request {
        endpoint,
        namespace: if is_namespace { String::new() } else { info.namespace },
        name: if in_collection { String::new() } else { info.name },
        subresource: info.subresource,
        user,
        query,
        headers: parts.headers,
        body,
        internal: false,
        warnings: Mutex::default(),
        annotations: Annotations::default(),
    })
}

fn failed(headers: &HeaderMap, error: &Error, warnings: Vec<String>) -> Response<Body> {
    let mut response = respond::error(error, media::accept_for_error(headers));
    respond::add_warnings(response.headers_mut(), warnings);
    response
}

async fn operate(server: &Arc<Server>, request: &Request, verb: &str) -> Result<Outcome> {
    let registry = &server.registry;
    if let Some(handled) = subresources::operate(server, request, verb).await {
        return handled;
    }
    match verb {
        "get" => registry.get(request).await,
        "list" => registry.list(request).await,
        "watch" => registry.watch(request).await,
        "create" => registry.create(request).await,
        "update" => registry.update(request).await,
        "patch" => registry.patch(request).await,
        "delete" => registry.delete(request).await,
        "deletecollection" => registry.delete_collection(request).await,
        _ => Err(error::method_not_allowed()),
    }
}

fn finish(
    server: &Server,
    request: &Request,
    outcome: Outcome,
    accepted: Accepted,
    include_object: table::Include,
    gzip: bool,
) -> Result<Response<Body>> {
    match outcome {
        Outcome::Watch(outcome) => Ok(watch::stream(
            Arc::clone(&request.endpoint),
            accepted,
            include_object,
            *outcome,
            server.shutdown.clone(),
        )),
        outcome => Renderer { endpoint: &request.endpoint, accepted, include_object, gzip }.render(outcome),
    }
}

/// Built-in versions are told apart from all else: anything else may be served one day by somebody.
fn not_served(server: &Server, call: &Call) -> Result<Response<Body>> {
    if !server.definitions.ready() {
        let why =
            "the request has been made before all known HTTP paths have been installed, please try again";
        return Err(Error::service_unavailable(why).with_retry_after(1));
    }
    let built_in = server.registry.endpoints().iter().any(|endpoint| {
        let info = &endpoint.info;
        info.group == call.info.group && info.version == call.info.version && !info.is_custom()
    });
    match built_in || call.info.group.is_empty() {
        true => Err(Error::path_not_found()),
        false => Ok(page_not_found()),
    }
}

fn path_fits(endpoint: &Endpoint, call: &Call) -> bool {
    let info = &call.info;
    let named = !info.name.is_empty() && !is_selected_name(call);
    if !info.rest.is_empty() && info.subresource != "proxy" {
        return false;
    }
    match (endpoint.info.namespaced, info.in_namespace_path) {
        (true, false) => {
            !named
                && matches!(
                    info.verb.as_str(),
                    "list" | "watch" | "create" | "deletecollection" | "update" | "patch" | ""
                )
        }
        (false, true) => false,
        _ => true,
    }
}

/// Custom resources exist at fewer paths: what is not there is not there in any way.
fn custom_path_fits(endpoint: &Endpoint, call: &Call) -> bool {
    let across = endpoint.info.namespaced && !call.info.in_namespace_path;
    path_fits(endpoint, call) && (!across || matches!(call.info.verb.as_str(), "list" | "watch"))
}

/// Whether the request's name comes from a field selector, not from the path.
fn is_selected_name(call: &Call) -> bool {
    matches!(call.info.verb.as_str(), "list" | "deletecollection" | "watch")
        && call.info.subresource.is_empty()
}

fn is_plain(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::POST | Method::PUT | Method::PATCH | Method::DELETE)
}

fn allowed(endpoint: &Endpoint, call: &Call) -> bool {
    let info = &call.info;
    let across = endpoint.info.namespaced && !info.in_namespace_path;
    let in_collection = info.name.is_empty() || is_selected_name(call);
    let fits = match info.verb.as_str() {
        "list" | "watch" => true,
        "create" | "deletecollection" => !across && in_collection,
        "get" | "update" | "patch" | "delete" => !in_collection,
        _ => false,
    };
    fits && is_plain(&call.parts.method) && endpoint.info.has_verb(&info.verb)
}

fn refused(endpoint: &Endpoint, call: &Call) -> Error {
    if endpoint.info.is_custom() {
        return Error::method_not_supported(&endpoint.info.group, &endpoint.info.plural, &call.info.verb);
    }
    // Lists without watches are told by the registry upstream, hence other words.
    if call.info.verb == "watch" && endpoint.info.has_verb("list") {
        return Error::method_not_supported(&endpoint.info.group, &endpoint.info.plural, "watch");
    }
    error::method_not_allowed()
}

/// What the users of a deprecated kind are told with every answer.
fn deprecation(endpoint: &Endpoint) -> Option<&str> {
    if let Some(custom) = &endpoint.info.custom {
        return Some(custom.deprecation.as_str()).filter(|text| !text.is_empty());
    }
    match (&*endpoint.info.group, &*endpoint.info.plural) {
        ("", "componentstatuses") => Some("v1 ComponentStatus is deprecated in v1.19+"),
        ("", "endpoints") => {
            Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
        }
        _ => None,
    }
}
