//! The Table form: columns and cells for printing (`kubectl get`).
//!
//! ```text
//!  ResourceInfo.columns ─► definitions ─┐
//!  stored object ─► cells (one function per resource, in files by family) ─► rows ─► Table
//! ```
//!
//! Cells are made from the stored version, whatever version is asked for, so each resource is printed by one function. A
//! printer is a pure function of the object and the present moment. Lists are printed while they are sent, object by
//! object: at no time is more than one of them parsed.

mod admission;
mod cluster;
mod columns;
mod config;
mod custom;
mod devices;
mod identity;
mod list;
mod networking;
mod pods;
mod scaling;
mod services;
mod sparse;
mod storage;
#[cfg(test)]
mod tests;
mod view;
mod workloads;

use std::borrow::Cow;

use api_types::field::quote;
use api_types::resource::ResourceInfo;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::http::query::Query;
use crate::http::respond::with_kind;
use crate::registry::Endpoint;
pub use list::list;
use view::View;

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
/// An object cannot be converted to the stored version.
pub fn render(
    endpoint: &Endpoint,
    version: &str,
    metadata: Value,
    objects: Vec<Value>,
    include: Include,
    columns: bool,
) -> Result<Value> {
    let printer = Printer::of(&endpoint.info, &endpoint.hub);
    let definitions = if columns { columns::definitions(&endpoint.info) } else { Value::Null };
    let rows = objects.into_iter().map(|object| {
        // The columns of a custom resource are those of the served version.
        let printed = match endpoint.info.is_custom() {
            true => Cow::Borrowed(&object),
            false => endpoint.to_hub(&object)?,
        };
        let mut row = printer.row(&printed);
        row["object"] = match include {
            Include::None => Value::Null,
            Include::Metadata => partial(version, &object),
            Include::Object => with_kind(&endpoint.info, object),
        };
        Ok(row)
    });
    Ok(table(version, metadata, definitions, rows.collect::<Result<_>>()?))
}

/// The Table of an object that is not of the requested resource: a Scale. Nothing else has columns.
pub fn foreign(version: &str, object: &Value, include: Include) -> Option<Value> {
    if object["kind"] != "Scale" {
        return None;
    }
    let view = View { object, now: Timestamp::now() };
    let embedded = match include {
        Include::None => Value::Null,
        Include::Metadata => partial(version, object),
        Include::Object => object.clone(),
    };
    let row = json!({ "cells": scaling::scale(&view), "object": embedded });
    let metadata = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
    Some(table(version, metadata, columns::scale(), vec![row]))
}

/// Makes the cells of one resource's objects.
struct Printer {
    cells: Cells,
    /// What the printer reads of an object, in the stored version.
    parts: sparse::Parts,
    conditions: fn(&View<'_>) -> Option<Value>,
    now: Timestamp,
}

enum Cells {
    Builtin(fn(&View<'_>) -> Vec<Value>),
    Custom(custom::Columns),
}

impl Printer {
    fn of(info: &ResourceInfo, hub: &ResourceInfo) -> Self {
        let cells = match info.is_custom() {
            true => Cells::Custom(custom::Columns::of(info)),
            false => Cells::Builtin(builtin(&hub.group, &hub.plural).unwrap_or(created_at)),
        };
        let (conditions, parts): (fn(&View<'_>) -> Option<Value>, _) =
            match hub.group.is_empty() && hub.plural == "pods" {
                true => (pods::conditions, pods::PARTS),
                false => (|_| None, sparse::USUAL),
            };
        Printer { cells, parts, conditions, now: Timestamp::now() }
    }

    fn row(&self, object: &Value) -> Value {
        let view = View { object, now: self.now };
        let cells = match &self.cells {
            Cells::Builtin(cells) => cells(&view),
            Cells::Custom(columns) => columns.cells(&view),
        };
        match (self.conditions)(&view) {
            None => json!({ "cells": cells }),
            Some(conditions) => json!({ "cells": cells, "conditions": conditions }),
        }
    }
}

/// The function that prints a built-in resource.
fn builtin(group: &str, plural: &str) -> Option<fn(&View<'_>) -> Vec<Value>> {
    let families = [
        pods::PRINTERS,
        workloads::PRINTERS,
        scaling::PRINTERS,
        services::PRINTERS,
        networking::PRINTERS,
        cluster::PRINTERS,
        config::PRINTERS,
        storage::PRINTERS,
        identity::PRINTERS,
        admission::PRINTERS,
        devices::PRINTERS,
    ];
    let mut rows = families.into_iter().flatten();
    rows.find(|(g, p, _)| *g == group && *p == plural).map(|(_, _, cells)| *cells)
}

/// A row of a family's table: group, plural, cells.
type PrinterRow = (&'static str, &'static str, fn(&View<'_>) -> Vec<Value>);

/// The cells of a resource without columns of its own: name and time of creation.
fn created_at(view: &View<'_>) -> Vec<Value> {
    let created = match view.text("metadata.creationTimestamp") {
        // Go's zero time.
        "" => "0001-01-01T00:00:00Z",
        created => created,
    };
    view::cells![view.name(), created]
}

fn partial(version: &str, object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": object["metadata"],
    })
}

fn table(version: &str, metadata: Value, definitions: Value, rows: Vec<Value>) -> Value {
    json!({
        "kind": "Table",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    })
}
