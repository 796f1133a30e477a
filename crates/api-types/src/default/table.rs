//! Constant defaults, and the walk that applies them.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::{Map as JsonMap, Value};

use super::computed::{self, Hook};
use crate::schema::{Kind, Schema, Struct};

static TABLE: &str = include_str!("../../schema/defaults.txt");

/// What is filled in at values of one type.
#[derive(Default)]
struct Rules {
    constants: Vec<Constant>,
    hook: Option<Hook>,
}

/// One line of the table.
struct Constant {
    path: Vec<&'static str>,
    value: Value,
    /// A sibling of the first element and the value it must have; `?` is any.
    when: Option<(&'static str, &'static str)>,
}

/// Fills in the defaults of a built-in type.
pub(super) fn apply(schema: &Schema, value: &mut Value) {
    match (&schema.kind, value) {
        (Kind::Struct(layout), Value::Object(object)) => {
            if let Some(rules) = rules().get(&*schema.type_name) {
                for constant in &rules.constants {
                    apply_constant(constant, layout, object);
                }
                if let Some(hook) = rules.hook {
                    hook(object);
                }
            }
            for (name, child) in object.iter_mut() {
                if child.is_object() || child.is_array() {
                    match layout.field(name) {
                        // Metadata has no defaults and is the largest part of many objects.
                        Some(field) if field.schema.type_name != "meta/v1.ObjectMeta" => {
                            apply(&field.schema, child)
                        }
                        _ => {}
                    }
                }
            }
        }
        (Kind::Map(map), Value::Object(object)) => {
            if let Some(hook) = rules().get(&*schema.type_name).and_then(|r| r.hook) {
                hook(object);
            }
            for child in object.values_mut().filter(|c| c.is_object() || c.is_array()) {
                apply(&map.value, child);
            }
        }
        (Kind::List(list), Value::Array(items)) => {
            for child in items.iter_mut().filter(|c| c.is_object() || c.is_array()) {
                apply(&list.item, child);
            }
        }
        _ => {}
    }
}

fn apply_constant(constant: &Constant, layout: &Struct, object: &mut JsonMap<String, Value>) {
    if let Some((sibling, wanted)) = constant.when {
        let found = object.get(sibling).and_then(Value::as_str).unwrap_or_default();
        if if wanted == "?" { found.is_empty() } else { found != wanted } {
            return;
        }
    }
    set(&constant.path, &constant.value, layout, object);
}

/// Sets a value that is absent, making the objects on the way.
fn set(path: &[&'static str], value: &Value, layout: &Struct, object: &mut JsonMap<String, Value>) {
    let [name, rest @ ..] = path else { return };
    let Some(field) = layout.field(name) else { return };
    if rest.is_empty() {
        let absent = match object.get(*name) {
            None => true,
            // Where absent and zero are one, zero is filled in as well.
            Some(present) => present.is_null() || (!field.pointer && is_zero(present)),
        };
        if absent {
            object.insert((*name).to_string(), value.clone());
        }
        return;
    }
    let child = object.entry((*name).to_string()).or_insert(Value::Null);
    if child.is_null() {
        *child = Value::Object(JsonMap::new());
    }
    if let (Some(layout), Value::Object(child)) = (field.schema.as_struct(), child) {
        set(rest, value, layout, child);
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn rules() -> &'static HashMap<&'static str, Rules> {
    static RULES: OnceLock<HashMap<&'static str, Rules>> = OnceLock::new();
    RULES.get_or_init(|| {
        let mut rules: HashMap<&str, Rules> = HashMap::new();
        for line in TABLE.lines().filter(|l| !l.starts_with('#')) {
            if let Some((type_name, constant)) = parse(line) {
                rules.entry(type_name).or_default().constants.push(constant);
            }
        }
        for (type_name, hook) in computed::HOOKS {
            rules.entry(type_name).or_default().hook = Some(*hook);
        }
        rules
    })
}

/// `TYPE PATH [if=FIELD:VALUE] JSON`
fn parse(line: &'static str) -> Option<(&'static str, Constant)> {
    let (type_name, rest) = line.split_once(' ')?;
    let (path, mut rest) = rest.split_once(' ')?;
    let mut when = None;
    if let Some(condition) = rest.strip_prefix("if=") {
        let (condition, value) = condition.split_once(' ')?;
        when = Some(condition.split_once(':')?);
        rest = value;
    }
    let value = serde_json::from_str(rest).ok()?;
    Some((type_name, Constant { path: path.split('.').collect(), value, when }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn every_line_parses_and_names_fields_that_exist() {
        for line in TABLE.lines().filter(|l| !l.starts_with('#')) {
            let (type_name, constant) = parse(line).unwrap_or_else(|| panic!("{line}"));
            let node = schema::by_type(type_name).unwrap_or_else(|| panic!("{line}"));
            assert!(node.at(&constant.path.join(".")).is_some(), "{line}");
        }
        for (type_name, _) in computed::HOOKS {
            assert!(schema::by_type(type_name).is_some(), "{type_name}");
        }
    }
}
