//! Objects from the API server.
//!
//! ConfigMaps and Secrets that pods refer to are watched one by one, which is all that a node may do (NodeRestriction), so
//! that a change is seen at once; watches that no pod needs any more are ended.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use api_types::k8s::api::core::v1::{
    ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
};
use api_types::k8s::api::node::v1::RuntimeClass;
use async_trait::async_trait;
use client::{Api, Informer, Informers, PostParams, Scope};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Error, Objects, Token, TokenKey};
use crate::pod::env::{Reference, references};
use crate::pod::{PodExt, SharedPod, containers};
use crate::pod_worker::Input;

/// How long a first read may wait for its watch before it asks directly.
const FIRST_READ: Duration = Duration::from_secs(3);
/// Longest time a token is used, whatever its life.
const LONGEST_TOKEN_USE: i64 = 24 * 3600;

/// A watched object: kind, namespace, name.
type Watched = (Kind, String, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    ConfigMap,
    Secret,
}

/// Reads through a connection to the API server.
pub struct Cluster {
    informers: Informers,
    services: Informer<Service>,
    changes: mpsc::Sender<Input>,
    watching: Mutex<HashMap<Watched, AbortOnDropHandle<()>>>,
    tokens: Mutex<HashMap<TokenKey, Token>>,
}

impl Cluster {
    /// Reads through `informers`; tells `changes` when a watched object changes.
    pub fn new(informers: Informers, changes: mpsc::Sender<Input>) -> Self {
        informers.transform::<Service>(trim_service);
        let services = informers.all::<Service>();
        Self { informers, services, changes, watching: Mutex::default(), tokens: Mutex::default() }
    }

    /// Ends watches and forgets tokens that none of these pods needs.
    pub fn retain(&self, pods: &[SharedPod]) {
        let needed: HashSet<Watched> = pods.iter().flat_map(|pod| needed_by(pod)).collect();
        self.watching.lock().retain(|watched, _| {
            let keep = needed.contains(watched);
            if !keep {
                let (kind, namespace, name) = watched;
                match kind {
                    Kind::ConfigMap => self.informers.stop::<ConfigMap>(&(), &scope(namespace, name)),
                    Kind::Secret => self.informers.stop::<Secret>(&(), &scope(namespace, name)),
                }
            }
            keep
        });
        let uids: HashSet<&str> = pods.iter().map(|pod| pod.uid()).collect();
        self.tokens.lock().retain(|key, _| uids.contains(key.uid.as_str()));
    }

    async fn watched<K>(&self, kind: Kind, namespace: &str, name: &str) -> Result<Option<K>, Error>
    where
        K: client::Object<DynamicType = ()> + Clone,
        K: client::Resource<Scope = api_types::k8s::NamespaceResourceScope>,
    {
        let informer = self.informers.select::<K>(scope(namespace, name));
        let key = (kind, namespace.to_owned(), name.to_owned());
        self.watching.lock().entry(key).or_insert_with(|| self.forward(&informer, namespace));
        if !informer.has_synced() && tokio::time::timeout(FIRST_READ, informer.synced()).await.is_err() {
            // The direct answer says why the watch does not come up.
            let api = Api::<K>::namespaced(self.informers.client().clone(), namespace);
            return api.get_opt(name).await.map_err(|error| request(kind.name(), name, &error));
        }
        Ok(informer.store().find(namespace, name).map(|found| (*found).clone()))
    }

    fn forward<K: client::Object>(&self, informer: &Informer<K>, namespace: &str) -> AbortOnDropHandle<()> {
        let mut subscription = informer.subscribe();
        let (changes, namespace) = (self.changes.clone(), namespace.to_owned());
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                subscription.next().await;
                if changes.send(Input::Objects { namespace: namespace.clone() }).await.is_err() {
                    return;
                }
            }
        }))
    }

    async fn request_token(&self, key: &TokenKey) -> Result<Token, Error> {
        let review = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(vec![key.audience.clone()]).filter(|_| !key.audience.is_empty()),
                expiration_seconds: Some(key.seconds),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".into()),
                    kind: Some("Pod".into()),
                    name: Some(key.pod.clone()),
                    uid: Some(key.uid.clone()),
                }),
            }),
            ..TokenRequest::default()
        };
        let api = Api::<ServiceAccount>::namespaced(self.informers.client().clone(), &key.namespace);
        let failed = |message: String| Error::Request {
            object: format!("token of ServiceAccount \"{}/{}\"", key.namespace, key.account),
            message,
        };
        let answer: TokenRequest = api
            .create_subresource("token", &key.account, &PostParams::default(), &review)
            .await
            .map_err(|error| failed(error.to_string()))?;
        let granted = answer.status.and_then(|status| Some((status.token?, status.expiration_timestamp?.0)));
        let (value, expires) = granted.ok_or_else(|| failed("the answer has no token".into()))?;
        Ok(Token { value, issued: Timestamp::now(), expires })
    }
}

#[async_trait]
impl Objects for Cluster {
    async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<ConfigMap>, Error> {
        self.watched(Kind::ConfigMap, namespace, name).await
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, Error> {
        self.watched(Kind::Secret, namespace, name).await
    }

    async fn claim(&self, namespace: &str, name: &str) -> Result<Option<PersistentVolumeClaim>, Error> {
        let api = Api::<PersistentVolumeClaim>::namespaced(self.informers.client().clone(), namespace);
        api.get_opt(name).await.map_err(|error| request("PersistentVolumeClaim", name, &error))
    }

    async fn persistent_volume(&self, name: &str) -> Result<Option<PersistentVolume>, Error> {
        let api = Api::<PersistentVolume>::all(self.informers.client().clone());
        api.get_opt(name).await.map_err(|error| request("PersistentVolume", name, &error))
    }

    async fn token(&self, key: &TokenKey) -> Result<Token, Error> {
        let known = self.tokens.lock().get(key).cloned();
        if let Some(token) = known.as_ref().filter(|token| !due(token, Timestamp::now())) {
            return Ok(token.clone());
        }
        match (self.request_token(key).await, known) {
            (Ok(token), _) => {
                self.tokens.lock().insert(key.clone(), token.clone());
                Ok(token)
            }
            // The old one is still good; the next look tries again.
            (Err(error), Some(token)) if token.expires > Timestamp::now() => {
                tracing::warn!(%error, "Service account token not renewed yet");
                Ok(token)
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn runtime_handler(&self, class: &str) -> Result<Option<String>, Error> {
        let api = Api::<RuntimeClass>::all(self.informers.client().clone());
        let found = api.get_opt(class).await.map_err(|error| request("RuntimeClass", class, &error))?;
        Ok(found.map(|class| class.handler))
    }

    fn services(&self) -> Vec<Arc<Service>> {
        self.services.store().list()
    }

    fn services_known(&self) -> bool {
        self.services.has_synced()
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// A token is renewed after four fifths of its life, or a day.
fn due(token: &Token, now: Timestamp) -> bool {
    let life = token.expires.duration_since(token.issued).as_secs();
    let age = now.duration_since(token.issued).as_secs();
    age >= (life * 4 / 5).min(LONGEST_TOKEN_USE)
}

fn scope(namespace: &str, name: &str) -> Scope {
    Scope { namespace: Some(namespace.into()), fields: Some(format!("metadata.name={name}")), labels: None }
}

fn request(kind: &str, name: &str, error: &client::Error) -> Error {
    Error::Request { object: format!("{kind} {name:?}"), message: crate::report::chain(error) }
}

/// Only addresses and ports become environment variables.
fn trim_service(service: &mut Service) {
    service.status = None;
    service.metadata.managed_fields = None;
    service.metadata.annotations = None;
    service.metadata.labels = None;
}

/// ConfigMaps and Secrets that a pod refers to.
fn needed_by(pod: &Pod) -> Vec<Watched> {
    let namespace = pod.namespace().to_owned();
    let mut found: Vec<Watched> = Vec::new();
    let mut add = |kind, name: &str| found.push((kind, namespace.clone(), name.to_owned()));
    for (_, container) in containers::all(pod) {
        for reference in references(&container) {
            match reference {
                Reference::ConfigMap(name) => add(Kind::ConfigMap, &name),
                Reference::Secret(name) => add(Kind::Secret, &name),
            }
        }
    }
    for secret in pod.spec().image_pull_secrets.iter().flatten() {
        add(Kind::Secret, &secret.name);
    }
    for volume in pod.spec().volumes.iter().flatten() {
        volume.config_map.iter().for_each(|source| add(Kind::ConfigMap, &source.name));
        volume
            .secret
            .iter()
            .filter_map(|source| source.secret_name.as_ref())
            .for_each(|name| add(Kind::Secret, name));
        let parts = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        for part in parts {
            part.config_map.iter().for_each(|source| add(Kind::ConfigMap, &source.name));
            part.secret.iter().for_each(|source| add(Kind::Secret, &source.name));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_renewed_before_they_end() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let token = Token { value: String::new(), issued: at(0), expires: at(1000) };
        assert!(!due(&token, at(799)) && due(&token, at(800)));
        let long = Token { expires: at(10 * 24 * 3600), ..token };
        assert!(due(&long, at(24 * 3600)));
    }

    #[test]
    fn every_reference_is_found() {
        let pod: Pod = serde_yaml::from_str(
            "metadata: {name: p, namespace: n}
spec:
  imagePullSecrets: [{name: s1}]
  containers: [{name: c, envFrom: [{configMapRef: {name: m1}}]}]
  volumes: [{name: v, secret: {secretName: s2}}, {name: w, projected: {sources: [{configMap: {name: m2}}]}}]",
        )
        .unwrap();
        let mut names: Vec<String> = needed_by(&pod).into_iter().map(|(_, _, name)| name).collect();
        names.sort();
        assert_eq!(names, ["m1", "m2", "s1", "s2"]);
    }
}
