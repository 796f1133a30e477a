//! Which kind a body says it is, before its schema is known.

use super::DecodeError;
use super::scalar::found;
use super::syntax::syntax_error;
use super::text::{Malformed, Text};

/// `apiVersion` and `kind` of a body; empty when absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeMeta {
    /// `apiVersion` as written.
    pub api_version: String,
    /// `kind` as written.
    pub kind: String,
}

impl TypeMeta {
    /// Group and version; the core group is `""`.
    pub fn group_version(&self) -> (&str, &str) {
        self.api_version.split_once('/').unwrap_or(("", &self.api_version))
    }
}

/// How Go prints the type that it reads the two fields into.
const GO_TYPE: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// Reads `apiVersion` and `kind` from JSON text. As in Go, their names match in any case here (and only here).
pub fn type_meta(raw: &[u8]) -> Result<TypeMeta, DecodeError> {
    let mut text = Text::new(raw);
    match read(&mut text).and_then(|outcome| text.end().map(|()| outcome)) {
        Ok(outcome) => outcome,
        Err(Malformed) => Err(syntax_error(raw).into()),
    }
}

fn read(text: &mut Text<'_>) -> Result<Result<TypeMeta, DecodeError>, Malformed> {
    let wrong = |found: String, target: &str, go_type: &str| DecodeError::Type {
        found,
        target: target.to_string(),
        go_type: go_type.to_string(),
    };
    if text.peek()? != b'{' {
        let value = text.any(0)?;
        return Ok(if value.is_null() {
            Ok(TypeMeta::default())
        } else {
            Err(wrong(found(&value), "value", GO_TYPE))
        });
    }
    text.expect(b'{')?;
    let (mut meta, mut error, mut first) = (TypeMeta::default(), None, true);
    while text.more(first, b'}')? {
        first = false;
        let key = text.key()?;
        let (slot, name) = if key.eq_ignore_ascii_case("apiVersion") {
            (&mut meta.api_version, "apiVersion")
        } else if key.eq_ignore_ascii_case("kind") {
            (&mut meta.kind, "kind")
        } else {
            text.skip(1)?;
            continue;
        };
        match text.any(1)? {
            serde_json::Value::String(value) => *slot = value,
            serde_json::Value::Null => {}
            other => {
                error.get_or_insert_with(|| wrong(found(&other), &format!("struct field .{name}"), "string"));
            }
        }
    }
    Ok(error.map_or(Ok(meta), Err))
}
