//! The walk over (schema, text) and (schema, value).

use serde_json::{Map as JsonMap, Value};

use super::scalar::{LeafError, leaf, schema_or};
use super::syntax::syntax_error;
use super::text::{MAX_DEPTH, Malformed, Text};
use super::{DecodeError, Decoded, go_type, parse_untyped};
use crate::schema::{Field, Kind, Schema, Struct, emit};

type Object = JsonMap<String, Value>;

/// Go's decoder keeps this many findings.
const MAX_FINDINGS: usize = 100;

/// Reads a body by schema: unknown fields are dropped and reported, in the order of the text.
pub fn strict(schema: &Schema, raw: &[u8]) -> Result<Decoded, DecodeError> {
    let mut walk = Walk::new(schema);
    let mut text = Text::new(raw);
    let outcome =
        walk.value(schema, &mut text, None, 0).and_then(|v| text.end().map(|()| v).map_err(Stop::from));
    let value = match outcome {
        Ok(value) => value,
        // Go checks the whole text before it decodes any.
        Err(Stop::Malformed) => return Err(syntax_error(raw).into()),
        Err(Stop::Error(error)) => {
            parse_untyped(raw)?;
            return Err(error);
        }
    };
    match walk.first_error {
        Some(error) => Err(error),
        None => {
            let mut findings = walk.findings.list;
            if walk.custom {
                findings.sort_by_cached_key(|finding| custom_order(finding));
            }
            Ok(Decoded { value: value.unwrap_or_else(|| emit::zero(schema)), findings })
        }
    }
}

/// Custom resources are decoded, their metadata read and the rest pruned one after the other, and pruning sorts.
fn custom_order(finding: &str) -> (u8, String) {
    match finding.strip_prefix("unknown field \"") {
        None => (0, String::new()),
        Some(path) if path.starts_with("metadata.") => (1, String::new()),
        Some(path) => (2, path.to_string()),
    }
}

/// Reads a body without a schema, collecting duplicate fields only (custom resources before pruning, patches).
pub fn strict_untyped(raw: &[u8]) -> Result<Decoded, DecodeError> {
    strict(&Schema::default(), raw)
}

pub(super) fn join(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

/// Why a walk ends early.
pub(super) enum Stop {
    Malformed,
    Error(DecodeError),
}

impl From<Malformed> for Stop {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

#[derive(Default)]
struct Findings {
    list: Vec<String>,
}

impl Findings {
    fn add(&mut self, problem: &str, path: &str) {
        let message = format!("{problem} field \"{path}\"");
        if self.list.len() < MAX_FINDINGS && !self.list.contains(&message) {
            self.list.push(message);
        }
    }
}

/// State of one decode.
pub(super) struct Walk<'s> {
    findings: Findings,
    pub(super) first_error: Option<DecodeError>,
    /// Path with indexes and map keys, for findings.
    path: String,
    /// JSON names of the struct fields around, for type errors.
    names: Vec<&'s str>,
    /// Where in `names` the document begins that a Go decoder sees: a custom resource's metadata is decoded by itself.
    base: usize,
    /// The innermost struct.
    pub(super) owner: Option<&'s Schema>,
    /// The document is a custom resource: what is not a built-in type is kept as it is.
    custom: bool,
}

impl<'s> Walk<'s> {
    pub(super) fn new(root: &Schema) -> Self {
        Self {
            findings: Findings::default(),
            first_error: None,
            path: String::new(),
            names: Vec::new(),
            base: 0,
            owner: None,
            custom: root.custom.is_some(),
        }
    }

    /// Reads the next value; `None` is `null`. `into` is what an earlier field of the same name left, which Go decodes into.
    fn value(
        &mut self,
        schema: &'s Schema,
        text: &mut Text<'_>,
        into: Option<Value>,
        depth: usize,
    ) -> Result<Option<Value>, Stop> {
        if depth > MAX_DEPTH {
            return Err(Stop::Malformed);
        }
        let first = text.peek()?;
        match (&schema.kind, first) {
            (Kind::Struct(layout), b'{') => {
                let object = into_object(into);
                self.structure(schema, layout, text, object, depth).map(|o| Some(Value::Object(o)))
            }
            (Kind::Map(map), b'{') => {
                let object = into_object(into);
                self.map(&map.value, text, object, depth).map(|o| Some(Value::Object(o)))
            }
            (Kind::List(list), b'[') => self.list(&list.item, text, depth).map(|l| Some(Value::Array(l))),
            (Kind::Any, b'{' | b'[') if self.owner.is_some() && !self.custom => Ok(Some(text.any(depth)?)),
            (Kind::Any, b'{') => {
                self.map(schema, text, into_object(into), depth).map(|o| Some(Value::Object(o)))
            }
            (Kind::Any, b'[') => self.list(schema, text, depth).map(|l| Some(Value::Array(l))),
            (Kind::Any, _) => Ok(Some(text.scalar()?).filter(|v| !v.is_null())),
            (Kind::RawExtension | Kind::FieldsV1, _) => Ok(Some(text.any(depth)?).filter(|v| !v.is_null())),
            (Kind::SchemaOr(inner, _), b'{') => self.value(inner, text, into, depth),
            (Kind::SchemaOr(inner, crate::schema::SchemaOr::Schemas), b'[') => {
                self.list(inner, text, depth).map(|l| Some(Value::Array(l)))
            }
            (_, b'{' | b'[') => {
                let value = text.any(depth)?;
                self.leaf(schema, value)
            }
            _ => {
                let value = text.scalar()?;
                self.leaf(schema, value)
            }
        }
    }

    fn structure(
        &mut self,
        schema: &'s Schema,
        layout: &'s Struct,
        text: &mut Text<'_>,
        mut object: Object,
        depth: usize,
    ) -> Result<Object, Stop> {
        text.expect(b'{')?;
        let outer = self.owner.replace(schema);
        let (mut first, len) = (true, self.path.len());
        let mut seen = Seen::default();
        while text.more(first, b'}')? {
            first = false;
            let key = text.key()?;
            join(&mut self.path, &key);
            match layout.field_index(&key) {
                Some(index) => {
                    let repeated = seen.insert(index);
                    if repeated {
                        self.findings.add("duplicate", &self.path);
                    }
                    let field = &layout.fields[index];
                    let earlier = if repeated { object.remove(&*field.name) } else { None };
                    self.field(field, text, earlier, &mut object, depth)?;
                }
                None if layout.preserve_unknown => {
                    if object.contains_key(&*key) {
                        self.findings.add("duplicate", &self.path);
                    }
                    let value = text.any(depth + 1)?;
                    object.insert(key.into_owned(), value);
                }
                None => {
                    self.findings.add("unknown", &self.path);
                    text.skip(depth + 1)?;
                }
            }
            self.path.truncate(len);
        }
        self.owner = outer;
        if !self.is_custom(schema) {
            emit::fill(layout, &mut object);
        }
        Ok(object)
    }

    fn field(
        &mut self,
        field: &'s Field,
        text: &mut Text<'_>,
        earlier: Option<Value>,
        object: &mut Object,
        depth: usize,
    ) -> Result<(), Stop> {
        let base = self.enter(field);
        let value = self.value(&field.schema, text, earlier, depth + 1)?;
        self.leave(base);
        if let Some(value) = self.kept(field, value) {
            object.insert(field.name.to_string(), value);
        }
        Ok(())
    }

    pub(super) fn enter(&mut self, field: &'s Field) -> usize {
        let base = self.base;
        self.names.push(&field.name);
        if self.owner.is_some_and(|o| self.is_custom(o)) && !field.schema.type_name.is_empty() {
            self.base = self.names.len();
        }
        base
    }

    pub(super) fn leave(&mut self, base: usize) {
        self.names.pop();
        self.base = base;
    }

    /// What the field prints for a value that was read.
    pub(super) fn kept(&self, field: &Field, value: Option<Value>) -> Option<Value> {
        if self.is_custom(&field.schema) {
            return Some(value.unwrap_or(Value::Null));
        }
        match value {
            Some(value) => emit::keep(field, value),
            None => emit::absent(field),
        }
    }

    fn map(
        &mut self,
        values: &'s Schema,
        text: &mut Text<'_>,
        mut object: Object,
        depth: usize,
    ) -> Result<Object, Stop> {
        text.expect(b'{')?;
        let (mut first, len) = (true, self.path.len());
        let mut own = Object::new();
        while text.more(first, b'}')? {
            first = false;
            let key = text.key()?.into_owned();
            join(&mut self.path, &key);
            if own.contains_key(&key) {
                self.findings.add("duplicate", &self.path);
            }
            let value = match self.value(values, text, None, depth + 1)? {
                Some(value) => value,
                None if self.is_custom(values) => Value::Null,
                None => emit::zero(values),
            };
            own.insert(key, value);
            self.path.truncate(len);
        }
        if object.is_empty() {
            return Ok(own);
        }
        object.extend(own);
        Ok(object)
    }

    fn list(&mut self, items: &'s Schema, text: &mut Text<'_>, depth: usize) -> Result<Vec<Value>, Stop> {
        text.expect(b'[')?;
        let (mut list, mut first, len) = (Vec::new(), true, self.path.len());
        while text.more(first, b']')? {
            first = false;
            push_index(&mut self.path, list.len());
            let value = match self.value(items, text, None, depth + 1)? {
                Some(value) => value,
                None if self.is_custom(items) => Value::Null,
                None => emit::zero(items),
            };
            list.push(value);
            self.path.truncate(len);
        }
        Ok(list)
    }

    /// Whether a node belongs to a custom resource's own schema, whose values nobody rewrites.
    pub(super) fn is_custom(&self, schema: &Schema) -> bool {
        self.custom
            && schema.type_name.is_empty()
            && (schema.custom.is_some() || matches!(schema.kind, Kind::Any))
    }

    /// A scalar, or a value of another shape than its type.
    pub(super) fn leaf(&mut self, schema: &'s Schema, value: Value) -> Result<Option<Value>, Stop> {
        if value.is_null() {
            return Ok(None);
        }
        if self.is_custom(schema) {
            return Ok(Some(value));
        }
        let outcome = match &schema.kind {
            Kind::SchemaOr(_, other) => schema_or(*other, value),
            _ => leaf(schema, value),
        };
        match outcome {
            Ok(value) => Ok(Some(value).filter(|v| !v.is_null())),
            Err(LeafError::Type(found)) => {
                let error = self.type_error(found, go_type::name(schema));
                self.first_error.get_or_insert(error);
                Ok(None)
            }
            Err(LeafError::Parser(found, wanted)) => {
                Err(Stop::Error(self.type_error(found, wanted.to_string())))
            }
            Err(LeafError::Words(words)) => Err(Stop::Error(DecodeError::Value(words))),
            Err(LeafError::Base64(at)) => {
                let error = DecodeError::Value(format!("illegal base64 data at input byte {at}"));
                self.first_error.get_or_insert(error);
                Ok(None)
            }
        }
    }

    fn type_error(&self, found: String, go_type: String) -> DecodeError {
        let target = match self.owner {
            None => "value".to_string(),
            Some(owner) => format!(
                "struct field {}.{}",
                go_type::struct_name(owner, false),
                self.names[self.base..].join(".")
            ),
        };
        DecodeError::Type { found, target, go_type }
    }
}

fn into_object(earlier: Option<Value>) -> Object {
    match earlier {
        Some(Value::Object(object)) => object,
        _ => Object::new(),
    }
}

fn push_index(path: &mut String, index: usize) {
    use std::fmt::Write;
    // Writing to a String cannot fail.
    let _ = write!(path, "[{index}]");
}

/// Which fields of a struct were seen.
#[derive(Default)]
struct Seen {
    low: u128,
    rest: Vec<usize>,
}

impl Seen {
    /// Notes a field; whether it was noted before.
    fn insert(&mut self, index: usize) -> bool {
        if index < 128 {
            let bit = 1 << index;
            let repeated = self.low & bit != 0;
            self.low |= bit;
            return repeated;
        }
        let repeated = self.rest.contains(&index);
        self.rest.push(index);
        repeated
    }
}
