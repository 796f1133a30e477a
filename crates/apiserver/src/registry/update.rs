//! update: PUT of an object or of its status, and the loop that every change of a stored object goes through.

use std::sync::Arc;

use access::authz::{self, Attributes};
use api_types::apply::keep_timestamps_if_unchanged;
use api_types::default;
use http::StatusCode;
use serde_json::Value;
use storage::{Freshness, Object};

use super::body::{self, Expected};
use super::endpoint::{storage_error, strip_kind};
use super::options::WriteOptions;
use super::pipeline::{self, Write};
use super::request::{Item, Outcome, Request};
use super::strategy::advance_generation;
use super::{Registry, managed, meta};
use crate::admission::Operation;
use crate::error::{self, Error, Result};

/// How often a change that may be made again is made again when others change the object in between.
const CONFLICT_ATTEMPTS: usize = 64;

/// Makes the new object from the stored one (`None`: absent).
pub type Transform<'a> = dyn Fn(Option<&Value>) -> Result<Value> + Send + Sync + 'a;

/// How a change deals with versions and absence.
pub struct Change<'a> {
    /// Makes the new object; called again when it is made again.
    pub transform: &'a Transform<'a>,
    /// Records the fields' owners; the transform of an apply has done so already.
    pub record_owners: bool,
    /// An absent object is created.
    pub create_absent: bool,
    /// The transform starts from the stored object, so that a conflict is met by doing it again.
    pub is_patch: bool,
}

impl Registry {
    /// Replaces an object, or its status.
    ///
    /// # Errors
    /// Whatever is wrong with the body, the object or the moment.
    pub async fn update(&self, request: &Request) -> Result<Outcome> {
        let options = WriteOptions::parse("UpdateOptions", &request.query, false)?;
        let info = &request.endpoint.info;
        let expected = Expected::object(info);
        let first = parking_lot::Mutex::new(Some(self.decode_update(request, &expected, &options)?));
        let transform = |_: Option<&Value>| match first.lock().take() {
            Some(object) => Ok(object),
            // A second attempt is rare: reading the body again is cheaper than keeping a copy of each.
            None => {
                let object = self.decode_update(request, &expected, &options);
                request.warnings.lock().dedup();
                object
            }
        };
        let change = Change {
            transform: &transform,
            record_owners: true,
            create_absent: request.endpoint.strategy.traits().create_on_update
                && request.subresource.is_empty(),
            is_patch: false,
        };
        self.change(request, &options, &change).await
    }

    fn decode_update(
        &self,
        request: &Request,
        expected: &Expected<'_>,
        options: &WriteOptions,
    ) -> Result<Value> {
        let mut object = body::decode(request, expected, options.field_validation)?;
        default::apply(&request.endpoint.info, &mut object);
        request.endpoint.strategy.receive(&mut object);
        pipeline::check_namespace(request, &mut object)?;
        pipeline::check_name(request, &object)?;
        Ok(object)
    }

    /// Changes a stored object: reads, transforms, admits, validates, stores; again on conflict where that is right.
    ///
    /// # Errors
    /// Whatever is wrong with the object or the moment.
    pub async fn change(
        &self,
        request: &Request,
        options: &WriteOptions,
        change: &Change<'_>,
    ) -> Result<Outcome> {
        let endpoint = &request.endpoint;
        let store = endpoint.store()?;
        let mut fresh = false;
        let told = request.warnings.lock().len();
        // Whoever met a conflict queues up: one of many writers of an object at a time has the best chance, and the
        // others do no work in vain.
        let mut turn = None;
        let mut current =
            store.get(&request.namespace, &request.name, Freshness::Any).await.map_err(storage_error)?;
        for _ in 0..CONFLICT_ATTEMPTS {
            let Some(stored) = current.take() else {
                if !fresh {
                    fresh = true;
                    current = self.read_latest(request).await?;
                    if current.is_some() {
                        continue;
                    }
                }
                return self.create_instead(request, options, change).await;
            };
            let attempt = match self.attempt(request, options, change, &stored).await {
                Ok(attempt) => attempt,
                // What is refused by the cache's copy, which may be behind, might be right for what is stored now.
                Err(error) if !fresh => {
                    fresh = true;
                    current = self.read_latest(request).await?;
                    if current.as_ref().is_some_and(|now| now.revision() == stored.revision()) {
                        return Err(error);
                    }
                    request.warnings.lock().truncate(told);
                    continue;
                }
                Err(error) => return Err(error),
            };
            match attempt {
                Attempt::Done(outcome) => return Ok(outcome),
                Attempt::Conflict(None) if fresh => {
                    return Err(error::modified(&endpoint.info, &request.name));
                }
                // The cache may be behind: the version is judged again by what is stored now.
                Attempt::Conflict(None) => {
                    fresh = true;
                    current = self.read_latest(request).await?;
                }
                Attempt::Conflict(Some(now)) => {
                    fresh = true;
                    current = match turn {
                        Some(_) => Some(now),
                        None => {
                            turn = Some(self.turns.wait(now.uid()).await);
                            self.read_latest(request).await?
                        }
                    };
                }
                Attempt::Gone => {
                    fresh = true;
                    current = None;
                }
            }
        }
        Err(error::modified(&endpoint.info, &request.name))
    }

    async fn read_latest(&self, request: &Request) -> Result<Option<Arc<Object>>> {
        let store = request.endpoint.store()?;
        store.get(&request.namespace, &request.name, Freshness::Latest).await.map_err(storage_error)
    }

    async fn create_instead(
        &self,
        request: &Request,
        options: &WriteOptions,
        change: &Change<'_>,
    ) -> Result<Outcome> {
        let endpoint = &request.endpoint;
        if !change.create_absent {
            return Err(error::not_found(&endpoint.info, &request.name));
        }
        let mut object = (change.transform)(None)?;
        // Whoever names a uid means an object that was there.
        if !change.is_patch {
            check_uid(request, &object, None)?;
        }
        self.may_create(request).await?;
        if change.record_owners {
            let manager = request.manager(&options.field_manager);
            managed::on_update(endpoint, None, &mut object, &manager, &request.subresource);
        }
        let write = Write { request, options, operation: Operation::Create };
        let item = self.finish_create(&write, object).await?;
        Ok(Outcome::Object(StatusCode::CREATED, item))
    }

    /// Whoever creates by an update or a patch must be allowed to create.
    async fn may_create(&self, request: &Request) -> Result<()> {
        if request.internal {
            return Ok(());
        }
        let info = &request.endpoint.info;
        let mut attributes = Attributes::resource(&request.user, "create", &info.group, &info.plural);
        attributes.version = &info.version;
        attributes.namespace = &request.namespace;
        attributes.name = &request.name;
        let verdict = self.authorizer.authorize(&attributes).await;
        match verdict.allowed() {
            true => Ok(()),
            false => Err(authz::forbidden(&attributes, &verdict.reason)),
        }
    }

    async fn attempt(
        &self,
        request: &Request,
        options: &WriteOptions,
        change: &Change<'_>,
        stored: &Arc<Object>,
    ) -> Result<Attempt> {
        let endpoint = &request.endpoint;
        endpoint.prepare(std::slice::from_ref(stored)).await?;
        let old = endpoint.value(stored)?;
        let mut object = (change.transform)(Some(&old))?;
        strip_kind(&mut object);
        let version = meta::text(&object, "resourceVersion").to_owned();
        let unconditional = version.is_empty() || version == "0";
        if unconditional && !change.is_patch && !endpoint.strategy.traits().unconditional_update {
            return Err(pipeline::version_required(&endpoint.info, &request.name));
        }
        if !unconditional {
            let wanted: i64 = version.parse().map_err(|_| malformed_version(&version))?;
            if wanted != stored.revision() {
                return Ok(Attempt::Conflict(None));
            }
        }
        // A patch of a subresource that names a uid means that very object, as kubelets do.
        let names_object = change.record_owners && !request.subresource.is_empty();
        if !change.is_patch || names_object {
            check_uid(request, &object, Some(&old))?;
        }
        if change.record_owners {
            let manager = request.manager(&options.field_manager);
            managed::on_update(endpoint, Some(&old), &mut object, &manager, &request.subresource);
        }
        let write = Write { request, options, operation: Operation::Update };
        let mut object = self.admit(&write, object, Some(&old)).await?;
        default::apply(&endpoint.info, &mut object);
        pipeline::dedup_owners(request, &mut object);
        prepare(request, &mut object, &old);
        let reservation = match request.subresource.is_empty() {
            true => endpoint.strategy.reserve(self, &mut object, Some(&old), options.dry_run).await?,
            false => None,
        };
        pipeline::validate_update(request, &object, &old)?;
        request.warn(endpoint.strategy.warnings(&object, Some(&old)));
        let mut object = self.admit_finally(&write, object, Some(&old)).await?;
        keep_timestamps_if_unchanged(&old, &mut object);
        if options.dry_run {
            return Ok(Attempt::Done(Outcome::Object(StatusCode::OK, Item::Made(object))));
        }
        let outcome = self.put(request, stored, object).await;
        if let (Ok(Attempt::Done(_)), Some(reservation)) = (&outcome, reservation) {
            reservation.commit();
        }
        match outcome? {
            // A full update names the version that it replaces; its conflict is the client's to solve.
            Attempt::Conflict(Some(_)) if !change.is_patch && !unconditional => {
                Err(error::modified(&endpoint.info, &request.name))
            }
            attempt => Ok(attempt),
        }
    }

    /// Stores the changed object, or removes it when the change took away the last thing that held it back.
    pub(super) async fn put(
        &self,
        request: &Request,
        stored: &Arc<Object>,
        object: Value,
    ) -> Result<Attempt> {
        let endpoint = &request.endpoint;
        let store = endpoint.store()?;
        if is_released(request, &object) {
            return match store.delete(stored).await {
                Ok(_) => {
                    endpoint.strategy.after_delete(self, &object).await;
                    Ok(Attempt::Done(Outcome::Object(StatusCode::OK, Item::Made(object))))
                }
                Err(error) => Attempt::from_error(error),
            };
        }
        let result = {
            let value = endpoint.store_form(&object).await?;
            store.update(stored, &value).await
        };
        match result {
            Ok(updated) => {
                endpoint.prepare(std::slice::from_ref(&updated)).await?;
                Ok(Attempt::Done(Outcome::Object(StatusCode::OK, Item::Stored(updated))))
            }
            Err(error) => Attempt::from_error(error),
        }
    }
}

/// What came of one attempt.
pub(super) enum Attempt {
    Done(Outcome),
    /// Another version is stored: this one, or one that has to be read.
    Conflict(Option<Arc<Object>>),
    Gone,
}

impl Attempt {
    fn from_error(error: storage::Error) -> Result<Self> {
        match error {
            storage::Error::Conflict(now) => Ok(Attempt::Conflict(Some(now))),
            storage::Error::NotFound { .. } => Ok(Attempt::Gone),
            other => Err(storage_error(other)),
        }
    }
}

/// A uid in the body of a full update is a precondition.
fn check_uid(request: &Request, object: &Value, old: Option<&Value>) -> Result<()> {
    let (wanted, found) = (meta::text(object, "uid"), old.map_or("", |old| meta::text(old, "uid")));
    if wanted.is_empty() || wanted == found {
        return Ok(());
    }
    let endpoint = &request.endpoint;
    let key = match request.namespace.as_str() {
        "" => format!("{}/{}", endpoint.hub.key_prefix, request.name),
        namespace => format!("{}/{namespace}/{}", endpoint.hub.key_prefix, request.name),
    };
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    );
    Err(error::conflict(&endpoint.info, &request.name, &why))
}

fn malformed_version(version: &str) -> Error {
    let why = format!("strconv.ParseUint: parsing {}: invalid syntax", api_types::field::quote(version));
    Error::plain(500, "", why)
}

/// Restores what an update may not change.
fn prepare(request: &Request, object: &mut Value, old: &Value) {
    let strategy = &request.endpoint.strategy;
    meta::keep(object, old, "generation");
    match request.subresource.as_str() {
        "" => {
            strategy.prepare_update(object, old);
            super::strategies::drop_fields(&request.endpoint.info, object, Some(old));
        }
        subresource => strategy.prepare_subresource_update(subresource, object, old),
    }
    if meta::text(object, "uid").is_empty() {
        meta::keep(object, old, "uid");
    }
    for key in ["creationTimestamp", "selfLink"] {
        meta::keep(object, old, key);
    }
    // Left out, they stay; anything else is refused as a change.
    for key in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        if meta::field(object, key).is_none() {
            meta::keep(object, old, key);
        }
    }
    if request.subresource != "status" {
        advance_generation(strategy.traits().generation, object, old);
    }
    meta::keep(object, old, "resourceVersion");
}

/// Whether nothing holds back any longer an object that is being deleted.
fn is_released(request: &Request, object: &Value) -> bool {
    let grace = meta::field(object, "deletionGracePeriodSeconds").and_then(Value::as_i64);
    meta::is_deleting(object)
        && grace.is_none_or(|secs| secs == 0)
        && !meta::has_finalizers(object)
        && !request.endpoint.strategy.holds_back_deletion(object)
}
