//! One served resource: its row, its strategy, its store, and the forms in which its objects leave.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use api_types::resource::{self, ResourceInfo};
use api_types::{codec, convert, decode, default, schema};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use storage::{Field, Object, ResourceConfig, ResourceStore, Store};

use super::managed::Managers;
use super::strategy::Strategy;
use super::{Settings, strategies};
use crate::error::{Error, Result};
use crate::http::respond;

/// Fields of the cache that are indexed, because many clients each watch one value.
const INDEXED: [(&str, &str, &str); 1] = [("", "pods", "spec.nodeName")];

/// The encodings of one object that an endpoint keeps; added to the endpoint's number they name a storage slot.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// Canonical JSON in the served version, where that is not the stored one.
    Json,
    /// The protobuf message in the served version, without envelope.
    Protobuf,
    /// `{"metadata":…}` alone.
    Metadata,
}

const FORMS: u32 = 8;

/// One served resource.
pub struct Endpoint {
    /// The row, in the served version.
    pub info: Arc<ResourceInfo>,
    /// The row of the stored version; equal to `info` for nearly all resources.
    pub hub: Arc<ResourceInfo>,
    /// What the resource adds to the generic operations.
    pub strategy: Arc<dyn Strategy>,
    /// `{"kind":"Pod","apiVersion":"v1",`
    pub head: Bytes,
    webhook: Option<Arc<dyn Convert>>,
    place: Option<Place>,
    managers: OnceLock<Managers>,
    id: u32,
}

impl Endpoint {
    /// A built-in resource; its objects are loaded at once.
    pub(super) fn new(info: Arc<ResourceInfo>, store: &Store, settings: &Settings) -> Result<Self> {
        let hub = hub_of(&info);
        let endpoint = Self::over(info, hub, store, settings);
        if let Some(place) = &endpoint.place {
            place.open()?;
        }
        Ok(endpoint)
    }

    /// A version of a custom resource, which is stored as `hub`. Its objects are loaded when they are first asked for:
    /// of thousands of definitions few are in use.
    pub(super) fn custom(
        info: Arc<ResourceInfo>,
        hub: Arc<ResourceInfo>,
        webhook: Option<Arc<dyn Convert>>,
        store: &Store,
        settings: &Settings,
    ) -> Self {
        Endpoint { webhook, ..Self::over(info, hub, store, settings) }
    }

    fn over(info: Arc<ResourceInfo>, hub: Arc<ResourceInfo>, store: &Store, settings: &Settings) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let place = (!info.key_prefix.is_empty()).then(|| Place {
            store: store.clone(),
            config: config(&hub, settings),
            retired: AtomicBool::new(false),
            opened: OnceLock::new(),
        });
        let head = format!(r#"{{"kind":"{}","apiVersion":"{}","#, info.kind, info.api_version());
        Endpoint {
            strategy: strategies::of(&info, settings),
            managers: OnceLock::new(),
            webhook: None,
            hub,
            place,
            head: head.into(),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            info,
        }
    }

    /// Whether the served version is the stored one.
    pub fn is_hub(&self) -> bool {
        self.info.version == self.hub.version && self.info.group == self.hub.group
    }

    /// Whether objects leave in another form than the cache has. Where a webhook converts, even objects of the stored
    /// version may have been stored in another one before.
    pub fn converts(&self) -> bool {
        !self.is_hub() || self.webhook.is_some()
    }

    /// Who sets which field.
    pub fn managers(&self) -> &Managers {
        self.managers.get_or_init(|| Managers::new(&self.info))
    }

    /// Whether objects are stored; some resources exist only in answers (reviews, bindings).
    pub fn has_store(&self) -> bool {
        self.place.is_some()
    }

    /// The store of a resource that has one.
    ///
    /// # Errors
    /// `MethodNotAllowed` for resources that exist only in answers; `NotFound` for custom resources whose definition
    /// has gone.
    pub fn store(&self) -> Result<&ResourceStore> {
        self.place.as_ref().ok_or_else(crate::error::method_not_allowed)?.open()
    }

    /// Whether the row is no longer served, so that a request that began with it has to look again.
    pub fn is_retired(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.retired.load(Ordering::Acquire))
    }

    /// Ends the store: watches end, requests that are still under way fail.
    pub(super) fn retire(&self) {
        if let Some(place) = &self.place {
            place.retire();
        }
    }

    /// Makes the served form of objects that a webhook converts, where it is not there yet. Everything that reads objects
    /// calls it first; after that, no form of them needs a webhook.
    ///
    /// # Errors
    /// The webhook fails.
    pub async fn prepare(&self, objects: &[Arc<Object>]) -> Result<()> {
        let Some(webhook) = &self.webhook else { return Ok(()) };
        let wanted = self.info.api_version();
        let slot = self.slot(Form::Json);
        let mut by_version: BTreeMap<String, Vec<(&Arc<Object>, Value)>> = BTreeMap::new();
        for object in objects.iter().filter(|object| object.encodings().get(slot).is_none()) {
            let mut value = object.value();
            let stored = take_foreign(&mut value).unwrap_or_else(|| self.hub.api_version());
            if stored == wanted {
                self.keep(object, &value)?;
            } else {
                let value = respond::of_kind(&stored, &self.info.kind, value);
                by_version.entry(stored).or_default().push((object, value));
            }
        }
        for (_, asked) in by_version {
            let (objects, values): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
            let converted = webhook.convert(values, &wanted).await?;
            for (object, mut value) in objects.into_iter().zip(converted) {
                strip_kind(&mut value);
                decode::prune(&self.info.schema, &mut value);
                self.keep(object, &value)?;
            }
        }
        Ok(())
    }

    fn keep(&self, object: &Object, value: &Value) -> Result<()> {
        let encode = || serde_json::to_vec(value).map(Bytes::from).map_err(Error::internal);
        object.encodings().get_or_try_make(self.slot(Form::Json), encode).map(drop)
    }

    /// A stored object parsed, in the served version.
    ///
    /// # Errors
    /// The object cannot be converted.
    pub fn value(&self, object: &Object) -> Result<Value> {
        if self.webhook.is_some() {
            return serde_json::from_slice(&self.json(object)?).map_err(Error::internal);
        }
        self.out_of_hub(object.value())
    }

    /// An object of the stored version in the served version, converted by a webhook where there is one.
    ///
    /// # Errors
    /// The object cannot be converted.
    pub async fn read_hub(&self, value: Value) -> Result<Value> {
        match &self.webhook {
            Some(webhook) if !self.is_hub() => self.convert(&**webhook, value, &self.hub, &self.info).await,
            _ => self.out_of_hub(value),
        }
    }

    /// An object of the served version as it is stored. Takes a copy only where the versions differ.
    ///
    /// # Errors
    /// The object cannot be converted.
    pub async fn store_form<'a>(&self, value: &'a Value) -> Result<Cow<'a, Value>> {
        match &self.webhook {
            Some(webhook) if !self.is_hub() => {
                let mut value = self.convert(&**webhook, value.clone(), &self.info, &self.hub).await?;
                fit(&self.hub, &mut value);
                Ok(Cow::Owned(value))
            }
            _ => self.to_hub(value),
        }
    }

    async fn convert(
        &self,
        webhook: &dyn Convert,
        value: Value,
        from: &ResourceInfo,
        to: &ResourceInfo,
    ) -> Result<Value> {
        let value = respond::with_kind(from, value);
        let mut converted = webhook.convert(vec![value], &to.api_version()).await?;
        let mut value = converted.pop().unwrap_or_default();
        strip_kind(&mut value);
        Ok(value)
    }

    /// An object of the stored version in the served version, where no webhook is needed.
    ///
    /// # Errors
    /// The object cannot be converted.
    fn out_of_hub(&self, mut value: Value) -> Result<Value> {
        if self.is_hub() {
            return Ok(value);
        }
        if self.info.is_custom() {
            decode::prune(&self.info.schema, &mut value);
            return Ok(value);
        }
        convert::convert(&self.hub, &self.info, value).map_err(Error::internal)
    }

    /// An object of the served version in the stored version, where no webhook is needed. Takes a copy only where they
    /// differ.
    ///
    /// # Errors
    /// The object cannot be converted.
    pub fn to_hub<'a>(&self, value: &'a Value) -> Result<Cow<'a, Value>> {
        if self.is_hub() {
            return Ok(Cow::Borrowed(value));
        }
        if self.info.is_custom() {
            let mut value = value.clone();
            fit(&self.hub, &mut value);
            return Ok(Cow::Owned(value));
        }
        convert::convert(&self.info, &self.hub, value.clone()).map(Cow::Owned).map_err(Error::internal)
    }

    /// Canonical JSON in the served version: the cache's own bytes unless the versions differ.
    ///
    /// # Errors
    /// The object cannot be converted.
    pub fn json(&self, object: &Object) -> Result<Bytes> {
        if !self.converts() {
            return Ok(object.json().clone());
        }
        object.encodings().get_or_try_make(self.slot(Form::Json), || {
            // Bookmarks are no objects: nothing of them needs to be converted.
            if self.webhook.is_some() && !object.uid().is_empty() {
                let what =
                    format!("{} {} was not converted before it was read", self.info.kind, object.name());
                return Err(Error::internal(what));
            }
            let mut value = self.out_of_hub(object.value())?;
            strip_kind(&mut value);
            serde_json::to_vec(&value).map(Bytes::from).map_err(Error::internal)
        })
    }

    /// The protobuf message, without envelope, made once per object.
    ///
    /// # Errors
    /// The object cannot be encoded.
    pub fn protobuf(&self, object: &Object) -> Result<Bytes> {
        object
            .encodings()
            .get_or_try_make(self.slot(Form::Protobuf), || self.encode_protobuf(&self.value(object)?))
    }

    /// The protobuf message of an object that is not stored.
    ///
    /// # Errors
    /// The object cannot be encoded.
    pub fn encode_protobuf(&self, value: &Value) -> Result<Bytes> {
        codec::encode(&self.info.schema, value).map(Bytes::from).map_err(Error::internal)
    }

    /// `{"metadata":…}` alone, made once per object.
    ///
    /// # Errors
    /// The stored bytes are not an object.
    pub fn metadata(&self, object: &Object) -> Result<Bytes> {
        object.encodings().get_or_try_make(self.slot(Form::Metadata), || {
            metadata_only(object.json()).map_err(Error::internal)
        })
    }

    fn slot(&self, form: Form) -> u32 {
        self.id * FORMS + form as u32
    }

    /// Whether upstream stores the resource's objects as protobuf, in which empty and absent lists are one.
    pub fn is_stored_as_protobuf(&self) -> bool {
        self.has_protobuf() && !STORED_AS_JSON.contains(&&*self.info.group)
    }

    /// Whether objects of the resource can be encoded as protobuf: built-in ones can.
    pub fn has_protobuf(&self) -> bool {
        !self.info.is_custom()
    }
}

/// Converts custom objects between versions of one resource.
#[async_trait]
pub trait Convert: Send + Sync {
    /// The objects, which have `kind` and one `apiVersion`, in the version `wanted`, in their order.
    ///
    /// # Errors
    /// Some object cannot be converted.
    async fn convert(&self, objects: Vec<Value>, wanted: &str) -> Result<Vec<Value>>;
}

/// A member that no object has, as its name begins with a control character: the version of an object that was stored
/// before the present version was the stored one, and that only a webhook can convert.
const FOREIGN: &str = "\u{1}apiVersion";

/// Takes the mark of an object of another stored version away.
fn take_foreign(value: &mut Value) -> Option<String> {
    let mark = value.as_object_mut()?.remove(FOREIGN)?;
    mark.as_str().map(str::to_owned)
}

/// Where the objects of a resource are: known from the start, opened when first asked for.
struct Place {
    store: Store,
    config: ResourceConfig,
    retired: AtomicBool,
    /// An error for good once the resource is retired.
    opened: OnceLock<Result<ResourceStore>>,
}

impl Place {
    fn open(&self) -> Result<&ResourceStore> {
        let opened =
            self.opened.get_or_init(|| self.store.resource(self.config.clone()).map_err(storage_error));
        opened.as_ref().map_err(Clone::clone)
    }

    fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        if let Ok(opened) = self.opened.get_or_init(|| Err(Error::path_not_found())) {
            self.store.remove(opened);
        }
    }
}

/// Groups whose objects upstream stores as JSON, which tells an empty list from none.
const STORED_AS_JSON: [&str; 2] = ["apiextensions.k8s.io", "apiregistration.k8s.io"];

/// `{"metadata":…}` of an object's JSON, copied, not parsed further.
///
/// # Errors
/// The text is not a JSON object.
pub fn metadata_only(json: &[u8]) -> serde_json::Result<Bytes> {
    #[derive(serde::Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow)]
        metadata: &'a serde_json::value::RawValue,
    }
    let Metadata { metadata } = serde_json::from_slice(json)?;
    Ok(format!(r#"{{"metadata":{}}}"#, metadata.get()).into())
}

/// Removes `kind` and `apiVersion`.
pub fn strip_kind(value: &mut Value) {
    if let Some(map) = value.as_object_mut() {
        map.remove("kind");
        map.remove("apiVersion");
    }
}

/// What the registry answers when storage fails and nobody knows better.
pub fn storage_error(error: storage::Error) -> Error {
    use storage::Error as E;
    match error {
        E::Expired { message, continue_token } => {
            Error::expired(message).with_continue(continue_token.unwrap_or_default())
        }
        E::TooLargeRevision { requested, current } => crate::error::future_version(requested, current),
        E::InvalidContinue(why) => Error::bad_request(format!("invalid continue token: {why}")),
        E::TooLarge { .. } => Error::request_entity_too_large("etcdserver: request is too large"),
        E::Unavailable { .. } | E::NoSpace(_) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "storage");
            Error::internal(error)
        }
        E::Initializing { retry_after, .. } => {
            let secs = u32::try_from(retry_after.as_secs()).unwrap_or(1).max(1);
            Error::too_many_requests("storage is (re)initializing", secs)
        }
        E::Removed { .. } => Error::path_not_found(),
        other => Error::internal(other),
    }
}

/// The row of the version in which a resource is stored, or the row itself where that version is not served.
fn hub_of(info: &Arc<ResourceInfo>) -> Arc<ResourceInfo> {
    let (group, version) = info.stored_api_version.split_once('/').unwrap_or(("", &info.stored_api_version));
    if info.key_prefix.is_empty() || (info.group == group && info.version == version) {
        return Arc::clone(info);
    }
    resource::find_kind(group, version, &info.stored_kind).unwrap_or_else(|| Arc::clone(info))
}

fn config(hub: &ResourceInfo, settings: &Settings) -> ResourceConfig {
    let mut config =
        ResourceConfig::new(&hub.key_prefix, hub.namespaced, &hub.stored_api_version, &hub.stored_kind);
    config.group = hub.group.to_string();
    config.resource = hub.plural.to_string();
    for selectable in &hub.selectable_fields {
        if matches!(&*selectable.label, "metadata.name" | "metadata.namespace") {
            continue;
        }
        let mut field = Field::new(&selectable.label).path(&selectable.path);
        for (label, path, default) in strategies::FIELD_EXTRAS
            .iter()
            .filter(|(group, plural, ..)| hub.group == *group && hub.plural == *plural)
            .map(|(_, _, label, path, default)| (label, path, default))
        {
            if selectable.label == *label {
                if !path.is_empty() {
                    field = field.path(path);
                }
                field = field.default_value(default);
            }
        }
        if INDEXED.contains(&(&*hub.group, &*hub.plural, &*selectable.label)) {
            field = field.indexed();
        }
        config = config.field(field);
    }
    if hub.kind == "Event" {
        config.ttl = Some(settings.event_ttl);
    }
    let row = hub.clone();
    config.decode = match &hub.custom {
        None => Some(Arc::new(move |raw| decode_stored(&row, raw))),
        Some(custom) => {
            let by_webhook = custom.converted;
            config.decode_all = true;
            config.revision.clone_from(&custom.revision);
            Some(Arc::new(move |raw| decode_custom(&row, raw, by_webhook)))
        }
    };
    config
}

/// A stored custom object as the present schema has it: without unknown fields, with defaults.
fn decode_custom(hub: &ResourceInfo, raw: &[u8], by_webhook: bool) -> std::result::Result<Value, String> {
    let mut value: Value = serde_json::from_slice(raw).map_err(|err| err.to_string())?;
    let stored = value["apiVersion"].as_str().unwrap_or_default();
    if by_webhook && stored != hub.api_version() {
        value[FOREIGN] = stored.into();
        return Ok(value);
    }
    fit(hub, &mut value);
    Ok(value)
}

/// Brings a custom object into the form of a version: unknown fields go, defaults come. Values stay as they are.
fn fit(info: &ResourceInfo, value: &mut Value) {
    decode::prune(&info.schema, value);
    default::apply(info, value);
}

/// A stored value that is not JSON of the stored version: protobuf written by upstream, or another version.
fn decode_stored(hub: &ResourceInfo, raw: &[u8]) -> std::result::Result<Value, String> {
    let mut value: Value = match codec::is_protobuf(raw) {
        true => codec::decode_object(raw).map_err(|err| err.to_string())?,
        false => serde_json::from_slice(raw).map_err(|err| err.to_string())?,
    };
    let api_version = value["apiVersion"].as_str().unwrap_or_default().to_owned();
    let kind = value["kind"].as_str().unwrap_or_default().to_owned();
    strip_kind(&mut value);
    if api_version == hub.api_version() {
        return Ok(value);
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    match resource::find_kind(group, version, &kind) {
        Some(row) => convert::convert(&row, hub, value).map_err(|err| err.to_string()),
        None if schema::by_gvk(group, version, &kind).is_none() && !hub.schema.type_name.is_empty() => {
            Err(format!("stored as {api_version} {kind}, which is unknown"))
        }
        None => Ok(value),
    }
}
