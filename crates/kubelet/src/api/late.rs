//! A connection to the API that may come later.
//!
//! Static pods start before there is an API server, one of them may be that server. So everything that needs the API is handed a
//! [`Late`], which behaves as [`Offline`] until the connection is there.

use std::sync::{Arc, OnceLock};

use api_types::k8s::api::core::v1::{
    ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, PodStatus, Secret, Service,
};
use async_trait::async_trait;

use super::{Error, Objects, Offline, Token, TokenKey};
use crate::events::{Events, LogOnly, Severity};
use crate::pod::SharedPod;
use crate::pod_worker::StatusSink;

/// Becomes a `T` once.
pub struct Late<T: ?Sized> {
    inner: OnceLock<Arc<T>>,
}

impl<T: ?Sized> Default for Late<T> {
    fn default() -> Self {
        Self { inner: OnceLock::new() }
    }
}

impl<T: ?Sized> Late<T> {
    /// Sets the real one. A second call is ignored: there is one connection per kubelet.
    pub fn set(&self, value: Arc<T>) {
        if self.inner.set(value).is_err() {
            tracing::warn!("A second connection to the API is ignored");
        }
    }

    /// The real one, if it is there.
    pub fn get(&self) -> Option<&Arc<T>> {
        self.inner.get()
    }
}

impl Late<dyn Objects> {
    fn or_offline(&self) -> &dyn Objects {
        self.get().map_or(&Offline as &dyn Objects, AsRef::as_ref)
    }
}

#[async_trait]
impl Objects for Late<dyn Objects> {
    async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<ConfigMap>, Error> {
        self.or_offline().config_map(namespace, name).await
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, Error> {
        self.or_offline().secret(namespace, name).await
    }

    async fn claim(&self, namespace: &str, name: &str) -> Result<Option<PersistentVolumeClaim>, Error> {
        self.or_offline().claim(namespace, name).await
    }

    async fn persistent_volume(&self, name: &str) -> Result<Option<PersistentVolume>, Error> {
        self.or_offline().persistent_volume(name).await
    }

    async fn token(&self, key: &TokenKey) -> Result<Token, Error> {
        self.or_offline().token(key).await
    }

    async fn runtime_handler(&self, class: &str) -> Result<Option<String>, Error> {
        self.or_offline().runtime_handler(class).await
    }

    fn services(&self) -> Vec<Arc<Service>> {
        self.or_offline().services()
    }

    fn services_known(&self) -> bool {
        self.or_offline().services_known()
    }
}

impl Events for Late<dyn Events> {
    fn pod(&self, pod: &Pod, field: Option<&str>, severity: Severity, reason: &str, message: String) {
        match self.get() {
            Some(events) => events.pod(pod, field, severity, reason, message),
            None => LogOnly.pod(pod, field, severity, reason, message),
        }
    }

    fn node(&self, severity: Severity, reason: &str, message: String) {
        match self.get() {
            Some(events) => events.node(severity, reason, message),
            None => LogOnly.node(severity, reason, message),
        }
    }
}

impl StatusSink for Late<dyn StatusSink> {
    fn update(&self, pod: &SharedPod, status: Arc<PodStatus>) {
        if let Some(sink) = self.get() {
            sink.update(pod, status);
        }
    }

    fn gone(&self, pod: &SharedPod, status: Arc<PodStatus>) {
        if let Some(sink) = self.get() {
            sink.gone(pod, status);
        }
    }
}
