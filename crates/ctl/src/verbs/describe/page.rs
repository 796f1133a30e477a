//! What every description is made of: lines of `Key:<tab>value`, aligned at the end.

use serde_json::Value;

use crate::output::tabs;

/// Annotations longer than this stand on a line of their own.
const LONG: usize = 140;

/// A description under construction.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// A line as it is; tabs separate columns.
    pub fn line(&mut self, text: impl AsRef<str>) {
        self.0.push_str(text.as_ref());
        self.0.push('\n');
    }

    /// `Key:  value`; the key's leading spaces are its indentation.
    pub fn field(&mut self, key: &str, value: impl std::fmt::Display) {
        self.line(format!("{key}:\t{value}"));
    }

    /// The same, when the value is there and not empty.
    pub fn known(&mut self, key: &str, value: &Value) {
        let shown = text(value);
        if !value.is_null() && !shown.is_empty() {
            self.field(key, shown);
        }
    }

    /// Labels and the like: a line each, the first one behind the key.
    pub fn pairs(&mut self, key: &str, map: &Value) {
        let pairs: Vec<String> = map
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| format!("{key}={}", text(value)))
            .collect();
        self.list(key, &pairs);
    }

    /// Values, a line each, the first one behind the key.
    pub fn list(&mut self, key: &str, values: &[String]) {
        let indent = " ".repeat(key.len() - key.trim_start().len());
        self.field(key, values.first().map_or("<none>", String::as_str));
        for value in values.iter().skip(1) {
            self.line(format!("{indent}\t{value}"));
        }
    }

    /// Annotations, without the one that repeats the whole object.
    pub fn annotations(&mut self, key: &str, map: &Value) {
        const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
        let indent = " ".repeat(key.len() - key.trim_start().len());
        let shown = map.as_object().into_iter().flatten().filter(|(name, _)| *name != LAST_APPLIED);
        let mut head = format!("{key}:");
        for (name, value) in shown {
            let value = text(value);
            if value.len() + name.len() + 2 > LONG || value.contains('\n') {
                self.line(format!("{head}\t{name}:"));
                for part in value.trim_end().lines() {
                    let short: String = part.chars().take(2 * LONG).collect();
                    let more = if short.len() < part.len() { "..." } else { "" };
                    self.line(format!("{indent}\t  {short}{more}"));
                }
            } else {
                self.line(format!("{head}\t{name}: {value}"));
            }
            head.clone_from(&indent);
        }
        if head.ends_with(':') {
            self.line(format!("{head}\t<none>"));
        }
    }

    /// Quantities and the like: `Key:`, then `name:  value` two spaces deeper. Nothing for an empty map.
    pub fn section(&mut self, key: &str, map: &Value) {
        let Some(map) = map.as_object().filter(|map| !map.is_empty()) else { return };
        let indent = " ".repeat(key.len() - key.trim_start().len());
        self.line(format!("{key}:"));
        for (name, value) in map {
            self.field(&format!("{indent}  {name}"), text(value));
        }
    }

    /// Another page's lines.
    pub fn append(&mut self, other: Self) {
        self.0.push_str(&other.0);
    }

    /// The finished text.
    pub fn finish(&self) -> String {
        tabs::align(&self.0)
    }
}

/// A scalar as people read it; nothing for null.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The same, `<none>` for null or nothing.
pub fn or_none(value: &Value) -> String {
    let shown = text(value);
    if shown.is_empty() { "<none>".to_owned() } else { shown }
}

/// The items of a list; none of anything else.
pub fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// `True` or `False`.
pub fn capital(value: &Value) -> &'static str {
    if value == true { "True" } else { "False" }
}

/// Items joined by `separator`; `<none>` without any.
pub fn joined(value: &Value, separator: &str) -> String {
    let items: Vec<String> = items(value).iter().map(text).collect();
    if items.is_empty() { "<none>".to_owned() } else { items.join(separator) }
}

/// `a=b,c=d` for any kind of label selector; `<none>` without one.
pub fn selector(value: &Value) -> String {
    let labels = value.get("matchLabels").or(value.get("matchExpressions").is_none().then_some(value));
    let mut parts: Vec<String> = labels
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect();
    for expression in items(&value["matchExpressions"]) {
        let (key, values) = (text(&expression["key"]), joined(&expression["values"], ","));
        parts.push(match expression["operator"].as_str().unwrap_or_default() {
            "Exists" => key,
            "DoesNotExist" => format!("!{key}"),
            operator => format!("{key} {} ({values})", operator.to_lowercase()),
        });
    }
    if parts.is_empty() { "<none>".to_owned() } else { parts.join(",") }
}
