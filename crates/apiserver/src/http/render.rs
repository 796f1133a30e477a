//! From what came of a request to a resource to an HTTP response, in the form that the client accepts.
//!
//! JSON of stored objects is spliced from shared slices. Every other form (protobuf, metadata only, another version) is
//! made once per object and shared; tables and YAML are made per response.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::{Response, StatusCode};
use serde_json::{Value, json};
use storage::Page;

use super::body::{self, Body};
use super::list::Chunks;
use super::media::{Accepted, Format, Shape};
use super::respond::{encoded, gzip, mark_gzip, response, with_kind};
use crate::error::{Error, Result};
use crate::registry::{Endpoint, Item, Outcome};
use crate::table;

/// Bodies of at least this size are compressed for clients that ask for it.
const GZIP_FROM: usize = 128 * 1024;

/// How one response is made.
pub struct Renderer<'a> {
    /// The resource.
    pub endpoint: &'a Arc<Endpoint>,
    /// What the client accepts.
    pub accepted: Accepted,
    /// The table option `includeObject`.
    pub include_object: table::Include,
    /// Whether the client takes gzip.
    pub gzip: bool,
}

impl Renderer<'_> {
    /// The response to whatever came of the request, except watches.
    ///
    /// # Errors
    /// `NotAcceptable` where a single form was asked for a list or the reverse; failures of encoding.
    pub fn render(&self, outcome: Outcome) -> Result<Response<Body>> {
        match outcome {
            Outcome::Object(code, item) => self.object(code, item),
            Outcome::Foreign(code, value) => {
                let table = match self.accepted.shape {
                    Some((Shape::Table, version)) => table::foreign(version, &value, self.include_object),
                    _ => None,
                };
                Ok(encoded(code, self.accepted.format, &table.unwrap_or(value)))
            }
            Outcome::Status(code, value) => Ok(encoded(code, self.accepted.format, &value)),
            Outcome::List(page) => self.list(&page),
            Outcome::MadeList(items) => self.made_list(items),
            Outcome::Watch(_) => Err(Error::internal("a watch is streamed, not rendered")),
        }
    }

    fn object(&self, code: StatusCode, item: Item) -> Result<Response<Body>> {
        // Answers that are not stored (reviews) have no columns, and are sent as they are.
        let plain = !self.endpoint.has_store() && self.endpoint.info.columns.is_empty();
        if let Some((shape, version)) = self.accepted.shape.filter(|_| !plain) {
            return self.shaped_object(code, &item, shape, version);
        }
        let content_type = self.accepted.format.content_type();
        match (self.accepted.format, item) {
            (Format::Json, Item::Stored(object)) if !self.accepted.pretty => {
                let json = self.endpoint.json(&object)?;
                Ok(response(code, content_type, body::full(self.spliced(&json))))
            }
            (Format::Protobuf, item) if self.endpoint.has_protobuf() => {
                let raw = match item {
                    Item::Stored(object) => self.endpoint.protobuf(&object)?,
                    Item::Made(value) => self.endpoint.encode_protobuf(&value)?,
                };
                let info = &self.endpoint.info;
                let bytes = api_types::codec::wrap(&info.api_version(), &info.kind, &raw);
                Ok(response(code, content_type, body::full(bytes)))
            }
            (_, item) => {
                let value = self.with_kind(self.value(&item)?);
                if self.accepted.pretty && self.accepted.format == Format::Json {
                    let text = serde_json::to_string_pretty(&value).map_err(Error::internal)?;
                    return Ok(response(code, content_type, body::full(text)));
                }
                Ok(encoded(code, self.accepted.format, &value))
            }
        }
    }

    fn shaped_object(
        &self,
        code: StatusCode,
        item: &Item,
        shape: Shape,
        version: &'static str,
    ) -> Result<Response<Body>> {
        let value = match shape {
            Shape::MetadataList => {
                return Err(not_this_shape(format!(
                    "you requested PartialObjectMetadataList, but the requested object is not a list (*{})",
                    go_type(self.endpoint, "")
                )));
            }
            Shape::Metadata => {
                let value = self.value(item)?;
                json!({
                    "kind": "PartialObjectMetadata",
                    "apiVersion": format!("meta.k8s.io/{version}"),
                    "metadata": value["metadata"],
                })
            }
            Shape::Table => {
                let value = self.value(item)?;
                let meta = json!({ "resourceVersion": value["metadata"]["resourceVersion"] });
                self.table(version, meta, vec![value], true)?
            }
        };
        Ok(encoded(code, self.accepted.format, &value))
    }

    fn list(&self, page: &Page) -> Result<Response<Body>> {
        if let Some((shape, version)) = self.accepted.shape {
            return self.shaped_list(page, shape, version);
        }
        match self.accepted.format {
            Format::Json if !self.accepted.pretty => self.json_list(page),
            Format::Protobuf if self.endpoint.has_protobuf() => {
                let items: Vec<Bytes> =
                    page.items.iter().map(|o| self.endpoint.protobuf(o)).collect::<Result<_>>()?;
                let token = page.continue_token.as_deref().unwrap_or_default();
                let revision = page.revision.to_string();
                let raw = api_types::codec::encode_list(
                    items.iter().map(|item| &item[..]),
                    &revision,
                    token,
                    page.remaining,
                );
                let info = &self.endpoint.info;
                let bytes = api_types::codec::wrap(&info.api_version(), &info.list_kind, &raw);
                Ok(self.sized(
                    response(StatusCode::OK, Format::Protobuf.content_type(), body::empty()),
                    bytes.into(),
                ))
            }
            format => {
                let items: Vec<Value> =
                    page.items.iter().map(|o| self.endpoint.value(o)).collect::<Result<_>>()?;
                let info = &self.endpoint.info;
                let list = json!({
                    "kind": info.list_kind,
                    "apiVersion": info.api_version(),
                    "metadata": self.list_meta(page),
                    "items": items,
                });
                Ok(encoded(StatusCode::OK, format, &list))
            }
        }
    }

    /// `{"kind":…,"metadata":…,"items":[` and the cache's own bytes.
    fn json_list(&self, page: &Page) -> Result<Response<Body>> {
        let info = &self.endpoint.info;
        let head = format!(
            r#"{{"kind":"{}","apiVersion":"{}","metadata":{},"items":["#,
            info.list_kind,
            info.api_version(),
            self.list_meta(page)
        );
        let with_kind = !self.endpoint.has_protobuf();
        let items: Vec<Bytes> = page.items.iter().map(|o| self.endpoint.json(o)).collect::<Result<_>>()?;
        let head_of_item = if with_kind { self.endpoint.head.clone() } else { Bytes::new() };
        let chunks = Chunks::new(head.into(), items, head_of_item);
        let mut response = response(StatusCode::OK, Format::Json.content_type(), body::empty());
        let total: usize = page.items.iter().map(|o| o.json().len()).sum();
        if self.gzip && total >= GZIP_FROM {
            let all: Vec<Bytes> = chunks.collect();
            let compressed = gzip(&all)?;
            mark_gzip(response.headers_mut());
            *response.body_mut() = body::full(compressed);
        } else {
            *response.body_mut() = body::stream(futures::stream::iter(chunks));
        }
        Ok(response)
    }

    fn shaped_list(&self, page: &Page, shape: Shape, version: &'static str) -> Result<Response<Body>> {
        match shape {
            Shape::Metadata => {
                return Err(not_this_shape(format!(
                    "you requested PartialObjectMetadata, but the requested object is a list (*{})",
                    go_type(self.endpoint, "List")
                )));
            }
            Shape::MetadataList => return self.metadata_list(page, version),
            Shape::Table => {}
        }
        let rows = table::list(
            Arc::clone(self.endpoint),
            version,
            &list_meta(page),
            page.items.clone(),
            self.include_object,
        );
        let mut response = response(StatusCode::OK, Format::Json.content_type(), body::empty());
        if self.accepted.format != Format::Json {
            let json: Vec<Bytes> = rows.collect();
            let value: Value = serde_json::from_slice(&json.concat()).map_err(Error::internal)?;
            return Ok(encoded(StatusCode::OK, self.accepted.format, &value));
        }
        if self.gzip && page.items.iter().map(|o| o.json().len()).sum::<usize>() >= GZIP_FROM {
            mark_gzip(response.headers_mut());
            *response.body_mut() = body::full(gzip(&rows.collect::<Vec<_>>())?);
        } else {
            *response.body_mut() = body::stream(futures::stream::iter(rows));
        }
        Ok(response)
    }

    fn metadata_list(&self, page: &Page, version: &str) -> Result<Response<Body>> {
        let head = format!(
            r#"{{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/{version}","metadata":{},"items":["#,
            self.list_meta(page)
        );
        let items: Vec<Bytes> =
            page.items.iter().map(|o| self.endpoint.metadata(o)).collect::<Result<_>>()?;
        let head_of_item: Bytes =
            format!(r#"{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/{version}","#).into();
        let chunks = Chunks::new(head.into(), items, head_of_item);
        let json: Vec<Bytes> = chunks.collect();
        match self.accepted.format {
            Format::Json => {
                let all: Vec<u8> = json.concat();
                Ok(self
                    .sized(response(StatusCode::OK, Format::Json.content_type(), body::empty()), all.into()))
            }
            format => {
                let value: Value = serde_json::from_slice(&json.concat()).map_err(Error::internal)?;
                Ok(encoded(StatusCode::OK, format, &value))
            }
        }
    }

    /// Lists of custom objects say so when nothing is left, too.
    fn list_meta(&self, page: &Page) -> Value {
        let mut meta = list_meta(page);
        if self.endpoint.info.is_custom() && page.continue_token.is_none() {
            meta["continue"] = "".into();
        }
        meta
    }

    fn made_list(&self, items: Vec<Value>) -> Result<Response<Body>> {
        let info = &self.endpoint.info;
        if let Some((Shape::Table, version)) = self.accepted.shape {
            let table = self.table(version, json!({}), items, true)?;
            return Ok(encoded(StatusCode::OK, self.accepted.format, &table));
        }
        let list = json!({
            "kind": info.list_kind, "apiVersion": info.api_version(), "metadata": {}, "items": items,
        });
        Ok(encoded(StatusCode::OK, self.accepted.format, &list))
    }

    /// The Table form of objects in the served version.
    pub fn table(&self, version: &str, metadata: Value, objects: Vec<Value>, columns: bool) -> Result<Value> {
        table::render(self.endpoint, version, metadata, objects, self.include_object, columns)
    }

    fn spliced(&self, json: &Bytes) -> Bytes {
        let mut out = BytesMut::with_capacity(self.endpoint.head.len() + json.len());
        out.put_slice(&self.endpoint.head);
        out.put_slice(&json[1..]);
        out.put_u8(b'\n');
        out.freeze()
    }

    fn value(&self, item: &Item) -> Result<Value> {
        match item {
            Item::Stored(object) => self.endpoint.value(object),
            Item::Made(value) => Ok(value.clone()),
        }
    }

    fn with_kind(&self, value: Value) -> Value {
        with_kind(&self.endpoint.info, value)
    }

    /// Puts a body that is there as a whole into a response, compressed where that pays.
    fn sized(&self, mut response: Response<Body>, bytes: Bytes) -> Response<Body> {
        *response.body_mut() = match self.gzip && bytes.len() >= GZIP_FROM {
            true => match gzip(std::slice::from_ref(&bytes)) {
                Ok(compressed) => {
                    mark_gzip(response.headers_mut());
                    body::full(compressed)
                }
                Err(_) => body::full(bytes),
            },
            false => body::full(bytes),
        };
        response
    }
}
fn list_meta(page: &Page) -> Value {
    let mut meta = json!({ "resourceVersion": page.revision.to_string() });
    if let Some(token) = &page.continue_token {
        meta["continue"] = token.clone().into();
    }
    if let Some(remaining) = page.remaining {
        meta["remainingItemCount"] = remaining.into();
    }
    meta
}

fn not_this_shape(message: String) -> Error {
    Error::plain(406, api_types::status::reason::NOT_ACCEPTABLE, message)
}

/// How upstream names the type of what it was about to answer with.
fn go_type(endpoint: &Endpoint, suffix: &str) -> String {
    let package = match &*endpoint.info.group {
        "" => "core",
        group => group.split('.').next().unwrap_or_default(),
    };
    format!("{package}.{}{suffix}", endpoint.info.kind)
}
