//! The walk over a value that was read before.

use serde_json::{Map as JsonMap, Value};

use super::DecodeError;
use super::walk::{Stop, Walk};
use crate::schema::{Kind, Schema, SchemaOr, emit};

type Object = JsonMap<String, Value>;

/// What a Go typed round trip would print for a value: `null`s and empty values dropped or added, scalars in canonical form,
/// unknown fields dropped.
pub fn normalize(schema: &Schema, value: Value) -> Result<Value, DecodeError> {
    let mut walk = Walk::new(schema);
    match walk.settle(schema, value) {
        Ok(value) => match walk.first_error {
            Some(error) => Err(error),
            None => Ok(value.unwrap_or_else(|| emit::zero(schema))),
        },
        Err(Stop::Error(error)) => Err(error),
        // Only text can be malformed.
        Err(Stop::Malformed) => Err(DecodeError::Value("exceeded max depth".into())),
    }
}

impl<'s> Walk<'s> {
    /// Settles a value; `None` is `null`.
    fn settle(&mut self, schema: &'s Schema, value: Value) -> Result<Option<Value>, Stop> {
        match (&schema.kind, value) {
            (_, Value::Null) => Ok(None),
            (Kind::Struct(layout), Value::Object(object)) => {
                let custom = self.is_custom(schema);
                let outer = self.owner.replace(schema);
                let mut kept = Object::new();
                for (key, value) in object {
                    let Some(field) = layout.field(&key) else {
                        if layout.preserve_unknown {
                            kept.insert(key, value);
                        }
                        continue;
                    };
                    let base = self.enter(field);
                    let value = self.settle(&field.schema, value)?;
                    self.leave(base);
                    if let Some(value) = self.kept(field, value) {
                        kept.insert(key, value);
                    }
                }
                self.owner = outer;
                if !custom {
                    emit::fill(layout, &mut kept);
                }
                Ok(Some(Value::Object(kept)))
            }
            (Kind::Map(map), Value::Object(mut object)) => {
                for value in object.values_mut() {
                    self.settle_member(&map.value, value)?;
                }
                Ok(Some(Value::Object(object)))
            }
            (Kind::List(list), Value::Array(mut items)) => {
                for value in &mut items {
                    self.settle_member(&list.item, value)?;
                }
                Ok(Some(Value::Array(items)))
            }
            (Kind::SchemaOr(inner, _), value @ Value::Object(_)) => self.settle(inner, value),
            (Kind::SchemaOr(inner, SchemaOr::Schemas), Value::Array(mut items)) => {
                for value in &mut items {
                    self.settle_member(inner, value)?;
                }
                Ok(Some(Value::Array(items)))
            }
            (Kind::Any | Kind::RawExtension | Kind::FieldsV1, value) => Ok(Some(value)),
            (_, value) => self.leaf(schema, value),
        }
    }

    fn settle_member(&mut self, schema: &'s Schema, value: &mut Value) -> Result<(), Stop> {
        *value = match self.settle(schema, value.take())? {
            Some(value) => value,
            None if self.is_custom(schema) => Value::Null,
            None => emit::zero(schema),
        };
        Ok(())
    }
}
