//! From the selectors of a request to a selection that the storage can look up.

use std::sync::Arc;

use api_types::selector::{FieldSelector, Labels, Selector};
use storage::{Object, Selection};

use super::Endpoint;
use crate::error::{Error, Result};

/// A parsed pair of selectors.
#[derive(Clone, Debug)]
pub struct Selectors {
    labels: Selector,
    fields: FieldSelector,
}

impl Selectors {
    /// Parses and checks the selectors of a request against the fields that the resource has.
    ///
    /// # Errors
    /// `BadRequest`, worded as upstream words it.
    pub fn parse(endpoint: &Endpoint, labels: &str, fields: &str) -> Result<Self> {
        let parse_error = |error: api_types::selector::ParseError| Error::bad_request(error.to_string());
        let labels = Selector::parse(labels).map_err(parse_error)?;
        let fields = FieldSelector::parse(fields).map_err(parse_error)?;
        for requirement in fields.requirements() {
            check_field(endpoint, &requirement.field)?;
        }
        Ok(Selectors { labels, fields })
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// The name that a field selector asks for.
    pub fn name(&self) -> Option<&str> {
        self.fields.exact_value("metadata.name")
    }

    /// The selection within a namespace ("" for all), looked up by name or index where a term allows it.
    pub fn selection(self, endpoint: &Endpoint, namespace: &str) -> Selection {
        let mut selection = Selection::all().namespace(namespace);
        if namespace.is_empty()
            && let Some(wanted) = self.fields.exact_value("metadata.namespace")
        {
            selection = selection.namespace(wanted);
        }
        if let Some(name) = self.name() {
            selection = selection.name(name);
        }
        if endpoint.has_store()
            && let Ok(store) = endpoint.store()
        {
            let indexed = store.config().fields.iter().enumerate().filter(|(_, field)| field.indexed);
            for (slot, field) in indexed {
                if let Some(value) = self.fields.exact_value(&field.label) {
                    selection = selection.indexed(slot, value);
                }
            }
        }
        if self.is_everything() {
            return selection;
        }
        let selectors = Arc::new(self);
        selection.matching(move |object| selectors.matches(object))
    }

    fn matches(&self, object: &Object) -> bool {
        self.labels.matches(&ObjectLabels(object))
            && self.fields.matches(|field| object.field(field).unwrap_or_default())
    }
}

struct ObjectLabels<'a>(&'a Object);

impl Labels for ObjectLabels<'_> {
    fn label(&self, key: &str) -> Option<&str> {
        self.0.label(key)
    }
}

fn check_field(endpoint: &Endpoint, field: &str) -> Result<()> {
    let known = |label: &str| matches!(label, "metadata.name" | "metadata.namespace");
    if known(field) || endpoint.info.selectable_fields.iter().any(|f| f.label == field) {
        return Ok(());
    }
    let message = match endpoint.info.selectable_fields.iter().all(|f| known(&f.label)) {
        _ if endpoint.info.is_custom() => format!("field label not supported: {field}"),
        true => {
            format!(
                "\"{field}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            )
        }
        false if &*endpoint.info.kind == "Job" => format!("field label \"{field}\" not supported for Job"),
        false => format!("field label not supported: {field}"),
    };
    Err(Error::bad_request(message))
}
