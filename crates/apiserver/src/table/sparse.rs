//! Parsing only the parts of an object that its printer reads: most of a stored object is never shown, and parsing it is most
//! of the work of a Table.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Which members of a value are parsed. Lists are transparent: their elements are parsed like the list.
#[derive(Clone, Copy, Debug)]
pub enum Parts {
    /// The whole value.
    All,
    /// Nothing of it.
    Nothing,
    /// Only these members.
    Only(&'static [(&'static str, Parts)]),
    /// All members, and of these only so much.
    Except(&'static [(&'static str, Parts)]),
}

/// What is parsed of objects whose printer says nothing else.
pub const USUAL: Parts = Parts::Except(&[("metadata", Parts::Except(&[("managedFields", Parts::Nothing)]))]);

impl Parts {
    /// Parses JSON.
    ///
    /// # Errors
    /// Of JSON that is malformed.
    pub fn parse(self, json: &[u8]) -> serde_json::Result<Value> {
        self.deserialize(&mut serde_json::Deserializer::from_slice(json))
    }

    fn of(self, name: &str) -> Self {
        let find = |members: &'static [(&'static str, Parts)]| {
            members.iter().find(|(member, _)| *member == name).map(|(_, parts)| *parts)
        };
        match self {
            Self::All | Self::Nothing => self,
            Self::Only(members) => find(members).unwrap_or(Self::Nothing),
            Self::Except(members) => find(members).unwrap_or(Self::All),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Parts {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Parts {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            match self.of(&name) {
                Self::Nothing => {
                    members.next_value::<IgnoredAny>()?;
                }
                Self::All => {
                    map.insert(name, members.next_value()?);
                }
                parts => {
                    map.insert(name, members.next_value_seed(parts)?);
                }
            }
        }
        Ok(Value::Object(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(self)? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value, E> {
        Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number that JSON does not have"))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_asked_for_is_parsed() {
        let text = br#"{"metadata":{"managedFields":[{"x":1}],"name":"n"},"spec":{"list":[{"a":1,"b":2.5},{"b":null}],"t":true}}"#;
        assert_eq!(
            USUAL.parse(text).unwrap(),
            json!({"metadata": {"name": "n"}, "spec": {"list": [{"a": 1, "b": 2.5}, {"b": null}], "t": true}})
        );
        const SOME: Parts =
            Parts::Only(&[("spec", Parts::Only(&[("list", Parts::Only(&[("a", Parts::All)]))]))]);
        assert_eq!(SOME.parse(text).unwrap(), json!({"spec": {"list": [{"a": 1}, {}]}}));
        assert!(USUAL.parse(b"{\"a\":").is_err());
    }
}
