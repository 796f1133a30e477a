//! Columns that a CustomResourceDefinition names (`additionalPrinterColumns`).

use api_types::resource::{Column, ResourceInfo};
use api_types::time;
use serde_json::{Number, Value, json};

use super::columns::definition;
use super::view::{UNKNOWN, View};

/// The columns after the name: a CRD without any shows the age.
pub struct Columns(Vec<(String, Vec<Step>)>);

impl Columns {
    /// Of a custom resource.
    pub fn of(info: &ResourceInfo) -> Self {
        let declared = info.columns.iter().filter(|column| is_declared(column));
        let mut columns: Vec<_> =
            declared.map(|column| (column.type_.to_string(), parse(&column.json_path))).collect();
        if columns.is_empty() {
            columns.push(("date".to_owned(), parse(".metadata.creationTimestamp")));
        }
        Columns(columns)
    }

    /// The cells of an object.
    pub fn cells(&self, view: &View<'_>) -> Vec<Value> {
        let mut cells = vec![Value::from(view.name())];
        cells.extend(self.0.iter().map(|(type_, path)| cell(view, type_, path)));
        cells
    }
}

/// The definitions of a custom resource's columns.
pub fn definitions(info: &ResourceInfo) -> Value {
    let mut all = vec![definition("Name", "string", "name", 0, "")];
    for column in info.columns.iter().filter(|column| is_declared(column)) {
        let own = match &*column.description {
            "" => format!("Value at {} of the object", column.json_path),
            own => own.to_owned(),
        };
        all.push(definition(&column.name, &column.type_, &column.format, column.priority, &own));
    }
    if all.len() == 1 {
        all.push(definition("Age", "date", "", 0, ""));
    }
    json!(all)
}

/// The name's column is always there and has no path.
fn is_declared(column: &Column) -> bool {
    !column.json_path.is_empty()
}

fn cell(view: &View<'_>, type_: &str, path: &[Step]) -> Value {
    let found = walk(view.object, path);
    let Some(first) = found.first().filter(|value| !value.is_null()) else { return Value::Null };
    match type_ {
        "string" => found.iter().map(|value| plain(value)).collect::<Vec<_>>().join(" ").into(),
        "integer" => match first {
            Value::Number(number) if number.is_i64() => (*first).clone(),
            Value::Number(number) => {
                number.as_f64().map_or(Value::Null, |float| Value::from(float.trunc() as i64))
            }
            _ => Value::Null,
        },
        "number" => match first {
            Value::Number(number) => {
                number.as_f64().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
            }
            _ => Value::Null,
        },
        "boolean" if first.is_boolean() => (*first).clone(),
        "date" => match first.as_str() {
            Some(text) if time::parse(text).is_none() => "<invalid>".into(),
            Some(_) => view.since(first).into(),
            None => UNKNOWN.into(),
        },
        _ => Value::Null,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A step of a JSON path.
#[derive(Debug, PartialEq)]
enum Step {
    Key(String),
    /// Counted from the end when negative.
    Index(i64),
    Every,
    /// `[?(@.key=="value")]`
    Where(Vec<Step>, String),
}

/// Reads the part of kubectl's JSONPath that columns use: keys, indexes, `[*]` and comparisons with a text. Admission of
/// the definition has checked the syntax; what is not known here finds nothing.
fn parse(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path.trim().trim_start_matches('{').trim_end_matches('}').trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let Some(end) = closing(after) else { return vec![Step::Key(String::new())] };
            steps.push(bracket(&after[..end]));
            rest = &after[end + 1..];
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let (key, after) = take_key(rest);
        match &*key {
            "" if after.is_empty() => break,
            "*" => steps.push(Step::Every),
            "" => {}
            _ => steps.push(Step::Key(key)),
        }
        rest = after;
    }
    steps
}

/// The end of a bracket, quotes respected.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, ']') => return Some(at),
            _ => {}
        }
    }
    None
}

fn bracket(inner: &str) -> Step {
    let inner = inner.trim();
    if inner == "*" {
        return Step::Every;
    }
    if let Ok(index) = inner.parse() {
        return Step::Index(index);
    }
    if let Some(filter) = inner.strip_prefix("?(").and_then(|text| text.strip_suffix(')'))
        && let Some((path, value)) = filter.split_once("==")
    {
        let path = path.trim().trim_start_matches('@');
        return Step::Where(parse(path), unquote(value.trim()));
    }
    Step::Key(unquote(inner))
}

fn unquote(text: &str) -> String {
    text.trim_matches(['\'', '"']).to_owned()
}

/// A key up to the next dot or bracket; `\.` is a dot in it.
fn take_key(text: &str) -> (String, &str) {
    let mut key = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => key.extend(letters.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return (key, &text[at..]),
            _ => key.push(letter),
        }
    }
    (key, "")
}

fn walk<'a>(value: &'a Value, path: &[Step]) -> Vec<&'a Value> {
    let mut found = vec![value];
    for step in path {
        found = found.into_iter().flat_map(|value| children(value, step)).collect();
    }
    found
}

fn children<'a>(value: &'a Value, step: &Step) -> Vec<&'a Value> {
    match (step, value) {
        (Step::Key(key), Value::Object(entries)) => entries.get(key).into_iter().collect(),
        // A key of a list is that of each element.
        (Step::Key(_), Value::Array(items)) => items.iter().flat_map(|item| children(item, step)).collect(),
        (Step::Index(index), Value::Array(items)) => {
            let at = if *index < 0 { index + items.len() as i64 } else { *index };
            usize::try_from(at).ok().and_then(|at| items.get(at)).into_iter().collect()
        }
        (Step::Every, Value::Array(items)) => items.iter().collect(),
        (Step::Every, Value::Object(entries)) => entries.values().collect(),
        (Step::Where(path, wanted), Value::Array(items)) => {
            items.iter().filter(|item| walk(item, path).iter().any(|found| plain(found) == *wanted)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_values() {
        let object = json!({
            "spec": { "a.b": 1, "list": [{ "name": "x", "v": 1 }, { "name": "y", "v": 2 }] },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        });
        let cases = [
            (".spec.list[0].name", "x"),
            (".spec.list[-1].v", "2"),
            (".spec.list[*].name", "x y"),
            ("{.spec.list[*].v}", "1 2"),
            (r#".status.conditions[?(@.type=="Ready")].status"#, "True"),
            (r".spec.a\.b", "1"),
            (".spec['a.b']", "1"),
            (".spec.nothing", ""),
        ];
        for (path, expected) in cases {
            let found: Vec<_> = walk(&object, &parse(path)).into_iter().map(plain).collect();
            assert_eq!(found.join(" "), expected, "{path}");
        }
    }
}
