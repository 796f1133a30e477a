//! Between the bytes in etcd and the bytes in the cache.
//!
//! etcd holds `{"kind":…,"apiVersion":…,` and the members in key order, without `metadata.resourceVersion`, which only
//! etcd knows. The cache holds the members alone, with it. One form is spliced from the other; nothing is serialised twice.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::config::ResourceConfig;
use crate::intern::{Interner, Symbol};
use crate::object::{Object, Slots, kind_head};

/// The key of an object below its resource's prefix, and where the name begins in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub text: Box<str>,
    pub name_at: u32,
}

impl Key {
    /// The key of a new object; `None` when the parts cannot form a key of the resource.
    pub fn new(namespaced: bool, namespace: &str, name: &str) -> Option<Self> {
        let valid = !name.is_empty() && namespaced != namespace.is_empty() && !namespace.contains('/');
        valid.then(|| match namespace {
            "" => Self { text: name.into(), name_at: 0 },
            _ => Self { text: format!("{namespace}/{name}").into(), name_at: position(namespace.len() + 1) },
        })
    }

    /// The key as found in etcd.
    pub fn parse(namespaced: bool, text: &str) -> Option<Self> {
        let name_at = if namespaced { text.find('/')? + 1 } else { 0 };
        (name_at < text.len()).then(|| Self { text: text.into(), name_at: position(name_at) })
    }
}

/// An object on its way to etcd: its value there, and all that makes the cached object once the revision is known.
pub(crate) struct Prepared {
    pub config: Arc<ResourceConfig>,
    key: Key,
    /// What etcd stores, sealed when the resource is encrypted.
    pub stored: Vec<u8>,
    /// The members without kind and version, as `"a":1,"b":2}`.
    tail: Vec<u8>,
    splice: Splice,
    uid: Box<str>,
    labels: Box<[(Symbol, Symbol)]>,
    fields: Box<[Symbol]>,
    object: OnceLock<Arc<Object>>,
}

impl Prepared {
    /// Encodes a value for storage.
    pub fn new(
        config: &Arc<ResourceConfig>,
        interner: &Interner,
        key: Key,
        etcd_key: &str,
        value: &Value,
    ) -> Result<Self, String> {
        let members = value.as_object().ok_or("it is not a JSON object")?;
        let empty = Map::new();
        let metadata = match members.get("metadata") {
            None | Some(Value::Null) => &empty,
            Some(Value::Object(metadata)) => metadata,
            Some(_) => return Err("its metadata is not a JSON object".to_owned()),
        };
        let (tail, splice) = write_tail(members, metadata).map_err(|error| error.to_string())?;
        let mut stored = kind_head(config).into_bytes();
        stored.extend_from_slice(&tail);
        if let Some(transformer) = &config.transformer {
            stored = transformer.seal(etcd_key, stored)?;
        }
        Ok(Self {
            key,
            stored,
            tail,
            splice,
            uid: metadata.get("uid").and_then(Value::as_str).unwrap_or_default().into(),
            labels: labels_of(interner, metadata),
            fields: config.fields.iter().map(|field| interner.intern(&field_of(field, value))).collect(),
            object: OnceLock::new(),
            config: config.clone(),
        })
    }

    /// The object as written at a revision. The writer and the feed, whoever comes first, make it once.
    pub fn object(&self, revision: i64) -> Arc<Object> {
        let made = self.object.get_or_init(|| Arc::new(self.build(revision)));
        if made.revision == revision { made.clone() } else { Arc::new(self.build(revision)) }
    }

    /// Whether the value, once stored, would be the object that is already there.
    pub fn equals(&self, current: &Object) -> bool {
        let digits = current.revision.to_string().len();
        let inserted = self.splice.inserted_len(digits);
        let json = &current.json;
        json.len() == 1 + self.tail.len() + inserted
            && json[1..=self.splice.at] == self.tail[..self.splice.at]
            && json[1 + self.splice.at + inserted..] == self.tail[self.splice.at..]
    }

    fn build(&self, revision: i64) -> Object {
        let (json, revision_at) = self.splice.apply(&self.tail, revision);
        Object {
            config: self.config.clone(),
            key: self.key.text.clone(),
            name_at: self.key.name_at,
            revision_at,
            uid: self.uid.clone(),
            revision,
            labels: self.labels.clone(),
            fields: self.fields.clone(),
            json: json.into(),
            encodings: Slots::default(),
        }
    }
}

/// Makes the cached object from what etcd holds. JSON of the configured kind and version is taken apart only as far as
/// selection needs; everything else goes through the resource's decoder.
pub(crate) fn decode(
    config: &Arc<ResourceConfig>,
    interner: &Interner,
    etcd_key: &str,
    key: Key,
    stored: &[u8],
    revision: i64,
) -> Result<Object, String> {
    let opened;
    let plain = match &config.transformer {
        Some(transformer) => {
            opened = transformer.open(etcd_key, stored)?;
            &opened[..]
        }
        None => stored,
    };
    if plain.first() == Some(&b'{') {
        let members = members_of(plain)?;
        if scalar(&members, "kind") == Some(&config.kind)
            && scalar(&members, "apiVersion") == Some(&config.api_version)
        {
            return splice_members(config, interner, key, &members, revision);
        }
    }
    let decode = config.decode.as_ref().ok_or_else(|| {
        format!(
            "it is neither JSON nor of kind {} in {}, and the resource has no decoder",
            config.kind, config.api_version
        )
    })?;
    let value = decode(plain)?;
    let plain_config =
        if config.transformer.is_some() { without_transformer(config) } else { config.clone() };
    let mut object = Prepared::new(&plain_config, interner, key, etcd_key, &value)?.build(revision);
    object.config = config.clone();
    Ok(object)
}

/// Decoding goes through [`Prepared`], which need not seal what is only read.
fn without_transformer(config: &ResourceConfig) -> Arc<ResourceConfig> {
    let mut config = config.clone();
    config.transformer = None;
    Arc::new(config)
}

/// Where `"resourceVersion":"N"` belongs in a run of members, and which commas it needs there.
#[derive(Debug, Clone, Copy, Default)]
struct Splice {
    at: usize,
    comma_before: bool,
    comma_after: bool,
}

const REVISION_KEY: &[u8] = br#""resourceVersion":""#;

impl Splice {
    /// How many bytes are inserted for a revision of so many digits.
    fn inserted_len(self, digits: usize) -> usize {
        REVISION_KEY.len() + digits + 1 + usize::from(self.comma_before) + usize::from(self.comma_after)
    }

    /// The canonical JSON of `{` and the tail with the revision in place, and where its digits begin.
    fn apply(self, tail: &[u8], revision: i64) -> (Vec<u8>, u32) {
        let text = revision.to_string();
        let mut json = Vec::with_capacity(1 + tail.len() + self.inserted_len(text.len()));
        json.push(b'{');
        json.extend_from_slice(&tail[..self.at]);
        if self.comma_before {
            json.push(b',');
        }
        json.extend_from_slice(REVISION_KEY);
        let revision_at = position(json.len());
        json.extend_from_slice(text.as_bytes());
        json.push(b'"');
        if self.comma_after {
            json.push(b',');
        }
        json.extend_from_slice(&tail[self.at..]);
        (json, revision_at)
    }
}

/// Serialises the members but kind and version in key order, noting where the revision goes.
fn write_tail(
    members: &Map<String, Value>,
    metadata: &Map<String, Value>,
) -> serde_json::Result<(Vec<u8>, Splice)> {
    let mut names: Vec<&str> = members.keys().map(String::as_str).collect();
    names.retain(|name| !matches!(*name, "kind" | "apiVersion" | "metadata"));
    names.push("metadata");
    names.sort_unstable();
    let mut tail = Vec::with_capacity(1024);
    let mut splice = Splice::default();
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            tail.push(b',');
        }
        write_name(&mut tail, name)?;
        if *name != "metadata" {
            serde_json::to_writer(&mut tail, &members[*name])?;
            continue;
        }
        let mut inner: Vec<(&str, &Value)> =
            metadata.iter().map(|(name, value)| (name.as_str(), value)).collect();
        inner.sort_unstable_by_key(|(name, _)| *name);
        splice = write_metadata(&mut tail, &inner, |tail, value| serde_json::to_writer(tail, value))?;
    }
    tail.push(b'}');
    Ok((tail, splice))
}

/// Writes the metadata object without its revision; the members come in key order.
fn write_metadata<V>(
    tail: &mut Vec<u8>,
    members: &[(&str, V)],
    write: impl Fn(&mut Vec<u8>, &V) -> serde_json::Result<()>,
) -> serde_json::Result<Splice> {
    tail.push(b'{');
    let mut splice = None;
    let mut first = true;
    for (name, value) in members.iter().filter(|(name, _)| *name != "resourceVersion") {
        if !first {
            tail.push(b',');
        }
        if splice.is_none() && *name > "resourceVersion" {
            splice = Some(Splice { at: tail.len(), comma_before: false, comma_after: true });
        }
        first = false;
        write_name(tail, name)?;
        write(tail, value)?;
    }
    let splice = splice.unwrap_or(Splice { at: tail.len(), comma_before: !first, comma_after: false });
    tail.push(b'}');
    Ok(splice)
}

fn write_name(tail: &mut Vec<u8>, name: &str) -> serde_json::Result<()> {
    serde_json::to_writer(&mut *tail, name)?;
    tail.push(b':');
    Ok(())
}

fn labels_of(interner: &Interner, metadata: &Map<String, Value>) -> Box<[(Symbol, Symbol)]> {
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

fn field_of<'a>(field: &'a crate::Field, value: &'a Value) -> Cow<'a, str> {
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
type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

fn splice_members(
    config: &Arc<ResourceConfig>,
    interner: &Interner,
    key: Key,
    members: &Members<'_>,
    revision: i64,
) -> Result<Object, String> {
    let mut order: Vec<(&str, &RawValue)> = members.iter().map(|(name, raw)| (&**name, *raw)).collect();
    order.retain(|(name, _)| !matches!(*name, "kind" | "apiVersion"));
    if !order.iter().any(|(name, _)| *name == "metadata") {
        order.push(("metadata", RawValue::NULL));
    }
    order.sort_by_key(|(name, _)| *name);
    let length: usize = order.iter().map(|(name, raw)| name.len() + raw.get().len() + 4).sum();
    let mut tail = Vec::with_capacity(length + 1);
    let mut splice = Splice::default();
    let mut metadata = Members::new();
    for (at, (name, raw)) in order.iter().enumerate() {
        if at > 0 {
            tail.push(b',');
        }
        write_name(&mut tail, name).map_err(|error| error.to_string())?;
        if *name != "metadata" {
            tail.extend_from_slice(raw.get().as_bytes());
            continue;
        }
        metadata = if raw.get() == "null" { Members::new() } else { members_of(raw.get().as_bytes())? };
        let mut inner: Vec<(&str, &RawValue)> = metadata.iter().map(|(name, raw)| (&**name, *raw)).collect();
        inner.sort_by_key(|(name, _)| *name);
        splice = write_metadata(&mut tail, &inner, |tail, raw| {
            tail.extend_from_slice(raw.get().as_bytes());
            Ok(())
        })
        .map_err(|error| error.to_string())?;
    }
    tail.push(b'}');
    let (json, revision_at) = splice.apply(&tail, revision);
    Ok(Object {
        config: config.clone(),
        name_at: key.name_at,
        key: key.text,
        revision_at,
        uid: text_of(&metadata, "uid")?.unwrap_or_default().into(),
        revision,
        labels: labels_in(interner, &metadata)?,
        fields: fields_in(config, interner, members)?,
        json: json.into(),
        encodings: Slots::default(),
    })
}

fn labels_in(interner: &Interner, metadata: &Members<'_>) -> Result<Box<[(Symbol, Symbol)]>, String> {
    let Some((_, raw)) = metadata.iter().find(|(name, _)| name == "labels") else {
        return Ok(Box::default());
    };
    let labels: Option<Pairs<Text<'_>>> = parse(raw.get().as_bytes())?;
    let labels = labels.map(|pairs| pairs.0).unwrap_or_default();
    Ok(sorted_labels(interner, labels.iter().map(|(key, value)| (&**key, &*value.0))))
}

/// A path still to be walked: the field's slot, the rank of the path within the field, and what is left of it.
type Wanted<'a> = (usize, usize, &'a [String]);

fn fields_in(
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

fn text_of<'a>(members: &Members<'a>, name: &str) -> Result<Option<Cow<'a, str>>, String> {
    match members.iter().find(|(candidate, _)| candidate == name) {
        Some((_, raw)) => Ok(parse::<Option<Text<'a>>>(raw.get().as_bytes())?.map(|text| text.0)),
        None => Ok(None),
    }
}

/// A string member without escapes, as kinds and versions are.
fn scalar<'a>(members: &'a Members<'_>, name: &str) -> Option<&'a str> {
    let (_, raw) = members.iter().find(|(candidate, _)| candidate == name)?;
    raw.get().strip_prefix('"')?.strip_suffix('"')
}

fn members_of(json: &[u8]) -> Result<Members<'_>, String> {
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

/// etcd refuses values beyond a few megabytes, so positions fit.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
