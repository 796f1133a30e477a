//! A kubelet without an API server.

use api_types::k8s::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Secret, Service};
use async_trait::async_trait;

use super::{Error, Objects, Token, TokenKey};

/// Knows no object, and says so.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offline;

fn offline<T>(kind: &str, name: &str) -> Result<T, Error> {
    Err(Error::Offline { object: format!("{kind} {name:?}") })
}

#[async_trait]
impl Objects for Offline {
    async fn config_map(&self, _: &str, name: &str) -> Result<Option<ConfigMap>, Error> {
        offline("ConfigMap", name)
    }

    async fn secret(&self, _: &str, name: &str) -> Result<Option<Secret>, Error> {
        offline("Secret", name)
    }

    async fn claim(&self, _: &str, name: &str) -> Result<Option<PersistentVolumeClaim>, Error> {
        offline("PersistentVolumeClaim", name)
    }

    async fn persistent_volume(&self, name: &str) -> Result<Option<PersistentVolume>, Error> {
        offline("PersistentVolume", name)
    }

    async fn token(&self, key: &TokenKey) -> Result<Token, Error> {
        offline("token of ServiceAccount", &key.account)
    }

    async fn runtime_handler(&self, class: &str) -> Result<Option<String>, Error> {
        offline("RuntimeClass", class)
    }

    fn services(&self) -> Vec<std::sync::Arc<Service>> {
        Vec::new()
    }

    fn services_known(&self) -> bool {
        true
    }
}
