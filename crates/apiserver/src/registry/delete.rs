//! delete and deletecollection.
//!
//! A deletion is one of three things: the object is removed at once; or it is marked (deletionTimestamp) and its
//! finalizers or its grace period hold it back until an update releases it; or it was marked before, and only a shorter
//! grace period changes anything.

use std::sync::Arc;

use api_types::status::{self, Details};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use storage::{Freshness, Object};

use super::body::{self, Expected};
use super::endpoint::storage_error;
use super::options::{DeleteOptions, FieldValidation, ListOptions, Propagation};
use super::request::{Item, Outcome, Request};
use super::strategy::Dependents;
use super::{Registry, meta, read};
use crate::error::{self, Result};

const CONFLICT_ATTEMPTS: usize = 16;

/// What a deletion does to an object, decided without touching anything.
enum Plan {
    /// Nothing: it is being deleted already.
    Leave,
    /// Store this, and leave the rest to whoever is waited for.
    Mark(Value),
    /// Remove it. The value is the object's last state.
    Remove(Value),
}

impl Registry {
    /// Deletes one object.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` for preconditions, refusals of admission, failures of storage.
    pub async fn delete(&self, request: &Request) -> Result<Outcome> {
        let options = self.delete_options(request)?;
        request.warn(request.endpoint.strategy.delete_warnings(&options));
        self.delete_named(request, &request.name, &options, None).await
    }

    /// Deletes everything that the request's selectors match, one by one.
    ///
    /// # Errors
    /// The first failure other than that an object has gone by itself.
    pub async fn delete_collection(&self, request: &Request) -> Result<Outcome> {
        let options = self.delete_options(request)?;
        request.warn(request.endpoint.strategy.delete_warnings(&options));
        let list = ListOptions::parse(&request.query, false)?;
        let query = read::list_query(request, &list)?;
        let page = request.endpoint.store()?.list(&query).await.map_err(storage_error)?;
        for object in &page.items {
            match self.delete_named(request, object.name(), &options, Some(object)).await {
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Outcome::List(page))
    }

    fn delete_options(&self, request: &Request) -> Result<DeleteOptions> {
        let body = match request.body.is_empty() {
            true => None,
            false => {
                let expected = Expected::kind("", "v1", "DeleteOptions");
                Some(body::decode(request, &expected, FieldValidation::Ignore)?)
            }
        };
        DeleteOptions::parse(body, &request.query)
    }

    /// Deletes the object `name`, trying `known` first if it is given.
    ///
    /// # Errors
    /// As [`Registry::delete`].
    pub async fn delete_named(
        &self,
        request: &Request,
        name: &str,
        options: &DeleteOptions,
        known: Option<&Arc<Object>>,
    ) -> Result<Outcome> {
        let endpoint = &request.endpoint;
        let store = endpoint.store()?;
        let namespace = known.map_or(request.namespace.as_str(), |object| object.namespace());
        let mut current = match known {
            Some(object) => Some(Arc::clone(object)),
            None => store.get(namespace, name, Freshness::Any).await.map_err(storage_error)?,
        };
        let mut fresh = false;
        for _ in 0..CONFLICT_ATTEMPTS {
            let Some(stored) = current.take() else {
                if fresh {
                    return Err(error::not_found(&endpoint.info, name));
                }
                fresh = true;
                current = store.get(namespace, name, Freshness::Latest).await.map_err(storage_error)?;
                continue;
            };
            match self.try_delete(request, name, options, &stored, fresh).await? {
                Step::Done(outcome) => return Ok(outcome),
                Step::Again(now) => {
                    fresh = now.is_some();
                    current = now;
                }
                Step::Gone => return Err(error::not_found(&endpoint.info, name)),
            }
        }
        Err(error::modified(&endpoint.info, name))
    }

    async fn try_delete(
        &self,
        request: &Request,
        name: &str,
        options: &DeleteOptions,
        stored: &Arc<Object>,
        fresh: bool,
    ) -> Result<Step> {
        let endpoint = &request.endpoint;
        let store = endpoint.store()?;
        if let Some(why) = broken_precondition(options, stored) {
            // The cache may be behind; only what is stored now can break a precondition.
            return match fresh {
                true => Err(error::conflict(&endpoint.info, name, &why)),
                false => Ok(Step::Again(None)),
            };
        }
        let old = endpoint.value(stored)?;
        self.admit_delete(request, name, &options.raw, options.dry_run, &old).await?;
        let plan = self.plan(request, &old, options);
        let was_removed = matches!(plan, Plan::Remove(_));
        let last = match plan {
            Plan::Leave => old,
            Plan::Mark(object) if options.dry_run => object,
            Plan::Remove(object) if options.dry_run => object,
            Plan::Mark(object) => {
                let result = {
                    let value = endpoint.to_hub(&object)?;
                    store.update(stored, &value).await
                };
                match result {
                    Ok(updated) => return Ok(Step::Done(marked(options, Item::Stored(updated)))),
                    Err(storage::Error::Conflict(now)) => return Ok(Step::Again(Some(now))),
                    Err(storage::Error::NotFound { .. }) => return Ok(Step::Gone),
                    Err(other) => return Err(storage_error(other)),
                }
            }
            Plan::Remove(object) => match store.delete(stored).await {
                Ok(_) => {
                    endpoint.strategy.after_delete(self, &object).await;
                    object
                }
                Err(storage::Error::Conflict(now)) => return Ok(Step::Again(Some(now))),
                Err(storage::Error::NotFound { .. }) => return Ok(Step::Gone),
                Err(other) => return Err(storage_error(other)),
            },
        };
        if !was_removed || options.dry_run || endpoint.strategy.traits().returns_deleted {
            return Ok(Step::Done(marked(options, Item::Made(last))));
        }
        let details = Details {
            name: name.to_owned(),
            group: endpoint.info.group.to_string(),
            kind: endpoint.info.plural.to_string(),
            uid: meta::text(&last, "uid").to_owned(),
            ..Details::default()
        };
        Ok(Step::Done(Outcome::Status(StatusCode::OK, status::success(Some(&details)))))
    }

    fn plan(&self, request: &Request, old: &Value, options: &DeleteOptions) -> Plan {
        let strategy = &request.endpoint.strategy;
        let grace = match meta::is_deleting(old) {
            true => return plan_again(old, options, strategy.grace_period(old, options).is_some()),
            false => strategy.grace_period(old, options),
        };
        let mut object = old.clone();
        if self.settings.garbage_collector {
            set_gc_finalizers(&mut object, options, strategy.traits().dependents);
        }
        let held = meta::has_finalizers(&object) || strategy.holds_back_deletion(&object);
        let grace = match grace {
            Some(secs) => secs,
            None if held => 0,
            None => return Plan::Remove(object),
        };
        mark_deleted(&mut object, grace);
        strategy.begin_deletion(&mut object);
        match held || grace > 0 {
            true => Plan::Mark(object),
            false => Plan::Remove(object),
        }
    }
}

enum Step {
    Done(Outcome),
    Again(Option<Arc<Object>>),
    Gone,
}

/// The answer for an object that stays for a while: 202 where the client asked for a cascade in the old way.
fn marked(options: &DeleteOptions, item: Item) -> Outcome {
    let code = match (&item, options.orphan_dependents) {
        (Item::Stored(_), Some(false)) => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    Outcome::Object(code, item)
}

fn broken_precondition(options: &DeleteOptions, stored: &Object) -> Option<String> {
    if let Some(uid) = &options.uid
        && uid != stored.uid()
    {
        return Some(format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            stored.uid()
        ));
    }
    let version = options.resource_version.as_ref()?;
    let found = stored.revision().to_string();
    (*version != found).then(|| {
        format!("Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: {found}")
    })
}

/// A deletion of what is being deleted: it may shorten the grace period, or finish what nothing holds back.
fn plan_again(old: &Value, options: &DeleteOptions, graceful: bool) -> Plan {
    let mut object = old.clone();
    let held = meta::has_finalizers(old);
    let period = meta::field(old, "deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
    if !graceful || period == 0 {
        return if held { Plan::Leave } else { Plan::Remove(object) };
    }
    let Some(wanted) = options.grace_period_secs.map(|secs| if secs < 0 { 1 } else { secs }) else {
        return Plan::Leave;
    };
    if wanted >= period {
        return Plan::Leave;
    }
    let shortened = meta::text(old, "deletionTimestamp")
        .parse::<Timestamp>()
        .ok()
        .and_then(|at| at.checked_sub(SignedDuration::from_secs(period - wanted)).ok());
    meta::set(&mut object, "deletionTimestamp", shortened.map(|at| meta::time(at).into()));
    meta::set(&mut object, "deletionGracePeriodSeconds", Some(wanted.into()));
    match held || wanted > 0 {
        true => Plan::Mark(object),
        false => Plan::Remove(object),
    }
}

fn mark_deleted(object: &mut Value, grace_secs: i64) {
    let now = Timestamp::now();
    let at = now.checked_add(SignedDuration::from_secs(grace_secs)).unwrap_or(now);
    meta::set(object, "deletionTimestamp", Some(meta::time(at).into()));
    meta::set(object, "deletionGracePeriodSeconds", Some(grace_secs.into()));
    meta::bump_generation(object);
}

/// Sets the garbage collector's finalizers as the options, the object and the resource's default say, in this order.
fn set_gc_finalizers(object: &mut Value, options: &DeleteOptions, default: Dependents) {
    let before: Vec<String> = meta::finalizers(object).into_iter().map(str::to_owned).collect();
    let has = |name: &str| before.iter().any(|f| f == name);
    let wanted = match (options.orphan_dependents, options.propagation) {
        _ if default == Dependents::Unsupported => Propagation::Background,
        (Some(true), _) | (_, Some(Propagation::Orphan)) => Propagation::Orphan,
        (Some(false), _) | (_, Some(Propagation::Background)) => Propagation::Background,
        (_, Some(Propagation::Foreground)) => Propagation::Foreground,
        _ if has(meta::ORPHAN) => Propagation::Orphan,
        _ if has(meta::FOREGROUND) => Propagation::Foreground,
        _ if default == Dependents::Orphan => Propagation::Orphan,
        _ => Propagation::Background,
    };
    let mut after: Vec<String> =
        before.iter().filter(|f| *f != meta::ORPHAN && *f != meta::FOREGROUND).cloned().collect();
    match wanted {
        Propagation::Orphan => after.push(meta::ORPHAN.to_owned()),
        Propagation::Foreground => after.push(meta::FOREGROUND.to_owned()),
        Propagation::Background => {}
    }
    if after != before {
        let value = if after.is_empty() { None } else { Some(after.into()) };
        meta::set(object, "finalizers", value);
    }
}
