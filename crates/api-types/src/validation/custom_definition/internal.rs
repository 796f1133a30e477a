//! How upstream prints the versions of a definition in an error: not as the API has them but as its own types, whose
//! fields have Go's names and are all there, and without what the versions share, which its types keep above them.

use serde_json::{Map, Value};

use super::shared;
use crate::field::BadValue;
use crate::validation::get::{items, text};

/// What a field of upstream's type holds, and so how it prints when it is not set.
#[derive(Clone, Copy)]
enum Holds {
    Text,
    Flag,
    /// Anything that prints as it is written.
    Plain,
    Schema,
    Schemas,
    SchemaMap,
    SchemaOrList,
    SchemaOrFlag,
    Fields(&'static [Field]),
    List(&'static [Field]),
}

/// Go's name, the API's name.
type Field = (&'static str, &'static str, Holds);

const SCHEMA: [Field; 43] = {
    use Holds::{Flag, Plain, Schema, SchemaMap, SchemaOrFlag, SchemaOrList, Schemas, Text};
    [
        ("ID", "id", Text),
        ("Schema", "$schema", Text),
        ("Ref", "$ref", Plain),
        ("Description", "description", Text),
        ("Type", "type", Text),
        ("Nullable", "nullable", Flag),
        ("Format", "format", Text),
        ("Title", "title", Text),
        ("Default", "default", Plain),
        ("Maximum", "maximum", Plain),
        ("ExclusiveMaximum", "exclusiveMaximum", Flag),
        ("Minimum", "minimum", Plain),
        ("ExclusiveMinimum", "exclusiveMinimum", Flag),
        ("MaxLength", "maxLength", Plain),
        ("MinLength", "minLength", Plain),
        ("Pattern", "pattern", Text),
        ("MaxItems", "maxItems", Plain),
        ("MinItems", "minItems", Plain),
        ("UniqueItems", "uniqueItems", Flag),
        ("MultipleOf", "multipleOf", Plain),
        ("Enum", "enum", Plain),
        ("MaxProperties", "maxProperties", Plain),
        ("MinProperties", "minProperties", Plain),
        ("Required", "required", Plain),
        ("Items", "items", SchemaOrList),
        ("AllOf", "allOf", Schemas),
        ("OneOf", "oneOf", Schemas),
        ("AnyOf", "anyOf", Schemas),
        ("Not", "not", Schema),
        ("Properties", "properties", SchemaMap),
        ("AdditionalProperties", "additionalProperties", SchemaOrFlag),
        ("PatternProperties", "patternProperties", SchemaMap),
        ("Dependencies", "dependencies", Plain),
        ("AdditionalItems", "additionalItems", SchemaOrFlag),
        ("Definitions", "definitions", SchemaMap),
        ("ExternalDocs", "externalDocs", Plain),
        ("Example", "example", Plain),
        ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields", Plain),
        ("XEmbeddedResource", "x-kubernetes-embedded-resource", Flag),
        ("XIntOrString", "x-kubernetes-int-or-string", Flag),
        ("XListMapKeys", "x-kubernetes-list-map-keys", Plain),
        ("XListType", "x-kubernetes-list-type", Plain),
        ("XMapType", "x-kubernetes-map-type", Plain),
    ]
};
const RULE: [Field; 6] = [
    ("Rule", "rule", Holds::Text),
    ("Message", "message", Holds::Text),
    ("MessageExpression", "messageExpression", Holds::Text),
    ("Reason", "reason", Holds::Plain),
    ("FieldPath", "fieldPath", Holds::Text),
    ("OptionalOldSelf", "optionalOldSelf", Holds::Plain),
];
const SCALE: [Field; 3] = [
    ("SpecReplicasPath", "specReplicasPath", Holds::Text),
    ("StatusReplicasPath", "statusReplicasPath", Holds::Text),
    ("LabelSelectorPath", "labelSelectorPath", Holds::Plain),
];
const SUBRESOURCES: [Field; 2] =
    [("Status", "status", Holds::Fields(&[])), ("Scale", "scale", Holds::Fields(&SCALE))];
const COLUMN: [Field; 6] = [
    ("Name", "name", Holds::Text),
    ("Type", "type", Holds::Text),
    ("Format", "format", Holds::Text),
    ("Description", "description", Holds::Text),
    ("Priority", "priority", Holds::Plain),
    ("JSONPath", "jsonPath", Holds::Text),
];
const VALIDATION: [Field; 1] = [("OpenAPIV3Schema", "openAPIV3Schema", Holds::Schema)];
const VERSION: [Field; 9] = [
    ("Name", "name", Holds::Text),
    ("Served", "served", Holds::Flag),
    ("Storage", "storage", Holds::Flag),
    ("Deprecated", "deprecated", Holds::Flag),
    ("DeprecationWarning", "deprecationWarning", Holds::Plain),
    ("Schema", "schema", Holds::Fields(&VALIDATION)),
    ("Subresources", "subresources", Holds::Fields(&SUBRESOURCES)),
    ("AdditionalPrinterColumns", "additionalPrinterColumns", Holds::List(&COLUMN)),
    ("SelectableFields", "selectableFields", Holds::List(&[("JSONPath", "jsonPath", Holds::Text)])),
];

/// The versions of a definition as they are shown when they are wrong.
pub(super) fn versions(spec: &Value) -> BadValue {
    let all = items(spec, "versions");
    if all.is_empty() {
        return BadValue::Json(Value::Null);
    }
    let common: Vec<&str> = ["schema", "subresources", "additionalPrinterColumns", "selectableFields"]
        .into_iter()
        .filter(|key| shared(spec, key).is_some())
        .collect();
    let shown = all.iter().map(|version| {
        let mut version = version.as_object().cloned().unwrap_or_default();
        version.retain(|key, _| !common.contains(&key.as_str()));
        print(&Value::Object(version), &VERSION)
    });
    BadValue::Raw(format!("[{}]", shown.collect::<Vec<_>>().join(",")))
}

/// A rule of a schema as it is shown when it is wrong.
pub fn rule(rule: &Value) -> BadValue {
    BadValue::Raw(print(rule, &RULE))
}

fn print(object: &Value, fields: &[Field]) -> String {
    let parts = fields.iter().map(|(name, key, holds)| format!("\"{name}\":{}", field(object, key, *holds)));
    format!("{{{}}}", parts.collect::<Vec<_>>().join(","))
}

fn schema(schema: &Value) -> String {
    let mut out = print(schema, &SCHEMA);
    out.pop();
    out + &format!(",\"XValidations\":{}}}", field(schema, "x-kubernetes-validations", Holds::List(&RULE)))
}

fn field(object: &Value, key: &str, holds: Holds) -> String {
    let found = object.get(key).filter(|value| !value.is_null());
    let list = |values: &Value, print: &dyn Fn(&Value) -> String| {
        let parts = values.as_array().into_iter().flatten().map(print);
        format!("[{}]", parts.collect::<Vec<_>>().join(","))
    };
    match (holds, found) {
        (Holds::Text, _) => Value::from(text(object, key)).to_string(),
        (Holds::Flag, found) => found.and_then(Value::as_bool).unwrap_or(false).to_string(),
        (_, None) => "null".to_owned(),
        (Holds::Plain, Some(value)) => value.to_string(),
        (Holds::Schema, Some(value)) => schema(value),
        (Holds::Schemas, Some(value)) => list(value, &schema),
        (Holds::SchemaMap, Some(value)) => schema_map(value.as_object()),
        (Holds::SchemaOrList, Some(value @ Value::Array(_))) => {
            format!(r#"{{"Schema":null,"JSONSchemas":{}}}"#, list(value, &schema))
        }
        (Holds::SchemaOrList, Some(value)) => {
            format!(r#"{{"Schema":{},"JSONSchemas":null}}"#, schema(value))
        }
        (Holds::SchemaOrFlag, Some(Value::Bool(allows))) => {
            format!(r#"{{"Allows":{allows},"Schema":null}}"#)
        }
        (Holds::SchemaOrFlag, Some(value)) => format!(r#"{{"Allows":true,"Schema":{}}}"#, schema(value)),
        (Holds::Fields(fields), Some(value)) => print(value, fields),
        (Holds::List(fields), Some(value)) => list(value, &|value| print(value, fields)),
    }
}

fn schema_map(map: Option<&Map<String, Value>>) -> String {
    let parts = map.into_iter().flatten();
    let parts = parts.map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), schema(value)));
    format!("{{{}}}", parts.collect::<Vec<_>>().join(","))
}
