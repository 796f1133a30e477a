//! create.

use api_types::default;
use http::StatusCode;
use serde_json::Value;

use super::body::{self, Expected};
use super::endpoint::{storage_error, strip_kind};
use super::options::WriteOptions;
use super::pipeline::{self, Write};
use super::request::{Item, Outcome, Request};
use super::strategy::Generation;
use super::{Registry, meta};
use crate::admission::Operation;
use crate::error::{self, Result};

/// How often a generated name is made anew when it is taken.
const GENERATE_ATTEMPTS: usize = 8;

impl Registry {
    /// Creates the object in the request's body.
    ///
    /// # Errors
    /// Whatever is wrong with the body, the object or the moment.
    pub async fn create(&self, request: &Request) -> Result<Outcome> {
        let options = WriteOptions::parse("CreateOptions", &request.query, false)?;
        let expected = Expected::object(&request.endpoint.info);
        let object = body::decode(request, &expected, options.field_validation)?;
        let item = self.create_object(request, &options, object).await?;
        Ok(Outcome::Object(StatusCode::CREATED, item))
    }

    /// Creates a decoded object, in the served version.
    ///
    /// # Errors
    /// Whatever is wrong with the object or the moment.
    pub async fn create_object(
        &self,
        request: &Request,
        options: &WriteOptions,
        mut object: Value,
    ) -> Result<Item> {
        let endpoint = &request.endpoint;
        strip_kind(&mut object);
        default::apply(&endpoint.info, &mut object);
        endpoint.strategy.receive(&mut object);
        pipeline::check_namespace(request, &mut object)?;
        pipeline::dedup_owners(request, &mut object);
        let write = Write { request, options, operation: Operation::Create };
        let manager = request.manager(&options.field_manager);
        // Nobody comes to own what a client cannot set.
        for key in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
            meta::map(&mut object).remove(key);
        }
        super::managed::on_update(endpoint, None, &mut object, &manager, "");
        self.finish_create(&write, object).await
    }

    /// The second half of a creation, from admission on; an apply of an absent object enters here.
    pub(super) async fn finish_create(&self, write: &Write<'_>, object: Value) -> Result<Item> {
        let Write { request, options, .. } = *write;
        let endpoint = &request.endpoint;
        let mut object = self.admit(write, object, None).await?;
        default::apply(&endpoint.info, &mut object);
        pipeline::dedup_owners(request, &mut object);
        let generated = prepare(request, &mut object);
        let reservation = endpoint.strategy.reserve(self, &mut object, None, options.dry_run).await?;
        pipeline::validate_create(request, &object)?;
        request.warn(endpoint.strategy.warnings(&object, None));
        let object = self.admit_finally(write, object, None).await?;
        let item = match options.dry_run {
            true => self.pretend_create(request, object).await?,
            false => self.store_new(request, object, generated).await?,
        };
        if let Some(reservation) = reservation.filter(|_| !options.dry_run) {
            reservation.commit();
        }
        Ok(item)
    }

    async fn store_new(&self, request: &Request, mut object: Value, generated: bool) -> Result<Item> {
        let endpoint = &request.endpoint;
        let store = endpoint.store()?;
        let mut attempts = if generated { GENERATE_ATTEMPTS } else { 1 };
        loop {
            attempts -= 1;
            let name = meta::text(&object, "name").to_owned();
            let stored = {
                let value = endpoint.store_form(&object).await?;
                store.create(&request.namespace, &name, &value).await
            };
            match stored {
                Ok(stored) => {
                    endpoint.prepare(std::slice::from_ref(&stored)).await?;
                    return Ok(Item::Stored(stored));
                }
                Err(storage::Error::AlreadyExists { .. }) if attempts > 0 => {
                    let again = meta::generate_name(meta::text(&object, "generateName"));
                    meta::set(&mut object, "name", Some(again.into()));
                }
                Err(storage::Error::AlreadyExists { .. }) if generated => {
                    let info = &endpoint.info;
                    return Err(error::Error::generate_name_conflict(&info.group, &info.plural, &name, 1));
                }
                Err(storage::Error::AlreadyExists { .. }) => {
                    return Err(error::already_exists(&endpoint.info, &name));
                }
                Err(other) => return Err(storage_error(other)),
            }
        }
    }

    /// What a dry run answers; an existing object is still in the way.
    async fn pretend_create(&self, request: &Request, object: Value) -> Result<Item> {
        let endpoint = &request.endpoint;
        let name = meta::text(&object, "name");
        let present = endpoint.store()?.get(&request.namespace, name, storage::Freshness::Latest).await;
        match present.map_err(storage_error)? {
            Some(_) => Err(error::already_exists(&endpoint.info, name)),
            None => Ok(Item::Made(object)),
        }
    }
}

/// Fills in what the server alone decides. Returns whether the name was generated.
fn prepare(request: &Request, object: &mut Value) -> bool {
    let strategy = &request.endpoint.strategy;
    for key in
        ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion", "generation"]
    {
        meta::map(object).remove(key);
    }
    meta::set(object, "creationTimestamp", Some(meta::now().into()));
    meta::set(object, "uid", Some(uuid::Uuid::new_v4().to_string().into()));
    let prefix = meta::text(object, "generateName");
    let generated = meta::text(object, "name").is_empty() && !prefix.is_empty();
    if generated {
        let name = meta::generate_name(prefix);
        meta::set(object, "name", Some(name.into()));
    }
    strategy.prepare_create(object, &request.user);
    super::strategies::drop_fields(&request.endpoint.info, object, None);
    if !matches!(strategy.traits().generation, Generation::None | Generation::SpecChanges) {
        meta::set(object, "generation", Some(1.into()));
    }
    generated
}
