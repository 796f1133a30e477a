//! Gets an image onto the node, as its pull policy says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::k8s::api::core::v1::{Container, Pod, Secret};
use base64::Engine;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::reference::{is_latest, with_default_tag};
use crate::cri::{self, Runtime, v1};
use crate::events::{Events, Severity};
use crate::pod::PodExt;

/// First and longest pause between attempts to pull the same image for the same pod.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// Why a container's image is not there. [`Error::reason`] is the container's waiting reason.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Not an image name.
    #[error("Failed to apply default image tag \"{0}\": couldn't parse image name: invalid reference format")]
    InvalidName(String),
    /// Policy Never and no image.
    #[error("Container image \"{0}\" is not present with pull policy of Never")]
    NeverPull(String),
    /// The pull failed.
    #[error(
        "{message}; check the image name, that its registry can be reached from this node, or import it with \"ctr -n k8s.io images import\" and use imagePullPolicy IfNotPresent"
    )]
    Pull {
        /// The image.
        image: String,
        /// What the runtime said.
        message: String,
    },
    /// The last pull failed, and the next attempt is later.
    #[error("Back-off pulling image \"{image}\": {last}")]
    BackOff {
        /// The image.
        image: String,
        /// Why the last attempt failed.
        last: String,
        /// When to try again.
        until: Instant,
    },
    /// The runtime could not say whether it has the image.
    #[error("Failed to inspect image \"{image}\": {message}")]
    Inspect {
        /// The image.
        image: String,
        /// What the runtime said.
        message: String,
    },
}

impl Error {
    /// The waiting reason of the container.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidName(_) => "InvalidImageName",
            Self::NeverPull(_) => "ErrImageNeverPull",
            Self::Pull { .. } => "ErrImagePull",
            Self::BackOff { .. } => "ImagePullBackOff",
            Self::Inspect { .. } => "ImageInspectError",
        }
    }
}

/// Pulls images, one at a time or a few, and remembers what failed.
#[derive(Clone)]
pub struct Puller {
    runtime: Runtime,
    events: Arc<dyn Events>,
    slots: Arc<Semaphore>,
    failures: Arc<Mutex<HashMap<(String, String), Failure>>>,
}

#[derive(Clone)]
struct Failure {
    message: String,
    delay: Duration,
    at: Instant,
}

impl Puller {
    /// A puller that works on `parallel` images at a time (1 with serializeImagePulls).
    pub fn new(runtime: Runtime, events: Arc<dyn Events>, parallel: usize) -> Self {
        let slots = Arc::new(Semaphore::new(parallel.max(1)));
        Self { runtime, events, slots, failures: Arc::default() }
    }

    /// The image of a container, pulled if its policy says so. `sandbox` tells the runtime for whom.
    pub async fn ensure(
        &self,
        pod: &Pod,
        container: &Container,
        field: &str,
        secrets: &[Secret],
        sandbox: &v1::PodSandboxConfig,
    ) -> Result<v1::Image, Error> {
        let wanted = container.image.clone().unwrap_or_default();
        let Some(image) = with_default_tag(&wanted) else {
            let error = Error::InvalidName(wanted);
            self.events.pod(pod, Some(field), Severity::Warning, "InspectFailed", error.to_string());
            return Err(error);
        };
        let present = self.inspect(&image).await?;
        let policy = container.image_pull_policy.as_deref().unwrap_or_default();
        let never = policy == "Never";
        let always = policy == "Always" || (policy.is_empty() && is_latest(&wanted));
        match present {
            Some(found) if !always => {
                let message = format!("Container image \"{wanted}\" already present on machine");
                self.events.pod(pod, Some(field), Severity::Normal, "Pulled", message);
                Ok(found)
            }
            None if never => {
                let error = Error::NeverPull(wanted);
                self.events.pod(pod, Some(field), Severity::Warning, "ErrImageNeverPull", error.to_string());
                Err(error)
            }
            _ => self.pull(pod, field, &image, secrets, sandbox).await,
        }
    }

    /// Forgets the failures of a pod that is gone.
    pub fn forget(&self, uid: &str) {
        self.failures.lock().retain(|(pod, _), _| pod != uid);
    }

    async fn pull(
        &self,
        pod: &Pod,
        field: &str,
        image: &str,
        secrets: &[Secret],
        sandbox: &v1::PodSandboxConfig,
    ) -> Result<v1::Image, Error> {
        let key = (pod.uid().to_owned(), image.to_owned());
        let failure = self.failures.lock().get(&key).cloned();
        if let Some(failure) = failure.filter(|failure| failure.at + failure.delay > Instant::now()) {
            let until = failure.at + failure.delay;
            let message = format!("Back-off pulling image \"{image}\"");
            self.events.pod(pod, Some(field), Severity::Normal, "BackOff", message);
            return Err(Error::BackOff { image: image.into(), last: failure.message, until });
        }
        self.events.pod(pod, Some(field), Severity::Normal, "Pulling", format!("Pulling image \"{image}\""));
        let asked = Instant::now();
        let slot = self.slots.acquire().await;
        let begun = Instant::now();
        let answer = self.attempt(image, &credentials(secrets, image), sandbox).await;
        drop(slot);
        match answer {
            Ok(found) => {
                self.failures.lock().remove(&key);
                let message = format!(
                    "Successfully pulled image \"{image}\" in {}ms ({}ms including waiting). Image size: {} bytes.",
                    begun.elapsed().as_millis(),
                    asked.elapsed().as_millis(),
                    found.size
                );
                self.events.pod(pod, Some(field), Severity::Normal, "Pulled", message);
                Ok(found)
            }
            Err(error) => {
                let error = Error::Pull { image: image.into(), message: error.message() };
                let message = format!("Failed to pull image \"{image}\": {error}");
                self.events.pod(pod, Some(field), Severity::Warning, "Failed", message);
                let mut failures = self.failures.lock();
                let last = failures.get(&key).map(|failure| failure.delay);
                let delay = last.map_or(BACKOFF.0, |delay| (delay * 2).min(BACKOFF.1));
                let message = format!("{}: {error}", error.reason());
                failures.insert(key, Failure { message, delay, at: Instant::now() });
                Err(error)
            }
        }
    }

    async fn attempt(
        &self,
        image: &str,
        credentials: &[v1::AuthConfig],
        sandbox: &v1::PodSandboxConfig,
    ) -> Result<v1::Image, cri::Error> {
        let mut tries: Vec<Option<v1::AuthConfig>> = credentials.iter().cloned().map(Some).collect();
        if tries.is_empty() {
            tries.push(None);
        }
        let mut last = None;
        for auth in tries {
            let request = v1::PullImageRequest {
                image: Some(spec(image)),
                auth,
                sandbox_config: Some(sandbox.clone()),
            };
            match self.runtime.pull_image(request).await {
                Ok(reference) => {
                    let found = self.lookup(image).await?;
                    return Ok(found.unwrap_or(v1::Image { id: reference, ..Default::default() }));
                }
                Err(error) => last = Some(error),
            }
        }
        // `tries` is never empty, so a failure was recorded.
        Err(last.unwrap_or(cri::Error::Endpoint { endpoint: self.runtime.endpoint().into() }))
    }

    async fn inspect(&self, image: &str) -> Result<Option<v1::Image>, Error> {
        self.lookup(image)
            .await
            .map_err(|error| Error::Inspect { image: image.into(), message: error.to_string() })
    }

    async fn lookup(&self, image: &str) -> Result<Option<v1::Image>, cri::Error> {
        let request = v1::ImageStatusRequest { image: Some(spec(image)), verbose: false };
        Ok(self.runtime.image_status(request).await?.image)
    }
}

/// Credentials in pull secrets that are for the image's registry.
fn credentials(secrets: &[Secret], image: &str) -> Vec<v1::AuthConfig> {
    secrets.iter().filter_map(docker_config).flat_map(|config| matching(&config, image)).collect()
}

fn docker_config(secret: &Secret) -> Option<serde_json::Value> {
    let data = secret.data.as_ref()?;
    if let Some(bytes) = data.get(".dockerconfigjson") {
        let config: serde_json::Value = serde_json::from_slice(&bytes.0).ok()?;
        return config.get("auths").cloned();
    }
    serde_json::from_slice(&data.get(".dockercfg")?.0).ok()
}

fn matching(auths: &serde_json::Value, image: &str) -> Vec<v1::AuthConfig> {
    let host = match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    };
    let mut found = Vec::new();
    for (server, auth) in auths.as_object().into_iter().flatten() {
        let plain = server.trim_start_matches("https://").trim_start_matches("http://");
        let (server_host, path) = plain.split_once('/').unwrap_or((plain, ""));
        let hub = host == "docker.io" && matches!(server_host, "index.docker.io" | "docker.io");
        let path = if matches!(path, "v1/" | "v2/" | "v1" | "v2") { "" } else { path };
        if (server_host == host || hub) && image.contains(path) {
            found.push(auth_config(server, auth));
        }
    }
    found
}

fn auth_config(server: &str, auth: &serde_json::Value) -> v1::AuthConfig {
    let text = |key: &str| auth.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    let (mut username, mut password) = (text("username"), text("password"));
    if username.is_empty()
        && let Ok(decoded) = base64::engine::general_purpose::STANDARD.decode(text("auth"))
        && let Some((name, secret)) = String::from_utf8_lossy(&decoded).split_once(':')
    {
        (username, password) = (name.to_owned(), secret.to_owned());
    }
    v1::AuthConfig {
        username,
        password,
        identity_token: text("identitytoken"),
        server_address: server.to_owned(),
        ..Default::default()
    }
}

fn spec(image: &str) -> v1::ImageSpec {
    v1::ImageSpec { image: image.into(), user_specified_image: image.into(), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_chosen_by_registry() {
        let config = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "dTpw"}, "r.example:5000": {"username": "a", "password": "b"}}}"#;
        let secret = Secret {
            data: Some([(".dockerconfigjson".to_owned(), api_types::k8s::ByteString(config.into()))].into()),
            ..Secret::default()
        };
        let names = |image: &str| -> Vec<String> {
            credentials(std::slice::from_ref(&secret), image).into_iter().map(|auth| auth.username).collect()
        };
        assert_eq!(names("busybox:1"), ["u"]);
        assert_eq!(names("r.example:5000/x:1"), ["a"]);
        assert!(names("other.example/x").is_empty());
    }
}
