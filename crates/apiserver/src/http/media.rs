//! Media types: what a client sends and what it accepts.
//!
//! `Accept` may ask for another form of the object (`;as=Table;v=v1;g=meta.k8s.io`), as the API concepts describe under
//! "Receiving resources as Tables" and "Metadata-only". Clauses are tried in order of their `q`; a clause that cannot be
//! served is passed over.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

use crate::error::{self, Error, Result};

/// A serialisation of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
    /// `application/vnd.kubernetes.protobuf`
    Protobuf,
}

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const STREAMS: &str = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
const ALL: [&str; 3] = [JSON, YAML, PROTOBUF];

impl Format {
    /// The value of `Content-Type` for one object.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Json => JSON,
            Format::Yaml => YAML,
            Format::Protobuf => PROTOBUF,
        }
    }

    fn parse(media_type: &str) -> Option<Self> {
        match media_type {
            JSON | "*/*" => Some(Format::Json),
            YAML => Some(Format::Yaml),
            PROTOBUF => Some(Format::Protobuf),
            _ => None,
        }
    }
}

/// Another form in which the client wants the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Columns and cells, for printing.
    Table,
    /// `kind`, `apiVersion` and `metadata` only.
    Metadata,
    /// A list of those.
    MetadataList,
}

/// What one response will look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The serialisation.
    pub format: Format,
    /// Another form than the object itself, with its version (`v1` or `v1beta1`).
    pub shape: Option<(Shape, &'static str)>,
    /// Whether JSON is indented for people.
    pub pretty: bool,
}

impl Accepted {
    /// Plain JSON.
    pub const JSON: Accepted = Accepted { format: Format::Json, shape: None, pretty: false };
}

/// What to answer a request for objects with; a watch has streaming types too, which its refusal lists.
///
/// # Errors
/// `NotAcceptable`, in two wordings: no clause names a known type; or those that do ask for an unknown form.
pub fn accept(headers: &HeaderMap, shapes_allowed: bool, watch: bool) -> Result<Accepted> {
    choose(headers, shapes_allowed, watch, true)
}

/// The same for custom resources, which have no protobuf form of their own.
///
/// # Errors
/// As [`accept`].
pub fn accept_custom(headers: &HeaderMap, watch: bool) -> Result<Accepted> {
    choose(headers, true, watch, false)
}

fn choose(headers: &HeaderMap, shapes_allowed: bool, watch: bool, has_protobuf: bool) -> Result<Accepted> {
    let clauses = clauses(headers);
    if clauses.is_empty() {
        return Ok(Accepted::JSON);
    }
    let mut known = false;
    for clause in &clauses {
        let Some(format) = Format::parse(clause.media_type) else { continue };
        known = true;
        let shape = clause.shape(format, shapes_allowed);
        if let Some(shape) =
            shape.filter(|shape| has_protobuf || format != Format::Protobuf || shape.is_some())
        {
            return Ok(Accepted { format, shape, pretty: clause.param("pretty").is_some_and(|v| v == "1") });
        }
    }
    match known {
        true => Err(Error::not_acceptable(&ALL)),
        false if watch => Err(error::not_acceptable_http(&format!("{}, {STREAMS}", ALL.join(", ")))),
        false => Err(error::not_acceptable_http(&ALL.join(", "))),
    }
}

/// The serialisation for an error: the client's choice where it can be had, else JSON.
pub fn accept_for_error(headers: &HeaderMap) -> Format {
    accept(headers, true, false).map_or(Format::Json, |accepted| accepted.format)
}

/// The clauses of all `Accept` headers, best first; equals keep their order.
fn clauses(headers: &HeaderMap) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|clause| !clause.trim().is_empty())
        .map(Clause::parse)
        .collect();
    clauses.sort_by(|a, b| b.q.total_cmp(&a.q));
    clauses
}

/// One clause of an `Accept` header.
pub struct Clause<'a> {
    /// The media type without parameters.
    pub media_type: &'a str,
    params: Vec<(&'a str, &'a str)>,
    q: f32,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let params: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
        let q = params.iter().find(|(k, _)| *k == "q").and_then(|(_, v)| v.parse().ok()).unwrap_or(1.0);
        Clause { media_type, params, q }
    }

    /// The value of a parameter.
    pub fn param(&self, key: &str) -> Option<&'a str> {
        self.params.iter().find(|(k, _)| *k == key).map(|(_, v)| *v)
    }

    /// `Some(None)` for the object itself, `Some(Some(…))` for a known form, `None` where the form cannot be served.
    fn shape(&self, format: Format, allowed: bool) -> Option<Option<(Shape, &'static str)>> {
        let Some(kind) = self.param("as") else { return Some(None) };
        let version = match self.param("v") {
            Some("v1") => "v1",
            Some("v1beta1") => "v1beta1",
            _ => return None,
        };
        let shape = match kind {
            "Table" if format != Format::Protobuf => Shape::Table,
            "PartialObjectMetadata" => Shape::Metadata,
            "PartialObjectMetadataList" => Shape::MetadataList,
            _ => return None,
        };
        (allowed && self.param("g") == Some("meta.k8s.io")).then_some(Some((shape, version)))
    }
}

/// All clauses of the request's `Accept` headers, for handlers that serve other things than objects.
pub fn accept_clauses(headers: &HeaderMap) -> Vec<Clause<'_>> {
    clauses(headers)
}

/// The serialisation of a request's body. An absent type is JSON.
///
/// # Errors
/// `UnsupportedMediaType`
pub fn body_format(headers: &HeaderMap) -> Result<Format> {
    match content_type(headers) {
        "" | JSON => Ok(Format::Json),
        YAML => Ok(Format::Yaml),
        PROTOBUF => Ok(Format::Protobuf),
        _ => Err(Error::unsupported_media_type(&ALL)),
    }
}

/// The request's media type without parameters, or "".
pub fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests;
