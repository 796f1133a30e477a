//! What each metric of an autoscaler proposes.

use api_types::k8s::api::autoscaling::v2::{
    ContainerResourceMetricStatus, ExternalMetricSource, ExternalMetricStatus, MetricIdentifier, MetricSpec,
    MetricStatus, MetricTarget, MetricValueStatus, ObjectMetricSource, ObjectMetricStatus, PodsMetricSource,
    PodsMetricStatus, ResourceMetricStatus,
};
use api_types::k8s::apimachinery::pkg::api::resource::Quantity as Wire;
use api_types::quantity::{Format, Quantity};
use api_types::selector::Selector;
use client::Client;

use super::metrics::Metrics;
use super::replicas::{Count, Population, milli};
use super::target::Kinds;

/// A metric's proposal.
pub(super) struct Proposal {
    pub replicas: i32,
    /// What the metric is called in messages.
    pub name: String,
    pub status: MetricStatus,
}

/// A metric that proposes nothing.
pub(super) struct Failure {
    /// Reason of condition and event.
    pub reason: &'static str,
    /// What went wrong.
    pub message: String,
    /// What the metric's value was needed for, before the message in the summary of all metrics.
    pub summary: String,
}

/// Everything a metric may look at.
pub(super) struct Asker<'a> {
    pub metrics: &'a Metrics,
    pub client: &'a Client,
    pub kinds: &'a Kinds,
    pub namespace: &'a str,
    pub selector: &'a Selector,
    pub population: Population<'a>,
    /// Replicas that exist.
    pub existing: i32,
}

impl Asker<'_> {
    /// Evaluates one metric.
    pub(super) async fn propose(&self, spec: &MetricSpec) -> Result<Proposal, Failure> {
        match (spec.type_.as_str(), spec) {
            ("Resource", MetricSpec { resource: Some(source), .. }) => {
                self.resource(&source.name, None, &source.target).await
            }
            ("ContainerResource", MetricSpec { container_resource: Some(source), .. }) => {
                self.resource(&source.name, Some(&source.container), &source.target).await
            }
            ("Pods", MetricSpec { pods: Some(source), .. }) => {
                let failed = |message: String| Failure {
                    reason: "FailedGetPodsMetric",
                    summary: format!("failed to get pods metric value: {message}"),
                    message,
                };
                self.pods(source).await.map_err(failed)
            }
            ("Object", MetricSpec { object: Some(source), .. }) => {
                let failed = |message: String| Failure {
                    reason: "FailedGetObjectMetric",
                    summary: format!("failed to get object metric value: {message}"),
                    message,
                };
                self.object(source).await.map_err(failed)
            }
            ("External", MetricSpec { external: Some(source), .. }) => {
                let name = &source.metric.name;
                let failed = |message: String| Failure {
                    reason: "FailedGetExternalMetric",
                    summary: format!("failed to get {name} external metric value: {message}"),
                    message,
                };
                self.external(source).await.map_err(failed)
            }
            (kind, _) => Err(Failure {
                reason: "InvalidMetricSourceType",
                message: format!("invalid metric source type {kind:?}"),
                summary: format!("unknown metric source type {kind:?}"),
            }),
        }
    }

    async fn resource(
        &self,
        name: &str,
        container: Option<&str>,
        goal: &MetricTarget,
    ) -> Result<Proposal, Failure> {
        let (reason, what) = match container {
            None => ("FailedGetResourceMetric", "resource"),
            Some(_) => ("FailedGetContainerResourceMetric", "container"),
        };
        let failed = |message: String| Failure {
            reason,
            summary: format!("failed to get {name} {what} metric value: {message}"),
            message,
        };
        let use_of = if goal.average_value.is_some() { "usage" } else { "utilization" };
        let unread = |why: &dyn std::fmt::Display| failed(format!("failed to get {name} {use_of}: {why}"));
        if goal.average_value.is_none() && goal.average_utilization.is_none() {
            return Err(failed(
                "invalid resource metric source: neither an average utilization target nor an average value (usage) \
                 target was set"
                    .to_owned(),
            ));
        }
        let samples = self.metrics.resource(self.namespace, self.selector, name, container).await;
        let samples =
            samples.map_err(|why| unread(&format!("unable to get metrics for resource {name}: {why}")))?;
        let (count, title) = match (&goal.average_value, goal.average_utilization) {
            (Some(target), _) => {
                let count = self.population.by_average(&samples, milli(&target.0), name);
                (count, format!("{name} resource"))
            }
            (None, percent) => {
                let percent = percent.unwrap_or_default();
                let count = self.population.by_utilization(&samples, percent, name, container);
                (count, format!("{name} resource utilization (percentage of request)"))
            }
        };
        let count = count.map_err(|why| unread(&why))?;
        let current = MetricValueStatus {
            average_utilization: count.utilization,
            average_value: Some(quantity(count.average_milli)),
            value: None,
        };
        let status = match container {
            None => MetricStatus {
                type_: "Resource".to_owned(),
                resource: Some(ResourceMetricStatus { name: name.to_owned(), current }),
                ..MetricStatus::default()
            },
            Some(container) => MetricStatus {
                type_: "ContainerResource".to_owned(),
                container_resource: Some(ContainerResourceMetricStatus {
                    name: name.to_owned(),
                    container: container.to_owned(),
                    current,
                }),
                ..MetricStatus::default()
            },
        };
        Ok(Proposal { replicas: count.replicas, name: title, status })
    }

    async fn pods(&self, source: &PodsMetricSource) -> Result<Proposal, String> {
        let name = &source.metric.name;
        let chosen = selector(&source.metric)?;
        let samples = self.metrics.pods(self.namespace, name, self.selector, &chosen).await;
        let samples = samples.map_err(|why| format!("unable to get metric {name}: {why}"))?;
        let goal = source.target.average_value.as_ref().map_or(0, |value| milli(&value.0));
        let count = self.population.by_average(&samples, goal, "").map_err(|why| why.to_string())?;
        let status = PodsMetricStatus { metric: source.metric.clone(), current: per_pod(&count) };
        Ok(Proposal {
            replicas: count.replicas,
            name: format!("pods metric {name}"),
            status: MetricStatus { type_: "Pods".to_owned(), pods: Some(status), ..MetricStatus::default() },
        })
    }

    async fn object(&self, source: &ObjectMetricSource) -> Result<Proposal, String> {
        let (name, object) = (&source.metric.name, &source.described_object);
        let chosen = selector(&source.metric)?;
        let served = self.kinds.of(self.client, object).await.map_err(|why| why.to_string())?;
        let usage =
            self.metrics.object(&object_path(&served, self.namespace, &object.name), name, &chosen).await;
        let usage = usage.map_err(|why| {
            format!(
                "unable to get metric {name}: {} on {} {}/{why}",
                object.kind, self.namespace, object.name
            )
        });
        let (replicas, current) = match (&source.target.value, &source.target.average_value) {
            (Some(value), _) => {
                let usage = usage?;
                let replicas = self.population.by_ratio(usage as f64 / milli(&value.0) as f64);
                (replicas.map_err(|why| why.to_string())?, total(usage))
            }
            (None, Some(value)) => {
                let usage = usage.map_err(|why| format!("failed to get {name} object metric: {why}"))?;
                let count = self.population.by_share(usage, milli(&value.0), self.existing);
                (count.replicas, per_pod(&count))
            }
            (None, None) => return Err(
                "invalid object metric source: neither a value target nor an average value target was set"
                    .to_owned(),
            ),
        };
        let status =
            ObjectMetricStatus { metric: source.metric.clone(), described_object: object.clone(), current };
        Ok(Proposal {
            replicas,
            name: format!("{} metric {name}", object.kind),
            status: MetricStatus {
                type_: "Object".to_owned(),
                object: Some(status),
                ..MetricStatus::default()
            },
        })
    }

    async fn external(&self, source: &ExternalMetricSource) -> Result<Proposal, String> {
        let name = &source.metric.name;
        let chosen = selector(&source.metric)?;
        if source.target.value.is_none() && source.target.average_value.is_none() {
            return Err(
                "invalid external metric source: neither a value target nor an average value target was set"
                    .to_owned(),
            );
        }
        let usage = self.metrics.external(self.namespace, name, &chosen).await.map_err(|why| {
            let namespace = self.namespace;
            format!("failed to get {name} external metric: unable to get external metric {namespace}/{name}/{chosen}: {why}")
        })?;
        let (replicas, current) = match (&source.target.average_value, &source.target.value) {
            (Some(value), _) => {
                let count = self.population.by_share(usage, milli(&value.0), self.existing);
                (count.replicas, per_pod(&count))
            }
            (None, value) => {
                let goal = value.as_ref().map_or(0, |value| milli(&value.0));
                let replicas = self.population.by_ratio(usage as f64 / goal as f64);
                (replicas.map_err(|why| why.to_string())?, total(usage))
            }
        };
        let status = ExternalMetricStatus { metric: source.metric.clone(), current };
        Ok(Proposal {
            replicas,
            name: format!("external metric {name}({chosen})"),
            status: MetricStatus {
                type_: "External".to_owned(),
                external: Some(status),
                ..MetricStatus::default()
            },
        })
    }
}

/// Where the custom metrics API keeps the metrics of an object.
fn object_path(served: &client::discovery::Served, namespace: &str, name: &str) -> String {
    let resource = &served.resource;
    let plural = match resource.group.as_str() {
        "" => resource.plural.clone(),
        group => format!("{}.{group}", resource.plural),
    };
    match (resource.kind.as_str(), served.namespaced) {
        ("Namespace", _) => format!("namespaces/{name}/metrics"),
        (_, true) => format!("namespaces/{namespace}/{plural}/{name}"),
        (_, false) => format!("{plural}/{name}"),
    }
}

fn selector(metric: &MetricIdentifier) -> Result<Selector, String> {
    match &metric.selector {
        None => Ok(Selector::everything()),
        Some(selector) => Selector::from_label_selector(Some(selector))
            .map_err(|_| format!("the selector of metric {} cannot be read", metric.name)),
    }
}

fn quantity(milli: i64) -> Wire {
    Wire(Quantity::from_milli(milli, Format::DecimalSi).to_string())
}

fn per_pod(count: &Count) -> MetricValueStatus {
    MetricValueStatus { average_value: Some(quantity(count.average_milli)), ..MetricValueStatus::default() }
}

fn total(milli: i64) -> MetricValueStatus {
    MetricValueStatus { value: Some(quantity(milli)), ..MetricValueStatus::default() }
}
