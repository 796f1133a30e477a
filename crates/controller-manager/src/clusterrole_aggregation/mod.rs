//! `clusterrole-aggregation-controller`: fills the rules of ClusterRoles that gather those of others.

use std::sync::Arc;

use api_types::k8s::api::rbac::v1::{ClusterRole, PolicyRule};
use api_types::selector::Selector;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::{Informer, Key, Patch, Writer, Writes};
use serde_json::json;

use crate::common::selector;
use crate::context::Context;

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let roles = context.informers.all::<ClusterRole>();
    let reconciler = Aggregator { roles: roles.clone(), writer: context.writer() };
    let all = roles.clone();
    Controller::new("ClusterRoleAggregator", reconciler, context.shutdown)
        // Any role may have joined or left any gathering role; there are few of those.
        .watch(&roles, move |_| {
            let gathering = all.store().list().into_iter().filter(|role| role.aggregation_rule.is_some());
            gathering.map(|role| Key::of(&*role)).collect()
        })
        .run(5)
        .await;
    Ok(())
}

struct Aggregator {
    roles: Informer<ClusterRole>,
    writer: Writer<ClusterRole>,
}

#[async_trait]
impl Reconciler for Aggregator {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(role) = self.roles.store().get(key) else { return Ok(Next::Wait) };
        let Some(rules) = gather(&role, &self.roles.store().list()) else { return Ok(Next::Wait) };
        if role.rules.clone().unwrap_or_default() != rules {
            let patch = Patch::Merge(json!({ "rules": (!rules.is_empty()).then_some(rules) }));
            self.writer.patch(writes, key, &patch).await?;
        }
        Ok(Next::Wait)
    }
}

/// The rules of all roles that `role` selects, each once, in the order of the roles' names; `None` when it selects nothing.
fn gather(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Option<Vec<PolicyRule>> {
    let selectors: Vec<Selector> = role
        .aggregation_rule
        .as_ref()?
        .cluster_role_selectors
        .iter()
        .flatten()
        .filter_map(|selector| Selector::from_label_selector(Some(selector)).ok())
        .collect();
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in &selectors {
        let chosen = all.iter().filter(|candidate| {
            candidate.metadata.name != role.metadata.name && selector::matches(selector, &candidate.metadata)
        });
        for rule in chosen.flat_map(|candidate| candidate.rules.iter().flatten()) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    Some(rules)
}
