//! Defaults: what the apiserver fills in when it reads an object.
//!
//! Constant defaults are data (`schema/defaults.txt`, from observing upstream's defaulter): a value per path, some only
//! below a present parent, some only when a sibling has a certain value. Defaults that depend on other values are functions
//! in `computed`. Order is the upstream one: a struct's own defaults come before those that look at them.

mod computed;
mod table;

use serde_json::Value;

use crate::resource::ResourceInfo;
use crate::schema::Schema;

pub use table::apply_kind;

/// Fills in the defaults of a resource's object in place. Custom resources take `default` from their schema.
pub fn apply(resource: &ResourceInfo, object: &mut Value) {
    apply_schema(&resource.schema, object);
}

/// Fills in the defaults of a type in place.
pub fn apply_schema(schema: &Schema, object: &mut Value) {
    if schema.type_name.is_empty() {
        table::apply_custom(schema, object);
    } else {
        table::apply_kind(&schema.type_name, object);
        computed::apply(&schema.type_name, object);
    }
}
