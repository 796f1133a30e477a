//! Taking out of an object what selection needs: from a parsed value when it is ours, and from text, parsed no further
//! than necessary, when it comes from etcd.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::config::{Field, ResourceConfig};
use crate::intern::{Interner, Symbol};

pub(super) fn labels_of(interner: &Interner, metadata: &Map<String, Value>) -> Box<[(Symbol, Symbol)]> {
    let Some(labels) = metadata.get("labels").and_then(Value::as_object) else {
        return Box::default();
    };
    let labels = labels.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    sorted_labels(interner, labels)
}

fn sorted_labels<'a>(
    interner: &Interner,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) -> Box<[(Symbol, Symbol)]> {
    let mut labels: Box<[_]> =
        labels.map(|(key, value)| (interner.intern(key), interner.intern(value))).collect();
    labels.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    labels
}

pub(super) fn field_of<'a>(field: &'a Field, value: &'a Value) -> Cow<'a, str> {
    let found = field.paths.iter().find_map(|path| {
        let leaf = path.iter().try_fold(value, |value, name| value.get(name))?;
        let text = match leaf {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            Value::Bool(_) | Value::Number(_) => Cow::Owned(leaf.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        (!text.is_empty()).then_some(text)
    });
    found.unwrap_or(Cow::Borrowed(&field.default))
}

/// The members of one JSON object, their values still text.
pub(super) type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

pub(super) fn labels_in(
    interner: &Interner,
    metadata: &Members<'_>,
) -> Result<Box<[(Symbol, Symbol)]>, String> {
    let Some((_, raw)) = metadata.iter().find(|(name, _)| name == "labels") else {
        return Ok(Box::default());
    };
    let labels: Option<Pairs<Text<'_>>> = parse(raw.get().as_bytes())?;
    let labels = labels.map(|pairs| pairs.0).unwrap_or_default();
    Ok(sorted_labels(interner, labels.iter().map(|(key, value)| (&**key, &*value.0))))
}

/// A path still to be walked: the field's slot, the rank of the path within the field, and what is left of it.
type Wanted<'a> = (usize, usize, &'a [String]);

pub(super) fn fields_in(
    config: &ResourceConfig,
    interner: &Interner,
    members: &Members<'_>,
) -> Result<Box<[Symbol]>, String> {
    let mut wanted: Vec<Wanted<'_>> = Vec::new();
    for (slot, field) in config.fields.iter().enumerate() {
        wanted.extend(field.paths.iter().enumerate().map(|(rank, path)| (slot, rank, &path[..])));
    }
    let mut found: Vec<Option<(usize, String)>> = vec![None; config.fields.len()];
    walk(members, &wanted, &mut found)?;
    let values = found.into_iter().zip(&config.fields);
    Ok(values
        .map(|(found, field)| interner.intern(found.as_ref().map_or(&field.default, |(_, text)| text)))
        .collect())
}

/// Follows all paths at once, so that each nested object is split once.
fn walk(
    members: &Members<'_>,
    wanted: &[Wanted<'_>],
    found: &mut [Option<(usize, String)>],
) -> Result<(), String> {
    for (name, raw) in members {
        let mut deeper: Vec<Wanted<'_>> = Vec::new();
        for (slot, rank, path) in wanted {
            match path.split_first() {
                Some((first, rest)) if first == name && rest.is_empty() => {
                    let Some(text) = leaf_text(raw)? else { continue };
                    let better = found[*slot].as_ref().is_none_or(|(earlier, _)| rank < earlier);
                    if better && !text.is_empty() {
                        found[*slot] = Some((*rank, text));
                    }
                }
                Some((first, rest)) if first == name => deeper.push((*slot, *rank, rest)),
                _ => {}
            }
        }
        if !deeper.is_empty() && raw.get().starts_with('{') {
            walk(&members_of(raw.get().as_bytes())?, &deeper, found)?;
        }
    }
    Ok(())
}

fn leaf_text(raw: &RawValue) -> Result<Option<String>, String> {
    match raw.get().as_bytes().first() {
        Some(b'"') => Ok(Some(parse::<Text<'_>>(raw.get().as_bytes())?.0.into_owned())),
        Some(b'{' | b'[' | b'n') | None => Ok(None),
        Some(_) => Ok(Some(raw.get().to_owned())),
    }
}

pub(super) fn text_of<'a>(members: &Members<'a>, name: &str) -> Result<Option<Cow<'a, str>>, String> {
    match members.iter().find(|(candidate, _)| candidate == name) {
        Some((_, raw)) => Ok(parse::<Option<Text<'a>>>(raw.get().as_bytes())?.map(|text| text.0)),
        None => Ok(None),
    }
}

/// A string member without escapes, as kinds and versions are.
pub(super) fn scalar<'a>(members: &'a Members<'_>, name: &str) -> Option<&'a str> {
    let (_, raw) = members.iter().find(|(candidate, _)| candidate == name)?;
    raw.get().strip_prefix('"')?.strip_suffix('"')
}

pub(super) fn members_of(json: &[u8]) -> Result<Members<'_>, String> {
    Ok(parse::<Pairs<&RawValue>>(json)?.0)
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of an object in the order in which they stand.
struct Pairs<'a, V>(Vec<(Cow<'a, str>, V)>);

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Pairs<'a, V> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<'a, V>(std::marker::PhantomData<(&'a (), V)>);
        impl<'de: 'a, 'a, V: Deserialize<'de>> Visitor<'de> for Collect<'a, V> {
            type Value = Pairs<'a, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(8);
                while let Some((key, value)) = map.next_entry::<Text<'de>, V>()? {
                    pairs.push((key.0, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Collect(std::marker::PhantomData))
    }
}
