//! Writes that remember themselves, so that a key is not worked on again before the caches have seen them.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures::future::join_all;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::Request;
use kube::{Client, Error};
use parking_lot::Mutex;
use serde::Serialize;

use crate::fetch;
use crate::informer::{Informer, Key, Object};

/// After this long a cache is taken as it is; a selection may never see a write that left it.
const PATIENCE: Duration = Duration::from_secs(10);

type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;
type Answer<'a, K> = Pin<Box<dyn Future<Output = Result<K, Error>> + Send + 'a>>;
type Built = Result<http::Request<Vec<u8>>, kube::core::request::Error>;

/// The writes of one reconciliation.
#[derive(Default)]
pub struct Writes {
    waits: Mutex<Vec<Wait>>,
}

impl Writes {
    /// Notes that `written` came back from a write; `informer` has to reach its resource version.
    pub fn wrote<K: Object>(&self, informer: &Informer<K>, written: &K) {
        let revision = written.meta().resource_version.as_deref().and_then(|text| text.parse().ok());
        if let Some(revision) = revision
            && informer.revision() < revision
        {
            let informer = informer.clone();
            self.waits.lock().push(Box::pin(async move { informer.reached(revision).await }));
        }
    }

    /// Notes that the object under `key` with `uid` was deleted; `informer` has to see it gone or going.
    pub fn deleted<K: Object>(&self, informer: &Informer<K>, key: Key, uid: Option<String>) {
        let mut changes = informer.inner_revision();
        let informer = informer.clone();
        self.waits.lock().push(Box::pin(async move {
            loop {
                let gone = match informer.store().get(&key) {
                    None => true,
                    Some(object) => {
                        object.meta().deletion_timestamp.is_some()
                            || (uid.is_some() && object.meta().uid != uid)
                    }
                };
                if gone || changes.changed().await.is_err() {
                    return;
                }
            }
        }));
    }

    /// Whether all writes are visible already.
    pub fn is_empty(&self) -> bool {
        self.waits.lock().is_empty()
    }

    /// Waits until all noted writes are visible, but not for ever.
    pub async fn visible(self) {
        let waits = self.waits.into_inner();
        if tokio::time::timeout(PATIENCE, join_all(waits)).await.is_err() {
            tracing::debug!("a cache has not shown an own write in time");
        }
    }
}

/// Writes objects of one resource and notes each write.
pub struct Writer<K: Object> {
    client: Client,
    resource: K::DynamicType,
    informer: Option<Informer<K>>,
}

impl<K: Object> Clone for Writer<K> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), resource: self.resource.clone(), informer: self.informer.clone() }
    }
}

impl<K: Object> Writer<K> {
    /// A writer whose writes have to become visible in `informer`.
    pub fn new(client: &Client, informer: &Informer<K>) -> Self {
        Self {
            client: client.clone(),
            resource: informer.resource().clone(),
            informer: Some(informer.clone()),
        }
    }

    /// A writer of a resource that nobody watches here.
    pub fn blind(client: &Client, resource: K::DynamicType) -> Self {
        Self { client: client.clone(), resource, informer: None }
    }

    /// Reads an object from the server, past the cache.
    ///
    /// # Errors
    /// As the server answers; see [`crate::ErrorExt`].
    pub async fn get(&self, key: &Key) -> Result<K, Error> {
        let request = self.at(key).get(&key.name, &Default::default());
        self.send(request).await
    }

    /// Creates an object in the namespace of its metadata.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn create(&self, writes: &Writes, object: &K) -> Result<K, Error>
    where
        K: Serialize,
    {
        let request = self.at(&Key::of(object)).create(&PostParams::default(), body(object)?);
        self.noted(writes, request).await
    }

    /// Replaces an object; its resource version, if set, has to be the present one.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn update(&self, writes: &Writes, object: &K) -> Result<K, Error>
    where
        K: Serialize,
    {
        let key = Key::of(object);
        let request = self.at(&key).replace(&key.name, &PostParams::default(), body(object)?);
        self.noted(writes, request).await
    }

    /// Replaces a subresource such as `status`, `scale` or `approval`.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn update_sub(&self, writes: &Writes, subresource: &str, object: &K) -> Result<K, Error>
    where
        K: Serialize,
    {
        let key = Key::of(object);
        let request =
            self.at(&key).replace_subresource(subresource, &key.name, &PostParams::default(), body(object)?);
        self.noted(writes, request).await
    }

    /// Replaces the status.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn update_status(&self, writes: &Writes, object: &K) -> Result<K, Error>
    where
        K: Serialize,
    {
        self.update_sub(writes, "status", object).await
    }

    /// Patches an object.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn patch<P: Serialize + std::fmt::Debug>(
        &self,
        writes: &Writes,
        key: &Key,
        patch: &Patch<P>,
    ) -> Result<K, Error> {
        let request = self.at(key).patch(&key.name, &PatchParams::default(), patch);
        self.noted(writes, request).await
    }

    /// Patches a subresource.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn patch_sub<P: Serialize + std::fmt::Debug>(
        &self,
        writes: &Writes,
        subresource: &str,
        key: &Key,
        patch: &Patch<P>,
    ) -> Result<K, Error> {
        let request = self.at(key).patch_subresource(subresource, &key.name, &PatchParams::default(), patch);
        self.noted(writes, request).await
    }

    /// Deletes an object. With `preconditions.uid` in `how`, only that very object.
    ///
    /// # Errors
    /// As the server answers; 404 when it is gone already.
    pub async fn delete(&self, writes: &Writes, key: &Key, how: &DeleteParams) -> Result<(), Error> {
        let request = self.at(key).delete(&key.name, how).map_err(Error::BuildRequest)?;
        let request = self.metadata_only(request);
        fetch::body(&self.client, request).await?;
        if let Some(informer) = &self.informer {
            let uid = how.preconditions.as_ref().and_then(|wanted| wanted.uid.clone());
            writes.deleted(informer, key.clone(), uid);
        }
        Ok(())
    }

    fn at(&self, key: &Key) -> Request {
        Request::new(K::url_path(&self.resource, key.namespace()))
    }

    /// Boxed, so that it is compiled once per type and not once per verb.
    fn noted<'a>(&'a self, writes: &'a Writes, request: Built) -> Answer<'a, K> {
        Box::pin(async move {
            let mut written = self.send(request).await?;
            if let Some(informer) = &self.informer {
                writes.wrote(informer, &written);
            }
            written.meta_mut().managed_fields = None;
            Ok(written)
        })
    }

    async fn send(&self, request: Built) -> Result<K, Error> {
        let request = self.metadata_only(request.map_err(Error::BuildRequest)?);
        let body = fetch::body(&self.client, request).await?;
        serde_json::from_slice(&body).map_err(Error::SerdeError)
    }

    fn metadata_only(&self, mut request: http::Request<Vec<u8>>) -> http::Request<Vec<u8>> {
        if K::metadata_api() {
            let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
            request.headers_mut().insert(http::header::ACCEPT, http::HeaderValue::from_static(accept));
        }
        request
    }
}

/// `DeleteParams` for exactly the object with this uid.
pub fn only(uid: Option<&str>) -> DeleteParams {
    DeleteParams {
        preconditions: uid
            .map(|uid| kube::api::Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::default()
    }
}

fn body<K: Serialize>(object: &K) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(object).map_err(Error::SerdeError)
}
