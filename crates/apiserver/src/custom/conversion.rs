//! Conversion between the versions of a custom resource by the webhook that its definition names.
//!
//! Objects are converted in batches, and what comes back is kept beside the cached object: each version of each object is
//! asked for once, however many read it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::definition::Definition;
use crate::error::{Error, Result};
use crate::outbound::{Client, Destination, Resolve, tls};
use crate::registry::endpoint::Convert;

/// How long a webhook may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The conversion webhook of one definition.
pub struct Webhook {
    config: Value,
    review_version: Option<&'static str>,
    resolver: Arc<dyn Resolve>,
    client: OnceLock<std::result::Result<Client, String>>,
}

impl Webhook {
    /// Of a definition; `None` when its versions differ in nothing but the name.
    pub fn of(definition: &Definition, resolver: &Arc<dyn Resolve>) -> Option<Arc<dyn Convert>> {
        let conversion = definition.spec.conversion.as_ref().filter(|found| found.strategy == "Webhook")?;
        let webhook = conversion.webhook.clone().unwrap_or_default();
        let offered = webhook["conversionReviewVersions"].as_array();
        let mut offered = offered.into_iter().flatten().filter_map(Value::as_str);
        let review_version = offered.find_map(|version| match version {
            "v1" => Some("v1"),
            "v1beta1" => Some("v1beta1"),
            _ => None,
        });
        Some(Arc::new(Webhook {
            config: webhook["clientConfig"].clone(),
            review_version,
            resolver: Arc::clone(resolver),
            client: OnceLock::new(),
        }))
    }

    fn client(&self) -> std::result::Result<&Client, String> {
        let make = || {
            let destination = Destination::of_client_config(&self.config)
                .ok_or("unable to determine the address of the webhook")?;
            let bundle = self.config["caBundle"].as_str().unwrap_or_default();
            let bundle = STANDARD
                .decode(bundle)
                .map_err(|error| format!("unable to load root certificates: {error}"))?;
            let trust = if bundle.is_empty() { tls::Trust::Host } else { tls::Trust::Bundle(&bundle) };
            let config = tls::config(trust, None).map_err(|error| error.to_string())?;
            Ok(Client::new(destination, Arc::new(config), Arc::clone(&self.resolver)))
        };
        self.client.get_or_init(make).as_ref().map_err(Clone::clone)
    }

    async fn ask(&self, objects: &[Value], wanted: &str) -> std::result::Result<Vec<Value>, String> {
        let version =
            self.review_version.ok_or("the definition names no known version of ConversionReview")?;
        let uid = uuid::Uuid::new_v4().to_string();
        let review = json!({
            "kind": "ConversionReview",
            "apiVersion": format!("apiextensions.k8s.io/{version}"),
            "request": { "uid": uid, "desiredAPIVersion": wanted, "objects": objects },
        });
        let answer = self.client()?.post("", review.to_string().into(), LIMIT).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        let response = &mut answer["response"];
        if response["uid"] != *uid {
            return Err(format!("expected response.uid={uid:?}"));
        }
        if response["result"]["status"] != "Success" {
            let message = response["result"]["message"].as_str().unwrap_or_default();
            return Err(message.to_owned());
        }
        match response["convertedObjects"].take() {
            Value::Array(converted) => Ok(converted),
            _ => Ok(Vec::new()),
        }
    }
}

#[async_trait]
impl Convert for Webhook {
    async fn convert(&self, objects: Vec<Value>, wanted: &str) -> Result<Vec<Value>> {
        let Some(first) = objects.first() else { return Ok(Vec::new()) };
        let text = |object: &Value, key: &str| object[key].as_str().unwrap_or_default().to_owned();
        let what = format!("{}, Kind={}", text(first, "apiVersion"), text(first, "kind"));
        let failed = |why: String| Error::internal(format!("conversion webhook for {what} failed: {why}"));
        let answered = self.ask(&objects, wanted).await.map_err(failed)?;
        if answered.len() != objects.len() {
            let (found, expected) = (answered.len(), objects.len());
            let why = format!("conversion webhook for {what} returned {found} objects, expected {expected}");
            return Err(Error::internal(why));
        }
        let pairs = objects.into_iter().zip(answered).enumerate();
        let settle = |(i, (asked, answered))| {
            settle(asked, answered, wanted).map_err(|why| {
                let what =
                    format!("conversion webhook for {what} returned invalid converted object at index {i}");
                Error::internal(format!("{what}: {why}"))
            })
        };
        pairs.map(settle).collect()
    }
}

/// A converted object is the same object in another version: of its metadata only labels and annotations may differ.
fn settle(asked: Value, mut answered: Value, wanted: &str) -> std::result::Result<Value, String> {
    if answered["apiVersion"] != *wanted {
        return Err(format!("invalid apiVersion: {}, expected {wanted:?}", answered["apiVersion"]));
    }
    if answered["kind"] != asked["kind"] {
        return Err(format!("invalid kind: {}, expected {}", answered["kind"], asked["kind"]));
    }
    let (old, new) = (&asked["metadata"], &answered["metadata"]);
    for key in ["uid", "name", "namespace"] {
        if old[key] != new[key] {
            return Err(format!("must have the same {key}: {} != {}", new[key], old[key]));
        }
    }
    let mut metadata = old.clone();
    for key in ["labels", "annotations"] {
        match (new.get(key).cloned(), metadata.as_object_mut()) {
            (Some(value), Some(metadata)) => metadata.insert(key.to_owned(), value),
            (None, Some(metadata)) => metadata.remove(key),
            (_, None) => None,
        };
    }
    answered["metadata"] = metadata;
    Ok(answered)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::settle;

    #[test]
    fn only_labels_and_annotations_change() {
        let asked = json!({"apiVersion": "a.b/v1", "kind": "K", "metadata": {
            "name": "n", "uid": "u", "labels": {"a": "1"}, "finalizers": ["x"],
        }});
        let answered = json!({"apiVersion": "a.b/v2", "kind": "K", "spec": 1, "metadata": {
            "name": "n", "uid": "u", "annotations": {"b": "2"}, "finalizers": [],
        }});
        let expected = json!({"apiVersion": "a.b/v2", "kind": "K", "spec": 1, "metadata": {
            "name": "n", "uid": "u", "annotations": {"b": "2"}, "finalizers": ["x"],
        }});
        assert_eq!(settle(asked.clone(), answered.clone(), "a.b/v2").unwrap(), expected);
        assert!(settle(asked.clone(), answered, "a.b/v3").is_err());
        let other = json!({"apiVersion": "a.b/v2", "kind": "K", "metadata": {"name": "m", "uid": "u"}});
        assert!(settle(asked, other, "a.b/v2").unwrap_err().contains("same name"));
    }
}
