//! The Table form: columns and cells for printing.

use api_types::field::quote;
use api_types::resource::ResourceInfo;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::http::query::Query;

/// What accompanies the cells of each row (`includeObject`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    /// The object's metadata.
    #[default]
    Metadata,
    /// The whole object.
    Object,
    /// Nothing.
    None,
}

impl Include {
    /// Reads the query.
    ///
    /// # Errors
    /// `BadRequest` for an unknown value.
    pub fn parse(query: &Query) -> Result<Self> {
        match query.text("includeObject") {
            "" | "Metadata" => Ok(Include::Metadata),
            "Object" => Ok(Include::Object),
            "None" => Ok(Include::None),
            other => Err(Error::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {}: must be 'Metadata', 'Object', 'None', or empty",
                quote(other)
            ))),
        }
    }
}

/// A Table of objects in the served version. `columns` says whether the definitions are part of it.
///
/// # Errors
/// None so far; printers of single kinds may refuse objects.
pub fn render(
    info: &ResourceInfo,
    version: &str,
    metadata: Value,
    objects: Vec<Value>,
    include: Include,
    columns: bool,
) -> Result<Value> {
    let api_version = format!("meta.k8s.io/{version}");
    let definitions: Vec<Value> = match columns {
        true => vec![
            json!({"name": "Name", "type": "string", "format": "name", "description": "Name of the object", "priority": 0}),
            json!({"name": "Created At", "type": "date", "format": "", "description": "Time of creation", "priority": 0}),
        ],
        false => Vec::new(),
    };
    let rows: Vec<Value> = objects
        .into_iter()
        .map(|object| {
            let cells = json!([object["metadata"]["name"], object["metadata"]["creationTimestamp"]]);
            match include {
                Include::None => json!({ "cells": cells }),
                Include::Metadata => json!({"cells": cells, "object": {
                    "kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": object["metadata"],
                }}),
                Include::Object => {
                    json!({ "cells": cells, "object": crate::http::respond::with_kind(info, object) })
                }
            }
        })
        .collect();
    Ok(json!({
        "kind": "Table",
        "apiVersion": api_version,
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    }))
}
