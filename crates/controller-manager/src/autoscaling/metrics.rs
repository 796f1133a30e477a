//! The three metrics APIs, which servers outside serve.

use std::collections::BTreeMap;
use std::time::Duration;

use api_types::selector::Selector;
use client::Client;
use client::kube::client::Body;
use component::duration::GoDuration;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::replicas::{Samples, milli};

/// One measurement.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// Thousandths of a unit.
    pub milli: i64,
    pub at: Timestamp,
    pub window: Duration,
}

/// Why there is no measurement; the text is part of conditions and events.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The API did not answer, or refused.
    #[error("unable to fetch metrics from {api} metrics API: {reason}")]
    Fetch { api: &'static str, reason: String },
    /// It knows nothing of what was asked for.
    #[error("no metrics returned from {0} metrics API")]
    Empty(&'static str),
    /// A pod's sample lacks the container.
    #[error("container {container} not present in metrics for pod {namespace}/{pod}")]
    NoContainer { container: String, namespace: String, pod: String },
}

/// Reads metrics. Cheap to clone.
#[derive(Clone)]
pub(super) struct Metrics {
    client: Client,
}

impl Metrics {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// What pods use of a resource: all their containers together, or one.
    pub(super) async fn resource(
        &self,
        namespace: &str,
        selector: &Selector,
        resource: &str,
        container: Option<&str>,
    ) -> Result<Samples, Error> {
        let query = query(&[("labelSelector", selector)]);
        let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods{query}");
        let list: List<PodMetrics> = self
            .get(&path, "get pods.metrics.k8s.io")
            .await
            .map_err(|failure| Error::Fetch { api: "resource", reason: failure.reason })?;
        if list.items.is_empty() {
            return Err(Error::Empty("resource"));
        }
        let mut samples = BTreeMap::new();
        for pod in list.items {
            let chosen: Vec<&ContainerMetrics> = pod
                .containers
                .iter()
                .filter(|candidate| container.is_none_or(|name| candidate.name == name))
                .collect();
            if let Some(container) = container.filter(|_| chosen.is_empty()) {
                return Err(Error::NoContainer {
                    container: container.to_owned(),
                    namespace: namespace.to_owned(),
                    pod: pod.metadata.name,
                });
            }
            // Half a sample would argue for scaling down.
            let used: Option<Vec<i64>> =
                chosen.iter().map(|container| Some(milli(container.usage.get(resource)?))).collect();
            if let Some(used) = used {
                let window = pod.window.parse::<GoDuration>().map(|window| window.0);
                let sample = Sample {
                    milli: used.iter().sum(),
                    at: pod.timestamp,
                    window: window.unwrap_or(Duration::from_secs(60)),
                };
                samples.insert(pod.metadata.name, sample);
            }
        }
        Ok(samples)
    }

    /// A custom metric of each pod.
    pub(super) async fn pods(
        &self,
        namespace: &str,
        metric: &str,
        selector: &Selector,
        metric_selector: &Selector,
    ) -> Result<Samples, Error> {
        let query = query(&[("labelSelector", selector), ("metricLabelSelector", metric_selector)]);
        let list = self.custom(&format!("namespaces/{namespace}/pods/*/{metric}{query}")).await?;
        let sample = |value: MetricValue| {
            let window = Duration::from_secs(value.window_seconds.unwrap_or(60));
            let sample = Sample { milli: milli(&value.value), at: value.timestamp, window };
            (value.described_object.map(|object| object.name).unwrap_or_default(), sample)
        };
        Ok(list.into_iter().map(sample).collect())
    }

    /// A custom metric of one object, in thousandths. `object` is its path below the API version.
    pub(super) async fn object(
        &self,
        object: &str,
        metric: &str,
        metric_selector: &Selector,
    ) -> Result<i64, Error> {
        let query = query(&[("metricLabelSelector", metric_selector)]);
        let list = self.custom(&format!("{object}/{metric}{query}")).await?;
        list.first().map(|value| milli(&value.value)).ok_or(Error::Empty("custom"))
    }

    /// An external metric's series together, in thousandths.
    pub(super) async fn external(
        &self,
        namespace: &str,
        metric: &str,
        selector: &Selector,
    ) -> Result<i64, Error> {
        let query = query(&[("labelSelector", selector)]);
        let path = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{metric}{query}");
        let what = format!("get {metric}.external.metrics.k8s.io");
        let list: List<MetricValue> = self
            .get(&path, &what)
            .await
            .map_err(|failure| Error::Fetch { api: "external", reason: failure.reason })?;
        if list.items.is_empty() {
            return Err(Error::Empty("external"));
        }
        Ok(list.items.iter().map(|value| milli(&value.value)).sum())
    }

    /// Asks for a custom metric in the newest version that is served.
    async fn custom(&self, path: &str) -> Result<Vec<MetricValue>, Error> {
        let what = "get *.custom.metrics.k8s.io";
        let mut last = None;
        for version in ["v1beta2", "v1beta1"] {
            let path = format!("/apis/custom.metrics.k8s.io/{version}/{path}");
            match self.get::<List<MetricValue>>(&path, what).await {
                Ok(list) if list.items.is_empty() => return Err(Error::Empty("custom")),
                Ok(list) => return Ok(list.items),
                Err(failure) => {
                    let unserved = failure.unserved;
                    last = Some(failure.reason);
                    if !unserved {
                        break;
                    }
                }
            }
        }
        Err(Error::Fetch { api: "custom", reason: last.unwrap_or_default() })
    }

    /// `what` says for a message what was asked for.
    async fn get<T: DeserializeOwned>(&self, path: &str, what: &str) -> Result<T, Failure> {
        let fault = |error: &dyn std::fmt::Display| Failure { reason: error.to_string(), unserved: false };
        let request = http::Request::get(path).body(Body::empty()).map_err(|error| fault(&error))?;
        let response = self.client.send(request).await.map_err(|error| fault(&error))?;
        let code = response.status();
        let body = response.into_body().collect_bytes().await.map_err(|error| fault(&error))?;
        if code.is_success() {
            return serde_json::from_slice(&body).map_err(|error| fault(&error));
        }
        // What is answered by no API server of the group carries no Status.
        let told = serde_json::from_slice::<client::Status>(&body).ok().filter(|status| status.code != 0);
        Err(match told {
            Some(status) => Failure { reason: status.message, unserved: false },
            None => Failure { reason: format!("{} ({what})", generic(code)), unserved: code.as_u16() == 404 },
        })
    }
}

struct Failure {
    reason: String,
    /// The group or version does not exist.
    unserved: bool,
}

/// What upstream's client says when the server gives no reason of its own.
fn generic(code: http::StatusCode) -> &'static str {
    match code.as_u16() {
        401 => "the server has asked for the client to provide credentials",
        403 => "the server does not allow access to the requested resource",
        404 => "the server could not find the requested resource",
        429 => "the server has received too many requests and has asked us to try again later",
        503 => "the server is currently unable to handle the request",
        504 => {
            "the server was unable to return a response in the time allotted, but may still be processing the request"
        }
        _ => "an error on the server has prevented the request from succeeding",
    }
}

fn query(selectors: &[(&str, &Selector)]) -> String {
    let mut query = String::new();
    for (name, selector) in selectors.iter().filter(|(_, selector)| !selector.is_everything()) {
        query.push(if query.is_empty() { '?' } else { '&' });
        query.push_str(name);
        query.push('=');
        client::informer::encode(&mut query, &selector.to_string());
    }
    query
}

#[derive(Deserialize)]
struct List<T> {
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

#[derive(Deserialize)]
struct PodMetrics {
    metadata: Name,
    timestamp: Timestamp,
    #[serde(default)]
    window: String,
    #[serde(default)]
    containers: Vec<ContainerMetrics>,
}

#[derive(Default, Deserialize)]
struct Name {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct ContainerMetrics {
    #[serde(default)]
    name: String,
    #[serde(default)]
    usage: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetricValue {
    described_object: Option<Name>,
    timestamp: Timestamp,
    window_seconds: Option<u64>,
    value: String,
}
