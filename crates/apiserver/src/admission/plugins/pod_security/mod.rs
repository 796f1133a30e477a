//! PodSecurity: pods keep to the Pod Security Standard that their namespace's labels name.
//!
//! `enforce` refuses pods; `warn` tells the client, also about the templates of workloads. `audit` is for the
//! audit log.

mod baseline;
mod policy;
mod restricted;
#[cfg(test)]
mod tests;
mod visit;

use std::sync::Arc;

use api_types::field::{self, Path};
use async_trait::async_trait;
use serde_json::Value;

use self::policy::{Level, Standard};
use super::Dependencies;
use super::support::{fetch, fetch_all, refuse, text};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::{self, Error};

const LABEL_PREFIX: &str = "pod-security.kubernetes.io/";
/// How many existing pods are looked at when a namespace becomes stricter.
const EXISTING_PODS: usize = 3000;

pub(super) fn make(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(PodSecurity)
}

struct PodSecurity;

/// Resources whose objects make pods, and where their template is.
const TEMPLATES: [(&str, &str, &str); 8] = [
    ("", "replicationcontrollers", "/spec/template"),
    ("", "podtemplates", "/template"),
    ("apps", "replicasets", "/spec/template"),
    ("apps", "deployments", "/spec/template"),
    ("apps", "statefulsets", "/spec/template"),
    ("apps", "daemonsets", "/spec/template"),
    ("batch", "jobs", "/spec/template"),
    ("batch", "cronjobs", "/spec/jobTemplate/spec/template"),
];

#[async_trait]
impl Plugin for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    // Nothing is changed; but only this phase may warn, and what is looked at is settled before it.
    async fn mutate(&self, request: &mut Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        if request.is("", "namespaces") {
            return namespace(request, reader).await;
        }
        if !concerns_pods(request) {
            return Ok(());
        }
        let standards = standards(request, reader).await?;
        if let Some(warning) = would_violate(request, &standards) {
            request.warnings.push(warning);
        }
        Ok(())
    }

    async fn validate(&self, request: &Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        if !request.is_any("", "pods") || !concerns_pods(request) {
            return Ok(());
        }
        let enforced = standards(request, reader).await?.enforce;
        let Some(pod) = &request.object else { return Ok(()) };
        let violations = policy::violations(&enforced, &pod["metadata"], &pod["spec"]);
        if violations.is_empty() {
            return Ok(());
        }
        Err(refuse(request, format!("violates PodSecurity \"{enforced}\": {}", violations.join(", "))))
    }
}

/// The standards of a namespace.
#[derive(Debug, Default)]
struct Standards {
    enforce: Standard,
    warn: Standard,
}

fn concerns_pods(request: &Request<'_>) -> bool {
    if request.namespace.is_empty() {
        return false;
    }
    if request.is_any("", "pods") {
        // What an update of the pod itself may change matters to no standard.
        return match request.subresource {
            "" => request.operation == Operation::Create,
            "ephemeralcontainers" => request.operation == Operation::Update,
            _ => false,
        };
    }
    template_pointer(request).is_some()
}

fn template_pointer(request: &Request<'_>) -> Option<&'static str> {
    TEMPLATES.iter().find(|(group, resource, _)| request.is(group, resource)).map(|(.., pointer)| *pointer)
}

async fn standards(request: &Request<'_>, reader: &dyn Reader) -> Result<Standards, Error> {
    let namespace: Option<Value> = fetch(reader, ("", "namespaces"), "", request.namespace).await?;
    Ok(namespace.map(|n| of_labels(&n)).unwrap_or_default())
}

fn of_labels(namespace: &Value) -> Standards {
    let label = |key: &str| namespace["metadata"]["labels"][format!("{LABEL_PREFIX}{key}")].as_str();
    let standard = |mode: &str| {
        // A level that nobody knows is taken as the strictest.
        let level = label(mode).map(|name| Level::parse(name).unwrap_or(Level::Restricted));
        Standard {
            level: level.unwrap_or_default(),
            version: policy::Version::parse_or_latest(label(&format!("{mode}-version"))),
        }
    };
    Standards { enforce: standard("enforce"), warn: standard("warn") }
}

fn would_violate(request: &Request<'_>, standards: &Standards) -> Option<String> {
    let object = request.object.as_ref()?;
    let template = template_pointer(request).map_or(Some(object), |pointer| object.pointer(pointer))?;
    let violations = policy::violations(&standards.warn, &template["metadata"], &template["spec"]);
    (!violations.is_empty())
        .then(|| format!("would violate PodSecurity \"{}\": {}", standards.warn, violations.join(", ")))
}

/// Labels must name levels and versions; when enforcement becomes stricter, the client learns which pods it
/// would refuse.
async fn namespace(request: &mut Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
    let Some(new) = &request.object else { return Ok(()) };
    check_labels(request, new)?;
    let Some(old) = request.old_object else { return Ok(()) };
    let (new, old) = (of_labels(new).enforce, of_labels(old).enforce);
    if new == old || new.level == Level::Privileged {
        return Ok(());
    }
    let name = request.name.to_owned();
    let pods: Vec<Value> = fetch_all(reader, ("", "pods"), &name).await?;
    let broken: Vec<String> = pods
        .iter()
        .take(EXISTING_PODS)
        .filter_map(|pod| {
            let violations = policy::reasons(&new, &pod["metadata"], &pod["spec"]);
            (!violations.is_empty())
                .then(|| format!("{}: {}", text(pod, "/metadata/name"), violations.join(", ")))
        })
        .collect();
    if !broken.is_empty() {
        request.warnings.push(format!(
            "existing pods in namespace \"{name}\" violate the new PodSecurity enforce level \"{new}\""
        ));
        request.warnings.extend(broken);
    }
    Ok(())
}

fn check_labels(request: &Request<'_>, namespace: &Value) -> Result<(), Error> {
    let labels = Path::new("metadata.labels");
    let mut errors = field::ErrorList::new();
    for mode in ["enforce", "audit", "warn"] {
        let key = format!("{LABEL_PREFIX}{mode}");
        let value = |key: &str| namespace["metadata"]["labels"][key].as_str();
        if let Some(level) = value(&key).filter(|level| Level::parse(level).is_none()) {
            let detail = "must be one of privileged, baseline, restricted";
            errors.push(field::Error::invalid(&labels.key(&key), level, detail));
        }
        let key = format!("{key}-version");
        if let Some(version) = value(&key).filter(|version| policy::Version::parse(version).is_none()) {
            let detail = "must be \"latest\" or \"v1.x\"";
            errors.push(field::Error::invalid(&labels.key(&key), version, detail));
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(error::invalid(request.resource, text(namespace, "/metadata/name"), errors))
    }
}
