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
use crate::error::{self, Error, Result};

const CONFLICT_ATTEMPTS: usize = 16;

/// What a deletion does to an object, decided without touching anything.
enum Plan {
    /// Nothing: it is being deleted already.
    Leave,
    /// Store this, and leave the rest to whoever is waited for.
    Mark(Value),
    /// Remove it. The value is the object's last state.
    Remove(Value),
    /// Store this as its last state, so that watchers see the deletion begin, and remove it.
    MarkAndRemove(Value),
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
        request.endpoint.prepare(&page.items).await?;
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
                let expected = Expected::delete_options();
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
        if let Some(why) = broken_precondition(options, stored) {
            // The cache may be behind; only what is stored now can break a precondition.
            return match fresh {
                true => Err(Error::conflict(&endpoint.info.group, &endpoint.info.kind, name, &why)),
                false => Ok(Step::Again(None)),
            };
        }
        endpoint.prepare(std::slice::from_ref(stored)).await?;
        let old = endpoint.value(stored)?;
        // Admission reads the request's own name: a deletion of a collection names nothing.
        self.admit_delete(request, &request.name, &options.raw, options.dry_run, &old).await?;
        let plan = self.plan(request, &old, options);
        let was_removed = matches!(plan, Plan::Remove(_) | Plan::MarkAndRemove(_));
        let last = match plan {
            Plan::Leave => old,
            Plan::Mark(object) | Plan::Remove(object) | Plan::MarkAndRemove(object) if options.dry_run => {
                object
            }
            Plan::Mark(object) => match self.mark(request, stored, &object).await? {
                Ok(marked_object) => return Ok(Step::Done(marked(options, Item::Stored(marked_object)))),
                Err(step) => return Ok(step),
            },
            Plan::Remove(object) => match self.remove_stored(request, stored, object).await? {
                Ok(object) => object,
                Err(step) => return Ok(step),
            },
            Plan::MarkAndRemove(object) => {
                let stored = match self.mark(request, stored, &object).await? {
                    Ok(stored) => stored,
                    Err(step) => return Ok(step),
                };
                let object = endpoint.value(&stored)?;
                match self.remove_stored(request, &stored, object).await? {
                    Ok(object) => object,
                    // Whoever was quicker removed it, which is what was wanted.
                    Err(Step::Gone) => endpoint.value(&stored)?,
                    Err(step) => return Ok(step),
                }
            }
        };
        if !was_removed || endpoint.strategy.traits().returns_deleted {
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

    async fn mark(
        &self,
        request: &Request,
        stored: &Arc<Object>,
        object: &Value,
    ) -> Result<std::result::Result<Arc<Object>, Step>> {
        let endpoint = &request.endpoint;
        let value = endpoint.store_form(object).await?;
        match endpoint.store()?.update(stored, &value).await {
            Ok(updated) => {
                endpoint.prepare(std::slice::from_ref(&updated)).await?;
                Ok(Ok(updated))
            }
            Err(error) => Step::from_error(error).map(Err),
        }
    }

    async fn remove_stored(
        &self,
        request: &Request,
        stored: &Arc<Object>,
        mut object: Value,
    ) -> Result<std::result::Result<Value, Step>> {
        let endpoint = &request.endpoint;
        match endpoint.store()?.delete(stored).await {
            Ok(revision) => {
                endpoint.strategy.after_delete(self, &object).await;
                meta::set(&mut object, "resourceVersion", Some(revision.to_string().into()));
                Ok(Ok(object))
            }
            Err(error) => Step::from_error(error).map(Err),
        }
    }

    fn plan(&self, request: &Request, old: &Value, options: &DeleteOptions) -> Plan {
        let strategy = &request.endpoint.strategy;
        let grace = strategy.grace_period(old, options);
        let period = meta::field(old, "deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
        if grace.is_some() && meta::is_deleting(old) && period > 0 {
            return plan_again(old, options, period, strategy.holds_back_deletion(old));
        }
        let mut object = old.clone();
        if self.settings.garbage_collector {
            set_gc_finalizers(&mut object, options, strategy.traits().dependents);
        }
        if let Some(finalizer) = strategy.deletion_finalizer().filter(|_| !meta::is_deleting(old)) {
            meta::add_finalizer(&mut object, finalizer);
        }
        let held = meta::has_finalizers(&object) || strategy.holds_back_deletion(&object);
        if meta::is_deleting(old) {
            return match (held, object == *old) {
                (true, true) => Plan::Leave,
                (true, false) => Plan::Mark(object),
                (false, _) => Plan::Remove(object),
            };
        }
        if grace.is_none() && !held {
            return Plan::Remove(object);
        }
        let secs = grace.unwrap_or(0);
        mark_deleted(&mut object, secs);
        strategy.begin_deletion(&mut object, old);
        match held || secs > 0 {
            true => Plan::Mark(object),
            false => Plan::MarkAndRemove(object),
        }
    }
}

enum Step {
    Done(Outcome),
    Again(Option<Arc<Object>>),
    Gone,
}

impl Step {
    fn from_error(error: storage::Error) -> Result<Self> {
        match error {
            storage::Error::Conflict(now) => Ok(Step::Again(Some(now))),
            storage::Error::NotFound { .. } => Ok(Step::Gone),
            other => Err(storage_error(other)),
        }
    }
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
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            stored.uid()
        ));
    }
    let version = options.resource_version.as_ref()?;
    let found = stored.revision().to_string();
    (*version != found).then(|| {
        format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({found}). The object might have been modified"
        )
    })
}

/// A deletion while the grace period runs: only a shorter one changes anything.
fn plan_again(old: &Value, options: &DeleteOptions, period: i64, held: bool) -> Plan {
    let mut object = old.clone();
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
    match held || meta::has_finalizers(old) || wanted > 0 {
        true => Plan::Mark(object),
        false => Plan::MarkAndRemove(object),
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
