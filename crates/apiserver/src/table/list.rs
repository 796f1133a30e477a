//! The Table of a list, printed while it is sent.

use std::sync::Arc;

use ::storage::Object;
use bytes::Bytes;
use serde_json::Value;

use super::{Include, Printer, columns};
use crate::error::{Error, Result};
use crate::registry::Endpoint;

/// Rows are joined into pieces of about this size.
const CHUNK: usize = 32 * 1024;

/// The Table of a list, as pieces of JSON that are made when they are asked for.
pub fn list(
    endpoint: Arc<Endpoint>,
    version: &str,
    metadata: &Value,
    objects: Vec<Arc<Object>>,
    include: Include,
) -> ListRows {
    let definitions = columns::definitions(&endpoint.info);
    let head = format!(
        r#"{{"kind":"Table","apiVersion":"meta.k8s.io/{version}","metadata":{metadata},"columnDefinitions":{definitions},"rows":["#
    );
    let partial_head = format!(r#"{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/{version}","#);
    ListRows {
        printer: Printer::of(&endpoint.info, &endpoint.hub),
        partial_head: partial_head.into(),
        endpoint,
        include,
        head: Some(head),
        objects: objects.into_iter(),
        first: true,
        done: false,
    }
}

/// See [`list`]. Ends early, with the JSON incomplete, when an object cannot be converted.
pub struct ListRows {
    printer: Printer,
    partial_head: Bytes,
    endpoint: Arc<Endpoint>,
    include: Include,
    head: Option<String>,
    objects: std::vec::IntoIter<Arc<Object>>,
    first: bool,
    done: bool,
}

impl ListRows {
    fn write_row(&self, out: &mut Vec<u8>, object: &Object) -> Result<()> {
        let printed = match self.endpoint.info.is_custom() {
            true => self.endpoint.value(object)?,
            false => self.printer.parts.parse(object.json()).map_err(Error::internal)?,
        };
        let row = self.printer.row(&printed);
        serde_json::to_writer(&mut *out, &row).map_err(Error::internal)?;
        // The row is an object with members; the embedded object goes in before its closing brace.
        out.pop();
        out.extend_from_slice(b",\"object\":");
        let (head, json) = match self.include {
            Include::None => {
                out.extend_from_slice(b"null}");
                return Ok(());
            }
            Include::Metadata => (&self.partial_head, self.endpoint.metadata(object)?),
            Include::Object => (&self.endpoint.head, self.endpoint.json(object)?),
        };
        out.extend_from_slice(head);
        out.extend_from_slice(&json[1..]);
        out.push(b'}');
        Ok(())
    }
}

impl Iterator for ListRows {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.done {
            return None;
        }
        let mut out = Vec::with_capacity(CHUNK + CHUNK / 4);
        out.extend_from_slice(self.head.take().unwrap_or_default().as_bytes());
        while out.len() < CHUNK {
            let Some(object) = self.objects.next() else {
                out.extend_from_slice(b"]}\n");
                self.done = true;
                break;
            };
            if !std::mem::take(&mut self.first) {
                out.push(b',');
            }
            if let Err(error) = self.write_row(&mut out, &object) {
                tracing::error!(%error, resource = %self.endpoint.info.plural, "printing a list as a Table");
                self.done = true;
                break;
            }
        }
        Some(out.into())
    }
}
