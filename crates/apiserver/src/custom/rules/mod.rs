//! `x-kubernetes-validations`: rules in CEL that a schema states about its values (KEP-2876).
//!
//! ```text
//!  schema's tree ─► compile ─► a tree of the nodes that have rules, or have some below them
//!       at the write of the definition: every rule compiles, and is cheap enough        (definition.rs)
//!       at the write of an object: every rule of every value holds                      (evaluate.rs)
//! ```

mod definition;
mod evaluate;
#[cfg(test)]
mod tests;

use api_types::schema::{Kind, Name, SchemaRef};
use expression::{Environment, Program, Type};
use serde::Deserialize;
use serde_json::Value;

pub use definition::validate as validate_definition;

/// The compiled rules of a schema.
pub struct Rules {
    root: Option<Node>,
}

/// A node of the schema that has rules, or has some below it.
struct Node {
    schema: SchemaRef,
    own: Vec<Rule>,
    fields: Vec<(Name, Node)>,
    /// Rules of a list's elements or of a map's values.
    members: Option<Box<Node>>,
}

/// A rule as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    rule: String,
    message: String,
    message_expression: String,
    reason: Option<String>,
    field_path: String,
    optional_old_self: Option<bool>,
}

/// A rule that can be evaluated, or why it cannot.
struct Rule {
    written: Written,
    as_written: Value,
    program: Result<Program, String>,
    message: Option<Result<Program, String>>,
    uses_old: bool,
}

impl Rules {
    /// Compiles the rules of the schema of a whole custom resource.
    pub fn of(schema: &SchemaRef) -> Self {
        Rules { root: compile(schema, true) }
    }
}

fn compile(schema: &SchemaRef, is_resource: bool) -> Option<Node> {
    let custom = schema.custom.as_ref()?;
    let written = custom.keywords.get("x-kubernetes-validations").and_then(Value::as_array);
    let written = written.map(Vec::as_slice).unwrap_or_default();
    let mut node = Node { schema: schema.clone(), own: Vec::new(), fields: Vec::new(), members: None };
    if !written.is_empty() {
        let own = match is_resource {
            true => Type::of_resource(schema, "selfType"),
            false => Type::of_schema(schema, "selfType"),
        };
        node.own = written.iter().map(|written| Rule::compile(written, &own)).collect();
    }
    match &schema.kind {
        Kind::Struct(layout) => {
            node.fields = layout
                .fields
                .iter()
                .filter_map(|field| {
                    Some((field.name.clone(), compile(&field.schema, is_embedded(&field.schema))?))
                })
                .collect();
        }
        Kind::List(list) => node.members = compile(&list.item, is_embedded(&list.item)).map(Box::new),
        Kind::Map(map) => node.members = compile(&map.value, is_embedded(&map.value)).map(Box::new),
        _ => {}
    }
    (!node.own.is_empty() || !node.fields.is_empty() || node.members.is_some()).then_some(node)
}

fn is_embedded(schema: &SchemaRef) -> bool {
    schema.as_struct().is_some_and(|layout| layout.embedded_resource)
}

impl Rule {
    fn compile(as_written: &Value, own: &Type) -> Self {
        // The definition's own schema has seen to the types.
        let written = Written::deserialize(as_written).unwrap_or_default();
        let old = match written.optional_old_self {
            Some(true) => Type::optional(own.clone()),
            _ => own.clone(),
        };
        let environment = Environment::new().with("self", own.clone()).with("oldSelf", old);
        let program =
            environment.compile(&written.rule).map_err(|error| format!("compilation failed: {error}"));
        let program = program.and_then(|program| match program.result_type() {
            Type::Bool => Ok(program),
            _ => Err("cel expression must evaluate to a bool".to_owned()),
        });
        let message = (!written.message_expression.is_empty()).then(|| {
            let compiled = environment.compile(&written.message_expression);
            let compiled = compiled.map_err(|error| format!("messageExpression compilation failed: {error}"));
            compiled.and_then(|program| match program.result_type() {
                Type::String => Ok(program),
                _ => Err("messageExpression must evaluate to a string".to_owned()),
            })
        });
        let uses_old = program.as_ref().is_ok_and(|program| program.mentions("oldSelf"));
        Rule { written, as_written: as_written.clone(), program, message, uses_old }
    }
}
