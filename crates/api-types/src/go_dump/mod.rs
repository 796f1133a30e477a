//! Objects as upstream's internal types print them: every field, by its Go name, in the order of declaration.
//!
//! Some messages that clients read show a whole struct, or the difference of two. Upstream marshals its internal types
//! for them, which have no JSON tags (those of `meta/v1` do). Nothing here runs unless such a message is made.

mod diff;
mod names;

use serde_json::{Map as JsonMap, Value};

use crate::schema::{self, Field, Kind, Schema, Struct};

/// One value of a built-in type on one line, as a field error shows it. `type_name` is a name of the schema tables
/// (`core/v1.PodTemplateSpec`); an unknown one prints the value as it is.
pub fn compact(type_name: &str, value: Option<&Value>) -> String {
    print(type_name, value, None)
}

/// The difference of two values as a unified diff of their indented forms.
pub fn difference(type_name: &str, old: &Value, new: &Value) -> String {
    diff::unified(&print(type_name, Some(old), Some(0)), &print(type_name, Some(new), Some(0)))
}

fn print(type_name: &str, value: Option<&Value>, indent: Option<usize>) -> String {
    let value = value.unwrap_or(&Value::Null);
    let mut printer = Printer { out: String::new(), indent };
    match schema::by_type(type_name) {
        Some(schema) => printer.value(&schema, value, true),
        None => printer.out.push_str(&value.to_string()),
    }
    printer.out
}

struct Printer {
    out: String,
    /// The depth, where lines are indented.
    indent: Option<usize>,
}

impl Printer {
    /// `optional` values are `null` when absent, others their type's zero.
    fn value(&mut self, schema: &Schema, value: &Value, optional: bool) {
        match &schema.kind {
            _ if value.is_null() && optional => self.out.push_str("null"),
            Kind::Struct(layout) => {
                let nothing = JsonMap::new();
                let object = value.as_object().unwrap_or(&nothing);
                if schema.type_name.starts_with("meta/v1.") {
                    self.tagged(layout, object);
                } else {
                    self.untagged(&schema.type_name, layout, object);
                }
            }
            Kind::List(list) => match value.as_array() {
                Some(items) => self.list(items, |printer, item| printer.value(&list.item, item, false)),
                None => self.out.push_str("null"),
            },
            Kind::Map(map) => match value.as_object() {
                Some(entries) => {
                    let entries = entries.iter();
                    self.braces(entries.map(|(name, entry)| (name.as_str(), &*map.value, entry, false)));
                }
                None => self.out.push_str("null"),
            },
            kind if value.is_null() => self.out.push_str(zero(kind)),
            _ => self.out.push_str(&value.to_string()),
        }
    }

    /// A type with JSON tags: what is absent is left out.
    fn tagged(&mut self, layout: &Struct, object: &JsonMap<String, Value>) {
        let shown =
            |field: &&Field| !field.omitempty || object.get(&*field.name).is_some_and(|v| !v.is_null());
        self.braces(layout.fields.iter().filter(shown).map(|field| {
            (&*field.name, &*field.schema, object.get(&*field.name).unwrap_or(&Value::Null), field.pointer)
        }));
    }

    fn untagged(&mut self, type_name: &str, layout: &Struct, object: &JsonMap<String, Value>) {
        // What the internal version keeps one level lower is moved there by the caller's `relocate`.
        let moved = relocated(type_name, object);
        let object = moved.as_ref().unwrap_or(object);
        let order = names::order(type_name);
        let mut fields: Vec<(String, Option<&Field>, &str, bool)> = Vec::new();
        match order {
            Some(order) => {
                for name in order {
                    match name.strip_prefix('+') {
                        Some(foreign) => {
                            let name = foreign.trim_end_matches('?');
                            fields.push((names::go(type_name, name), None, name, foreign.ends_with('?')));
                        }
                        None => {
                            let field = layout.field(name);
                            let pointer = field.is_some_and(|f| f.pointer);
                            fields.push((names::go(type_name, name), field, name, pointer));
                        }
                    }
                }
            }
            None => {
                for field in &layout.fields {
                    fields.push((
                        names::go(type_name, &field.name),
                        Some(field),
                        &*field.name,
                        field.pointer,
                    ));
                }
            }
        }
        let boolean = Schema { kind: Kind::Bool, ..Schema::default() };
        self.braces(fields.iter().map(|(go, field, name, pointer)| {
            let schema = field.map_or(&boolean, |f| &*f.schema);
            (go.as_str(), schema, object.get(*name).unwrap_or(&Value::Null), *pointer)
        }));
    }

    fn braces<'a>(&mut self, entries: impl Iterator<Item = (&'a str, &'a Schema, &'a Value, bool)>) {
        let mut first = true;
        self.out.push('{');
        self.deeper();
        for (name, schema, value, pointer) in entries {
            if !std::mem::take(&mut first) {
                self.out.push(',');
            }
            self.line();
            self.out.push_str(&Value::from(name).to_string());
            self.out.push_str(if self.indent.is_some() { ": " } else { ":" });
            self.value(schema, value, pointer);
        }
        self.shallower(first);
        self.out.push('}');
    }

    fn list(&mut self, items: &[Value], each: impl Fn(&mut Self, &Value)) {
        self.out.push('[');
        self.deeper();
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.out.push(',');
            }
            self.line();
            each(self, item);
        }
        self.shallower(items.is_empty());
        self.out.push(']');
    }

    fn deeper(&mut self) {
        self.indent = self.indent.map(|depth| depth + 1);
    }

    fn shallower(&mut self, empty: bool) {
        self.indent = self.indent.map(|depth| depth - 1);
        if !empty {
            self.line();
        }
    }

    fn line(&mut self) {
        if let Some(depth) = self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', depth));
        }
    }
}

/// A pod's use of the host is part of its security context internally.
fn relocated(type_name: &str, object: &JsonMap<String, Value>) -> Option<JsonMap<String, Value>> {
    const MOVED: [&str; 5] = ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"];
    if type_name != "core/v1.PodSpec" {
        return None;
    }
    let mut object = object.clone();
    let mut context = object.get("securityContext").and_then(Value::as_object).cloned().unwrap_or_default();
    for key in MOVED {
        if let Some(value) = object.get(key) {
            context.insert(key.to_owned(), value.clone());
        }
    }
    object.insert("securityContext".to_owned(), Value::Object(context));
    Some(object)
}

/// The zero of a type whose values are not nil.
fn zero(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "false",
        Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Float32
        | Kind::Float64
        | Kind::IntOrString => "0",
        Kind::String => "\"\"",
        Kind::Quantity => "\"0\"",
        Kind::Duration => "\"0s\"",
        _ => "null",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn structs_show_every_field() {
        let claim = json!({"devices": {"requests": [{"name": "a", "exactly": {
            "deviceClassName": "b", "allocationMode": "ExactCount", "count": 1}}]}});
        assert_eq!(
            compact("resource.k8s.io/v1.ResourceClaimSpec", Some(&claim)),
            concat!(
                r#"{"Devices":{"Requests":[{"Name":"a","Exactly":{"DeviceClassName":"b","Selectors":null,"#,
                r#""AllocationMode":"ExactCount","Count":1,"AdminAccess":null,"Tolerations":null,"Capacity":null},"#,
                r#""FirstAvailable":null}],"Constraints":null,"Config":null}}"#
            )
        );
    }

    #[test]
    fn differences_have_three_lines_around() {
        let (old, new) = (json!({"hostname": "", "nodeName": ""}), json!({"hostname": "x", "nodeName": ""}));
        assert_eq!(
            difference("core/v1.PodSpec", &old, &new),
            concat!(
                "@@ -32,7 +32,7 @@\n",
                "   \"SELinuxChangePolicy\": null\n",
                "  },\n",
                "  \"ImagePullSecrets\": null,\n",
                "- \"Hostname\": \"\",\n",
                "+ \"Hostname\": \"x\",\n",
                "  \"Subdomain\": \"\",\n",
                "  \"SetHostnameAsFQDN\": null,\n",
                "  \"Affinity\": null,\n",
            )
        );
    }
}
