//! get and list.

use http::StatusCode;
use storage::{Freshness, ListAt, ListQuery};

use super::Registry;
use super::endpoint::storage_error;
use super::options::{ListOptions, VersionMatch};
use super::request::{Item, Outcome, Request};
use super::selection::Selectors;
use crate::error::{self, Error, Result};

impl Registry {
    /// One object.
    ///
    /// # Errors
    /// `NotFound`, `BadRequest` for a malformed resource version, failures of storage.
    pub async fn get(&self, request: &Request) -> Result<Outcome> {
        let endpoint = &request.endpoint;
        let freshness = match request.query.text("resourceVersion") {
            "" => Freshness::Latest,
            version => freshness(version)?,
        };
        let object = endpoint.store()?.get(&request.namespace, &request.name, freshness).await;
        match object.map_err(storage_error)? {
            Some(object) => {
                endpoint.prepare(std::slice::from_ref(&object)).await?;
                Ok(Outcome::Object(StatusCode::OK, Item::Stored(object)))
            }
            None => Err(error::not_found(&endpoint.info, &request.name)),
        }
    }

    /// One page of a collection.
    ///
    /// # Errors
    /// `BadRequest` for malformed selectors, versions or tokens, `Expired`, failures of storage.
    pub async fn list(&self, request: &Request) -> Result<Outcome> {
        let options = ListOptions::parse(&request.query, false)?;
        let query = list_query(request, &options)?;
        let page = request.endpoint.store()?.list(&query).await.map_err(storage_error)?;
        request.endpoint.prepare(&page.items).await?;
        Ok(Outcome::List(page))
    }
}

/// The storage's form of a list request.
///
/// # Errors
/// `BadRequest`
pub fn list_query(request: &Request, options: &ListOptions) -> Result<ListQuery> {
    let selectors = Selectors::parse(&request.endpoint, &options.label_selector, &options.field_selector)?;
    let continued = !options.continue_token.is_empty();
    let at = match (options.resource_version.as_str(), options.version_match) {
        ("", _) => ListAt::Fresh(Freshness::Latest),
        (version, _) if continued && version != "0" => {
            parse_version(version)?;
            return Err(Error::bad_request("specifying resource version is not allowed when using continue"));
        }
        (version, Some(VersionMatch::Exact)) => ListAt::Exact(parse_version(version)?),
        // A limited list at a version, without a match, is exact: so old clients page consistently.
        (version, None) if options.limit > 0 && version != "0" => ListAt::Exact(parse_version(version)?),
        (version, _) => ListAt::Fresh(freshness(version)?),
    };
    Ok(ListQuery {
        selection: selectors.selection(&request.endpoint, &request.namespace),
        at,
        limit: usize::try_from(options.limit).unwrap_or(0),
        continue_token: continued.then(|| options.continue_token.clone()),
    })
}

fn freshness(version: &str) -> Result<Freshness> {
    Ok(match parse_version(version)? {
        0 => Freshness::Any,
        revision => Freshness::AtLeast(revision),
    })
}

/// A resource version as a revision.
///
/// # Errors
/// `BadRequest`, in the words of the number's parser.
pub fn parse_version(version: &str) -> Result<i64> {
    version_number(version).map_err(|why| Error::bad_request(format!("invalid resource version: {why}")))
}

/// A resource version as a revision, or the sentence that says what is wrong with it.
///
/// # Errors
/// The sentence.
pub fn version_number(version: &str) -> std::result::Result<i64, String> {
    match version.parse::<u64>().ok().and_then(|v| i64::try_from(v).ok()) {
        Some(revision) => Ok(revision),
        None => Err(format!(
            "resourceVersion: Invalid value: {0}: strconv.ParseUint: parsing {0}: invalid syntax",
            api_types::field::quote(version)
        )),
    }
}
