//! Between the bytes in etcd and the bytes in the cache.
//!
//! etcd holds `{"kind":…,"apiVersion":…,` and the members in key order, without `metadata.resourceVersion`, which only
//! etcd knows. The cache holds the members alone, with it. One form is spliced from the other; nothing is serialised twice.

mod extract;
mod splice;

use std::sync::{Arc, OnceLock};

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use self::extract::{Members, field_of, fields_in, labels_in, labels_of, members_of, scalar, text_of};
use self::splice::{Splice, write_metadata, write_name, write_tail};
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
    if !config.decode_all && plain.first() == Some(&b'{') {
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

/// etcd refuses values beyond a few megabytes, so positions fit.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
