//! The registry as the server's own parts use it: [`loopback::Objects`].

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use storage::Freshness;

use super::endpoint::{storage_error, strip_kind};
use super::options::{DeleteOptions, WriteOptions};
use super::request::{Item, Outcome, Request};
use super::update::Change;
use super::{Endpoint, Registry, meta};
use crate::error::{Error, Result};
use crate::loopback::{Objects, Target};

impl Registry {
    fn target(&self, target: Target<'_>) -> Result<Arc<Endpoint>> {
        self.hub(target.group, target.resource).ok_or_else(Error::path_not_found)
    }

    fn internal_request(&self, target: Target<'_>) -> Result<Request> {
        let endpoint = self.target(target)?;
        Ok(Request::internal(endpoint, target.namespace, target.name, target.subresource))
    }
}

#[async_trait]
impl Objects for Registry {
    async fn get(&self, target: Target<'_>) -> Result<Option<Value>> {
        let endpoint = self.target(target)?;
        let found = endpoint.store()?.get(target.namespace, target.name, Freshness::Latest).await;
        let Some(object) = found.map_err(storage_error)? else { return Ok(None) };
        endpoint.prepare(std::slice::from_ref(&object)).await?;
        endpoint.value(&object).map(Some)
    }

    async fn create(&self, target: Target<'_>, object: Value) -> Result<Value> {
        let mut request = self.internal_request(target)?;
        request.name.clear();
        let item = self.create_object(&request, &WriteOptions::default(), object).await?;
        value(&request.endpoint, item)
    }

    async fn update(&self, target: Target<'_>, object: Value) -> Result<Value> {
        let request = self.internal_request(target)?;
        let transform = |_: Option<&Value>| {
            let mut object = object.clone();
            strip_kind(&mut object);
            Ok(object)
        };
        let change =
            Change { transform: &transform, record_owners: true, create_absent: false, is_patch: false };
        match self.change(&request, &WriteOptions::default(), &change).await? {
            Outcome::Object(_, item) => value(&request.endpoint, item),
            _ => Err(Error::internal("an update answered with something else than the object")),
        }
    }

    async fn delete(&self, target: Target<'_>) -> Result<()> {
        let request = self.internal_request(target)?;
        let options = DeleteOptions { grace_period_secs: Some(0), ..DeleteOptions::default() };
        self.delete_named(&request, target.name, &options, None).await.map(drop)
    }
}

impl Registry {
    /// Changes a stored object without admission, validation or a record of owners: for what a subresource has decided
    /// already (a binding, a spent disruption budget). The function is called again when somebody else was quicker.
    ///
    /// # Errors
    /// What the function refuses with, `NotFound`, failures of storage.
    pub async fn mutate_stored(
        &self,
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
        dry_run: bool,
        change: &(dyn Fn(&mut Value) -> Result<()> + Send + Sync),
    ) -> Result<Value> {
        let endpoint = self.hub(group, resource).ok_or_else(Error::path_not_found)?;
        let store = endpoint.store()?;
        let mut current = store.get(namespace, name, Freshness::Any).await.map_err(storage_error)?;
        let mut fresh = false;
        for _ in 0..16 {
            let Some(stored) = current.take() else {
                if fresh {
                    break;
                }
                fresh = true;
                current = store.get(namespace, name, Freshness::Latest).await.map_err(storage_error)?;
                continue;
            };
            let mut object = stored.value();
            if let Err(error) = change(&mut object) {
                if fresh {
                    return Err(error);
                }
                // The refusal may be about a state that has passed.
                fresh = true;
                current = store.get(namespace, name, Freshness::Latest).await.map_err(storage_error)?;
                continue;
            }
            if dry_run {
                return Ok(object);
            }
            match store.update(&stored, &object).await {
                Ok(updated) => return Ok(updated.value()),
                Err(storage::Error::Conflict(now)) => {
                    fresh = true;
                    current = Some(now);
                }
                Err(storage::Error::NotFound { .. }) => break,
                Err(other) => return Err(storage_error(other)),
            }
        }
        Err(crate::error::not_found(&endpoint.info, name))
    }

    /// Applies a configuration in the server's own name, whoever owns its fields now. The object is created if it is
    /// absent, unless only a subresource of it is meant.
    ///
    /// # Errors
    /// As [`Registry::patch`].
    pub async fn apply_internal(&self, target: Target<'_>, config: &Value, manager: &str) -> Result<()> {
        let mut request = self.internal_request(target)?;
        request.body = config.to_string().into();
        let options =
            WriteOptions { field_manager: manager.to_owned(), force: true, ..WriteOptions::default() };
        self.apply(&request, &options).await.map(drop)
    }

    /// Changes an object in the server's own name by a function that is called again when somebody else changed the
    /// object in between. The function may refuse.
    ///
    /// # Errors
    /// What the function refuses with, `NotFound`, failures of storage.
    pub async fn modify(
        &self,
        target: Target<'_>,
        change: impl Fn(&mut Value) -> Result<()> + Send + Sync,
    ) -> Result<Value> {
        let request = self.internal_request(target)?;
        let transform = |old: Option<&Value>| {
            let mut object =
                old.cloned().ok_or_else(|| crate::error::not_found(&request.endpoint.info, target.name))?;
            change(&mut object)?;
            Ok(object)
        };
        let change =
            Change { transform: &transform, record_owners: true, create_absent: false, is_patch: true };
        match self.change(&request, &WriteOptions::default(), &change).await? {
            Outcome::Object(_, item) => value(&request.endpoint, item),
            _ => Err(Error::internal("an update answered with something else than the object")),
        }
    }
}

fn value(endpoint: &Endpoint, item: Item) -> Result<Value> {
    let mut object = match item {
        Item::Stored(object) => endpoint.value(&object)?,
        Item::Made(value) => value,
    };
    strip_kind(&mut object);
    debug_assert!(!meta::text(&object, "name").is_empty());
    Ok(object)
}
