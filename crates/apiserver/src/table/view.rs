//! Reading an object for print: paths, ages, and the forms in which lists, labels and selectors are shown.

use api_types::selector::Selector;
use api_types::time;
use jiff::Timestamp;
use serde_json::Value;

/// A vector of cells from values of any JSON type.
macro_rules! cells {
    ($($cell:expr),* $(,)?) => { vec![$(serde_json::Value::from($cell)),*] };
}
pub(super) use cells;

/// Shown for what is not there, where the column says "none".
pub const NONE: &str = "<none>";
/// Shown for what nobody has set.
pub const UNSET: &str = "<unset>";
/// Shown for what cannot be known.
pub const UNKNOWN: &str = "<unknown>";

/// An object and the moment to which ages are counted.
pub struct View<'a> {
    /// The object, in the stored version.
    pub object: &'a Value,
    /// Now.
    pub now: Timestamp,
}

impl<'a> View<'a> {
    /// The value at a dotted path; null when absent.
    pub fn get(&self, path: &str) -> &'a Value {
        at(self.object, path)
    }

    /// Text at a path; empty when absent.
    pub fn text(&self, path: &str) -> &'a str {
        text(self.object, path)
    }

    /// Text at a path, or something else when it is empty or absent.
    pub fn text_or(&self, path: &str, otherwise: &'a str) -> &'a str {
        or(self.text(path), otherwise)
    }

    /// A number at a path; 0 when absent.
    pub fn int(&self, path: &str) -> i64 {
        self.get(path).as_i64().unwrap_or_default()
    }

    /// A number at a path in decimal, or something else when it is absent.
    pub fn int_or(&self, path: &str, otherwise: &str) -> String {
        self.get(path).as_i64().map_or_else(|| otherwise.to_owned(), |number| number.to_string())
    }

    /// A boolean at a path; `otherwise` when absent.
    pub fn flag(&self, path: &str, otherwise: bool) -> bool {
        self.get(path).as_bool().unwrap_or(otherwise)
    }

    /// The elements of a list; none when absent.
    pub fn list(&self, path: &str) -> &'a [Value] {
        list(self.object, path)
    }

    /// The number of elements of a list or map.
    pub fn count(&self, path: &str) -> usize {
        match self.get(path) {
            Value::Array(items) => items.len(),
            Value::Object(entries) => entries.len(),
            _ => 0,
        }
    }

    /// The object's name.
    pub fn name(&self) -> &'a str {
        self.text("metadata.name")
    }

    /// Time since the object was made.
    pub fn age(&self) -> String {
        self.since(self.get("metadata.creationTimestamp"))
    }

    /// Whether deletion has begun.
    pub fn is_deleted(&self) -> bool {
        !self.get("metadata.deletionTimestamp").is_null()
    }

    /// Time since a moment, or `<unknown>` when there is none.
    pub fn since(&self, moment: &Value) -> String {
        match moment.as_str().and_then(time::parse) {
            Some(moment) => time::human_duration(seconds_between(moment, self.now)),
            None => UNKNOWN.to_owned(),
        }
    }
}

/// Whole seconds from one moment to another.
pub fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    // Less than ±2^33 milliseconds × 2^20 apart: the division cannot leave 64 bits.
    (to.as_millisecond() - from.as_millisecond()) / 1000
}

/// The value at a dotted path; null when absent.
pub fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, key| value.get(key).unwrap_or(&Value::Null))
}

/// Text at a path; empty when absent.
pub fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).as_str().unwrap_or_default()
}

/// The elements of a list; none when absent.
pub fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path).as_array().map_or(&[], Vec::as_slice)
}

/// The text, or something else when it is empty.
pub fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

/// One text of each element, joined.
pub fn joined(items: &[Value], path: &str, separator: &str) -> String {
    items.iter().map(|item| text(item, path)).collect::<Vec<_>>().join(separator)
}

/// The texts of a list of texts, joined.
pub fn joined_texts(items: &[Value], separator: &str) -> String {
    items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(separator)
}

/// The condition of a type in `status.conditions`.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    list(object, "status.conditions").iter().find(|condition| condition["type"] == type_)
}

/// Whether a condition is there and true.
pub fn is_true(object: &Value, type_: &str) -> bool {
    condition(object, type_).is_some_and(|condition| condition["status"] == "True")
}

/// `a=b,c=d` in order of keys; `<none>` when empty.
pub fn labels(map: &Value) -> String {
    // serde_json's maps are sorted.
    let pairs: Vec<String> = map
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if pairs.is_empty() { NONE.to_owned() } else { pairs.join(",") }
}

/// A LabelSelector in the string syntax; `<none>` when empty, `<error>` when invalid.
pub fn selector(selector: &Value) -> String {
    match Selector::from_value(selector) {
        Ok(selector) => or(&selector.to_string(), NONE).to_owned(),
        Err(_) => "<error>".to_owned(),
    }
}

/// At most `max` items joined by commas, and how many more there are.
pub fn with_more(items: impl Iterator<Item = String>, max: usize, separator: &str, empty: &str) -> String {
    let items: Vec<String> = items.collect();
    match items.len() {
        0 => empty.to_owned(),
        all if all > max => format!("{} + {} more...", items[..max].join(separator), all - max),
        _ => items.join(separator),
    }
}

/// The names and the images of a pod template's containers.
pub fn containers(spec: &Value) -> (String, String) {
    let containers = list(spec, "containers");
    (joined(containers, "name", ","), joined(containers, "image", ","))
}
