//! Defaults: what the apiserver fills in when it reads an object.
//!
//! Constant defaults are data (`schema/defaults.txt`, made from observing upstream's defaulter): a value per type and field,
//! some only when a sibling has a certain value. Defaults that depend on other values are functions of the type in
//! `computed`. One walk applies both, an owner before what it contains, because owners make structs that have defaults of
//! their own. Custom resources take `default` from their schema, by the rules of
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#defaulting>.
//!
//! The object is in the printed form that [`crate::decode`] makes, and stays so.

mod computed;
mod custom;
mod table;

use serde_json::Value;

use crate::resource::ResourceInfo;
use crate::schema::Schema;

/// Fills in the defaults of a resource's object in place.
pub fn apply(resource: &ResourceInfo, object: &mut Value) {
    apply_schema(&resource.schema, object);
}

/// Fills in the defaults of a type in place.
pub fn apply_schema(schema: &Schema, object: &mut Value) {
    if schema.custom.is_some() {
        custom::apply(schema, object);
    } else {
        table::apply(schema, object);
    }
}
