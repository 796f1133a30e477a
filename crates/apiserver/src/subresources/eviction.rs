//! `pods/eviction`: a deletion that respects disruption budgets.

use std::sync::Arc;

use api_types::selector::Selector;
use api_types::status::{Cause, Details, Status, reason};
use http::StatusCode;
use serde_json::{Value, json};
use storage::{Freshness, ListAt, ListQuery, Selection};

use crate::admission::Operation;
use crate::error::{self, Error, Result};
use crate::registry::body::{self, Expected};
use crate::registry::endpoint::storage_error;
use crate::registry::options::{DeleteOptions, WriteOptions};
use crate::registry::{Outcome, Registry, Request, meta};
use crate::server::Server;

/// Disruptions that the budget's controller has not confirmed yet; more are not let through.
const MAX_UNCONFIRMED: usize = 2000;

/// Evicts a pod.
pub(super) async fn create(server: &Arc<Server>, request: &Request) -> Result<Outcome> {
    let registry = &server.registry;
    let options = WriteOptions::parse("CreateOptions", &request.query, false)?;
    let eviction = decode(request, &options)?;
    if meta::text(&eviction, "name") != request.name {
        return Err(Error::bad_request("name in URL does not match name in Eviction object"));
    }
    let eviction =
        registry.admit_foreign(request, Operation::Create, &options, &request.name, eviction).await?;
    let mut deletion = DeleteOptions::parse(eviction.get("deleteOptions").cloned(), &Default::default())?;
    deletion.dry_run |= options.dry_run;
    let store = request.endpoint.store()?;
    let found =
        store.get(&request.namespace, &request.name, Freshness::Latest).await.map_err(storage_error)?;
    let pod = found.ok_or_else(|| error::not_found(&request.endpoint.info, &request.name))?.value();
    if !ignores_budgets(&pod) {
        spend_budget(registry, request, &pod, deletion.dry_run).await?;
        // What was decided holds for this pod only.
        deletion.uid.get_or_insert_with(|| meta::text(&pod, "uid").to_owned());
    }
    registry.delete_named(request, &request.name, &deletion, None).await?;
    Ok(Outcome::Status(StatusCode::CREATED, super::created()))
}

/// Both versions are the same object.
fn decode(request: &Request, options: &WriteOptions) -> Result<Value> {
    let old = Expected::kind("policy", "v1beta1", "Eviction");
    let new = Expected::kind("policy", "v1", "Eviction");
    let is_old =
        serde_json::from_slice::<Value>(&request.body).is_ok_and(|v| v["apiVersion"] == "policy/v1beta1");
    body::decode(request, if is_old { &old } else { &new }, options.field_validation)
}

/// Pods that do not run do not count for a budget.
fn ignores_budgets(pod: &Value) -> bool {
    meta::is_deleting(pod)
        || matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed" | "Pending") | None)
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"]
        .as_array()
        .is_some_and(|list| list.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
}

async fn spend_budget(registry: &Registry, request: &Request, pod: &Value, dry_run: bool) -> Result<()> {
    let budgets = matching_budgets(registry, &request.namespace, pod).await?;
    let budget = match budgets.as_slice() {
        [] => return Ok(()),
        [one] => one,
        _ => {
            return Err(Error::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
    };
    if !is_ready(pod) && may_go_unready(budget) {
        return Ok(());
    }
    let name = meta::text(budget, "name").to_owned();
    let spend = |budget: &mut Value| spend(budget, &name, &request.name);
    registry
        .mutate_stored("policy", "poddisruptionbudgets", &request.namespace, &name, dry_run, &spend)
        .await
        .map(drop)
}

/// An unready pod may go when the budget says so (KEP-3017), or when its application is healthy without it.
fn may_go_unready(budget: &Value) -> bool {
    let status = &budget["status"];
    match budget["spec"]["unhealthyPodEvictionPolicy"].as_str() {
        Some("AlwaysAllow") => true,
        _ => {
            let (current, desired) = (
                status["currentHealthy"].as_i64().unwrap_or(0),
                status["desiredHealthy"].as_i64().unwrap_or(0),
            );
            current >= desired && desired > 0
        }
    }
}

async fn matching_budgets(registry: &Registry, namespace: &str, pod: &Value) -> Result<Vec<Value>> {
    let Some(endpoint) = registry.hub("policy", "poddisruptionbudgets") else { return Ok(Vec::new()) };
    let query = ListQuery {
        selection: Selection::all().namespace(namespace),
        at: ListAt::Fresh(Freshness::Latest),
        ..ListQuery::default()
    };
    let page = endpoint.store()?.list(&query).await.map_err(storage_error)?;
    let labels: std::collections::BTreeMap<String, String> = meta::field(pod, "labels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    let matches = |budget: &Value| {
        Selector::from_value(&budget["spec"]["selector"]).is_ok_and(|selector| selector.matches(&labels))
    };
    Ok(page.items.iter().map(|object| object.value()).filter(matches).collect())
}

/// Takes one disruption off the budget, or says why there is none.
fn spend(budget: &mut Value, name: &str, pod: &str) -> Result<()> {
    let status = &mut budget["status"];
    let number = |status: &Value, key: &str| status[key].as_i64().unwrap_or(0);
    let observed = number(status, "observedGeneration");
    let allowed = number(status, "disruptionsAllowed");
    let (healthy, desired) = (number(status, "currentHealthy"), number(status, "desiredHealthy"));
    if observed < meta::generation(budget) {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(blocked(why, 10));
    }
    let forbidden = |why: &str| Error::forbidden("policy", "poddisruptionbudgets", name, why);
    if allowed < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    let status = &mut budget["status"];
    if status["disruptedPods"].as_object().is_some_and(|pods| pods.len() > MAX_UNCONFIRMED) {
        return Err(forbidden(
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        ));
    }
    if allowed == 0 {
        let why =
            format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently");
        return Err(blocked(why, 0));
    }
    status["disruptionsAllowed"] = (allowed - 1).into();
    if !status["disruptedPods"].is_object() {
        status["disruptedPods"] = json!({});
    }
    status["disruptedPods"][pod] = meta::now().into();
    Ok(())
}

fn blocked(why: String, retry_after_seconds: u32) -> Error {
    let details = Details {
        causes: vec![Cause { reason: "DisruptionBudget".into(), message: why, field: String::new() }],
        retry_after_seconds,
        ..Details::default()
    };
    Status {
        code: 429,
        reason: reason::TOO_MANY_REQUESTS.into(),
        message: "Cannot evict pod as it would violate the pod's disruption budget.".to_owned(),
        details: Some(details),
    }
    .into()
}
