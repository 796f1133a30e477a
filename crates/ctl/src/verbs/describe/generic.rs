//! Kinds without a layout of their own: their fields as a tree, under headings as people read them.

use serde_json::Value;

use super::page::{Page, text};
use super::pod::head;

/// Any object.
pub fn object(object: &Value) -> Page {
    /// Shown before the rest, or of no interest to people.
    const ELSEWHERE: [&str; 5] = ["name", "namespace", "labels", "annotations", "managedFields"];
    let mut page = head(object);
    for (key, value) in object.as_object().into_iter().flatten() {
        if key != "metadata" {
            tree(&mut page, &heading(key), value, 0);
            continue;
        }
        page.line("Metadata:");
        for (key, value) in value.as_object().into_iter().flatten() {
            if !ELSEWHERE.contains(&key.as_str()) {
                tree(&mut page, &heading(key), value, 1);
            }
        }
    }
    page
}

/// Writes a value, its lists and maps indented below it.
pub fn tree(page: &mut Page, name: &str, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            page.line(format!("{indent}{name}:"));
            for (key, value) in fields {
                let name = if OF_THE_USER.contains(&name) { key.clone() } else { heading(key) };
                tree(page, &name, value, depth + 1);
            }
        }
        Value::Array(items) => {
            page.line(format!("{indent}{name}:"));
            for item in items {
                match item {
                    Value::Object(fields) => {
                        fields.iter().for_each(|(key, value)| tree(page, &heading(key), value, depth + 1));
                    }
                    other => page.line(format!("{indent}  {}", text(other))),
                }
            }
        }
        Value::Null => page.field(&format!("{indent}{name}"), "<nil>"),
        scalar => {
            let shown = text(scalar);
            let mut lines = shown.lines();
            page.field(&format!("{indent}{name}"), lines.next().unwrap_or_default());
            lines.for_each(|line| page.line(format!("{indent}\t{line}")));
        }
    }
}

/// Maps whose keys are the user's own words, not fields of the API; by their headings.
const OF_THE_USER: [&str; 8] =
    ["Match Labels", "Selector", "Node Selector", "Data", "Limits", "Requests", "Parameters", "Capacity"];

/// `restartPolicy` → `Restart Policy`; names of the user's own stay as they are.
pub fn heading(key: &str) -> String {
    if !key.chars().all(|character| character.is_ascii_alphanumeric())
        || !key.starts_with(|character: char| character.is_ascii_lowercase())
    {
        return key.to_owned();
    }
    let mut words: Vec<String> = vec![String::new()];
    let mut before = ' ';
    for character in key.chars() {
        let starts = character.is_ascii_uppercase() && !before.is_ascii_uppercase();
        if starts {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(if word.is_empty() { character.to_ascii_uppercase() } else { character });
        }
        before = character;
    }
    const ACRONYMS: [&str; 5] = ["Uid", "Api", "Ip", "Url", "Id"];
    for word in &mut words {
        if ACRONYMS.contains(&word.as_str()) {
            word.make_ascii_uppercase();
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_read_as_words() {
        assert_eq!(heading("restartPolicy"), "Restart Policy");
        assert_eq!(heading("podIPs"), "Pod IPs");
        assert_eq!(heading("apiVersion"), "API Version");
        assert_eq!(heading("uid"), "UID");
        assert_eq!(heading("app.example/name"), "app.example/name");
    }
}
