//! YAML as people and scripts know it from kubectl: sorted keys, lists not indented, the least quoting that is safe.

use serde_json::Value;

/// A value as a YAML document, with a line end behind it.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(&mut out, value, 0, false),
        Value::Array(items) if !items.is_empty() => sequence(&mut out, items, 0),
        other => {
            scalar(&mut out, other, 0);
            out.push('\n');
        }
    }
    out
}

/// Writes fields; `inline` when the first one continues a line (behind a dash).
fn mapping(out: &mut String, value: &Value, depth: usize, inline: bool) {
    for (index, (key, value)) in value.as_object().into_iter().flatten().enumerate() {
        if index > 0 || !inline {
            indent(out, depth);
        }
        text(out, key, depth, true);
        out.push(':');
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push('\n');
                mapping(out, value, depth + 1, false);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                sequence(out, items, depth);
            }
            other => {
                out.push(' ');
                scalar(out, other, depth + 1);
                out.push('\n');
            }
        }
    }
}

fn sequence(out: &mut String, items: &[Value], depth: usize) {
    for item in items {
        indent(out, depth);
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => mapping(out, item, depth + 1, true),
            Value::Array(inner) if !inner.is_empty() => {
                // The first inner dash stands on the line of the outer one.
                let mut nested = String::new();
                sequence(&mut nested, inner, depth + 1);
                out.push_str(nested.trim_start());
            }
            other => {
                scalar(out, other, depth + 1);
                out.push('\n');
            }
        }
    }
}

fn scalar(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::String(string) => text(out, string, depth, false),
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        other => out.push_str(&other.to_string()),
    }
}

fn text(out: &mut String, string: &str, depth: usize, key: bool) {
    if string.contains('\n') && !key && block_is_safe(string) {
        return block(out, string, depth);
    }
    if resolves_to_another_type(string) || string.chars().any(|c| c.is_control()) {
        // JSON's escapes are YAML's.
        out.push_str(&Value::String(string.to_owned()).to_string());
    } else if plain_is_safe(string) {
        out.push_str(string);
    } else {
        out.push('\'');
        out.push_str(&string.replace('\'', "''"));
        out.push('\'');
    }
}

/// A literal block: `|` keeps one line end at the end, `|-` none, `|+` all.
fn block(out: &mut String, string: &str, depth: usize) {
    let body = string.trim_end_matches('\n');
    let ends = string.len() - body.len();
    out.push('|');
    if string.starts_with([' ', '\n']) {
        out.push('2');
    }
    match ends {
        0 => out.push('-'),
        1 => {}
        _ => out.push('+'),
    }
    for line in body.split('\n').chain(std::iter::repeat_n("", ends.saturating_sub(1))) {
        out.push('\n');
        if !line.is_empty() {
            indent(out, depth.max(1));
            out.push_str(line);
        }
    }
}

fn block_is_safe(string: &str) -> bool {
    let odd = |c: char| c.is_control() && c != '\n' && c != '\t';
    !string.trim_matches('\n').is_empty()
        && !string.contains(odd)
        && !string.contains(" \n")
        && !string.ends_with(' ')
}

/// Whether a YAML reader (1.1 or 1.2) would take the plain text for something else than a string.
fn resolves_to_another_type(string: &str) -> bool {
    const WORDS: [&str; 11] = ["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let lower = string.to_ascii_lowercase();
    if WORDS.contains(&lower.as_str()) || [".nan", ".inf", "-.inf", "+.inf"].contains(&lower.as_str()) {
        return true;
    }
    let digits = lower.trim_start_matches(['-', '+']);
    let number = digits.replace('_', "").parse::<f64>().is_ok()
        && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let radix = ["0x", "0o", "0b"].iter().any(|prefix| {
        digits
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_hexdigit()))
    });
    number || radix || is_date(string)
}

/// `2026-01-02`, or that with a time behind it.
fn is_date(string: &str) -> bool {
    let shape = |c: u8| if c.is_ascii_digit() { b'9' } else { c };
    let head: Vec<u8> = string.bytes().take(11).map(shape).collect();
    match head.as_slice() {
        b"9999-99-99" => true,
        b"9999-99-99T" | b"9999-99-99t" | b"9999-99-99 " => string.parse::<jiff::Timestamp>().is_ok(),
        _ => false,
    }
}

fn plain_is_safe(string: &str) -> bool {
    let first = string.chars().next().unwrap_or(' ');
    let second = string.chars().nth(1);
    let opens = match first {
        '-' | '?' | ':' => second.is_none_or(|c| c == ' '),
        c => "#,[]{}&*!|>'\"%@` ".contains(c),
    };
    !(opens
        || string.ends_with([' ', ':'])
        || string.contains(": ")
        || string.contains(" #")
        || string.starts_with("---")
        || string.starts_with("..."))
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_look_as_people_know_them() {
        let object = json!({
            "a": "2026-01-02T03:04:05Z", "b": "", "c": "*/5 * * * *", "d": "true", "e": 1, "f": {}, "g": [],
            "h": [{"x": "1", "y": [["z"]]}, "plain text"], "i": "one\ntwo\n", "j": "k: v", "k": null, "1": "0644",
        });
        let expected = "\"1\": \"0644\"\na: \"2026-01-02T03:04:05Z\"\nb: \"\"\nc: '*/5 * * * *'\nd: \"true\"\ne: 1\nf: {}\ng: []\n\
                        h:\n- x: \"1\"\n  \"y\":\n  - - z\n- plain text\ni: |\n  one\n  two\nj: 'k: v'\nk: null\n";
        assert_eq!(to_string(&object), expected);
    }

    #[test]
    fn every_string_comes_back() {
        for text in [
            "",
            " ",
            "a",
            "a ",
            " a",
            "a\n",
            "a\n\n",
            "\na",
            " a\nb",
            "a \nb",
            "\n",
            "\n\n",
            "a\tb",
            "-",
            "- a",
            "a: b",
            "a:",
            "#",
            "a #b",
            "'",
            "\"",
            "it's",
            "yes",
            "0x1f",
            "1e3",
            "1_000",
            "-1",
            ".5",
            "null",
            "~",
            "[a]",
            "{a",
            "&a",
            "*a",
            "!a",
            "%a",
            "@a",
            "`a",
            "---",
            "...",
            "a\u{1}b",
            "2026-01-01",
            "?",
            "? a",
            "10.0.0.1",
            "1.2.3",
            "\r\n",
            "|",
            ">",
            "é",
            "=",
            "<<",
        ] {
            for value in [json!({"k": text}), json!([text]), json!({text: [{"k": text}]}), json!(text)] {
                let yaml = to_string(&value);
                let back: Value =
                    serde_yaml::from_str(&yaml).unwrap_or_else(|error| panic!("{text:?}: {error}\n{yaml}"));
                assert_eq!(back, value, "{yaml}");
            }
        }
    }
}
