//! The objects that every cluster has because the apiserver makes them.
//!
//! ```text
//!  data/*.jsonl (embedded) ──► plan(desired, existing) ──► create | update | recreate | nothing
//!  flags, date ─► dynamic ──►        pure                    through loopback::Objects
//! ```
//!
//! Each group of objects is a post-start hook with upstream's name, tried until it succeeds; `/readyz` waits
//! for those that the cluster cannot work without. What users added to an object stays; what they removed
//! from an object that is kept up to date (`autoupdate` annotations) comes back, as on upstream.

mod dynamic;
mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use access::authz::PolicyRule;
use futures::{FutureExt as _, StreamExt as _};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

pub use self::dynamic::Settings;
use self::plan::{Action, Policy, plan};
use crate::error::{Error, Result};
use crate::loopback::{Objects, Target};

/// How long after a failure a group is tried again: doubled each time up to the second value.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// How many objects of a group are written at once.
const AT_ONCE: usize = 16;
/// How often it is looked whether the system namespaces are still there.
const NAMESPACE_PERIOD: Duration = Duration::from_secs(60);

const NAMESPACES: &str = include_str!("data/namespaces.jsonl");
const CLUSTER_ROLES: &str = include_str!("data/clusterroles.jsonl");
const CLUSTER_ROLE_BINDINGS: &str = include_str!("data/clusterrolebindings.jsonl");
const ROLES: &str = include_str!("data/roles.jsonl");
const ROLE_BINDINGS: &str = include_str!("data/rolebindings.jsonl");
const PRIORITY_CLASSES: &str = include_str!("data/priorityclasses.jsonl");
const PRIORITY_LEVELS: &str = include_str!("data/prioritylevelconfigurations.jsonl");
const FLOW_SCHEMAS: &str = include_str!("data/flowschemas.jsonl");
const API_SERVICES: &str = include_str!("data/apiservices.jsonl");

/// One object to be there.
#[derive(Clone, Debug)]
struct Desired {
    resource: &'static str,
    policy: Policy,
    /// With `apiVersion`, `kind` and, where the server reports on the object, `status`.
    object: Value,
}

/// A group of objects, with its post-start hook.
struct Group {
    hook: &'static str,
    objects: Vec<Desired>,
    done: AtomicBool,
}

/// Keeps the bootstrap objects in being.
pub struct Reconciler {
    objects: Arc<dyn Objects>,
    groups: Vec<Group>,
}

/// The rules of the ClusterRole `system:node`, which the Node authorizer narrows.
pub fn node_rules() -> Vec<PolicyRule> {
    let role = parse(CLUSTER_ROLES).into_iter().find(|role| role["metadata"]["name"] == "system:node");
    let rules = role.and_then(|mut role| role.get_mut("rules").map(Value::take)).unwrap_or_default();
    serde_json::from_value(rules).unwrap_or_default()
}

impl Reconciler {
    /// A reconciler that has done nothing yet.
    pub fn new(objects: Arc<dyn Objects>, settings: &Settings) -> Arc<Self> {
        Arc::new(Self { objects, groups: groups(settings) })
    }

    /// Post-start hooks, for `/readyz`: name and whether it is done.
    pub fn hooks(&self) -> Vec<(&'static str, bool)> {
        self.groups.iter().map(|g| (g.hook, g.done.load(Ordering::Acquire))).collect()
    }

    /// Whether a hook is done; unknown names are.
    pub fn is_done(&self, hook: &str) -> bool {
        self.groups.iter().find(|g| g.hook == hook).is_none_or(|g| g.done.load(Ordering::Acquire))
    }

    /// Works until `stop`: every group until it succeeds, then the system namespaces for as long as the
    /// server runs.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let work = async {
            let Some((namespaces, others)) = self.groups.split_first() else { return };
            // Roles and configuration maps need namespaces to be in; else no group waits for another.
            self.until_done(namespaces).await;
            futures::future::join_all(others.iter().map(|group| self.until_done(group))).await;
            loop {
                tokio::time::sleep(NAMESPACE_PERIOD).await;
                self.until_done(namespaces).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
    }

    async fn until_done(&self, group: &Group) {
        let mut wait = RETRY.0;
        loop {
            match self.reconcile(&group.objects).await {
                Ok(()) => {
                    if !group.done.swap(true, Ordering::AcqRel) {
                        tracing::info!(
                            hook = group.hook,
                            objects = group.objects.len(),
                            "bootstrap objects are in place"
                        );
                    }
                    return;
                }
                Err(error) => {
                    tracing::warn!(hook = group.hook, %error, retry_in = ?wait, "bootstrap objects are not in place yet");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    /// Puts all objects in place that can be, and names the first that could not.
    async fn reconcile(&self, desired: &[Desired]) -> std::result::Result<(), Failure> {
        let puts: Vec<_> = desired.iter().map(|one| self.put_or_name(one).boxed()).collect();
        let done: Vec<_> = futures::stream::iter(puts).buffered(AT_ONCE).collect().await;
        done.into_iter().collect()
    }

    async fn put_or_name(&self, desired: &Desired) -> std::result::Result<(), Failure> {
        let name = || format!("{} {}", desired.resource, desired.target().name);
        self.put(desired).await.map_err(|source| Failure { object: name(), source })
    }

    async fn put(&self, desired: &Desired) -> Result<()> {
        let target = desired.target();
        let existing = self.objects.get(target).await?;
        let stored = match plan(desired.policy, &desired.object, existing.as_ref()) {
            Action::Nothing => existing,
            Action::Create(object) => match self.objects.create(target, object).await {
                // Another apiserver of the cluster was quicker; what it made is looked at next time.
                Err(error) if error.is_already_exists() => return Ok(()),
                created => Some(created?),
            },
            Action::Update(object) => match self.objects.update(target, object).await {
                Err(error) if error.is_conflict() => return Ok(()),
                updated => Some(updated?),
            },
            Action::Recreate(object) => {
                ignore_gone(self.objects.delete(target).await)?;
                Some(self.objects.create(target, object).await?)
            }
        };
        match stored {
            Some(stored) => self.put_status(desired, stored).await,
            None => Ok(()),
        }
    }

    /// Says what the server has found out about the object, when that is not said yet.
    async fn put_status(&self, desired: &Desired, mut stored: Value) -> Result<()> {
        let Some(status) = desired.object.get("status") else { return Ok(()) };
        if !plan::lacks_conditions(status, stored.get("status")) {
            return Ok(());
        }
        let Value::Object(map) = &mut stored else { return Ok(()) };
        let merged = map.entry("status").or_insert_with(|| Value::Object(Map::new()));
        plan::set_conditions(status, merged, &dynamic::now());
        let target = Target { subresource: "status", ..desired.target() };
        match self.objects.update(target, stored).await {
            Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
            done => done.map(drop),
        }
    }
}

/// Which object could not be put in place.
#[derive(Debug, thiserror::Error)]
#[error("cannot put {object} in place: {source}")]
struct Failure {
    object: String,
    source: Error,
}

impl Desired {
    fn target(&self) -> Target<'_> {
        let metadata = &self.object["metadata"];
        let api_version = self.object["apiVersion"].as_str().unwrap_or_default();
        Target {
            group: api_version.split_once('/').map_or("", |(group, _)| group),
            resource: self.resource,
            namespace: metadata["namespace"].as_str().unwrap_or_default(),
            name: metadata["name"].as_str().unwrap_or_default(),
            subresource: "",
        }
    }
}

fn ignore_gone(result: Result<()>) -> Result<()> {
    result.or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) })
}

fn groups(settings: &Settings) -> Vec<Group> {
    let of = |resource, policy, lines| {
        parse(lines).into_iter().map(move |object| Desired { resource, policy, object }).collect::<Vec<_>>()
    };
    let group = |hook, parts: Vec<Vec<Desired>>| Group {
        hook,
        objects: parts.into_iter().flatten().collect(),
        done: AtomicBool::new(false),
    };
    let flow_control = vec![
        of("prioritylevelconfigurations", Policy::FlowControl, PRIORITY_LEVELS),
        dynamic::with_found_condition(of("flowschemas", Policy::FlowControl, FLOW_SCHEMAS)),
    ];
    vec![
        group(
            "poststarthook/start-system-namespaces-controller",
            vec![of("namespaces", Policy::CreateOnly, NAMESPACES)],
        ),
        group(
            "poststarthook/rbac/bootstrap-roles",
            vec![
                of("clusterroles", Policy::Role, CLUSTER_ROLES),
                of("clusterrolebindings", Policy::Binding, CLUSTER_ROLE_BINDINGS),
                of("roles", Policy::Role, ROLES),
                of("rolebindings", Policy::Binding, ROLE_BINDINGS),
            ],
        ),
        group(
            "poststarthook/scheduling/bootstrap-system-priority-classes",
            vec![of("priorityclasses", Policy::CreateOnly, PRIORITY_CLASSES)],
        ),
        group("poststarthook/priority-and-fairness-config-producer", flow_control),
        group(
            "poststarthook/start-cluster-authentication-info-controller",
            vec![dynamic::authentication(settings)],
        ),
        group("poststarthook/start-legacy-token-tracking-controller", vec![dynamic::token_tracking()]),
        group(
            "poststarthook/start-kubernetes-service-cidr-controller",
            vec![dynamic::service_cidr(settings)],
        ),
        group(
            "poststarthook/apiservice-registration-controller",
            vec![dynamic::with_local_condition(of("apiservices", Policy::ApiService, API_SERVICES))],
        ),
    ]
}

/// The objects of an embedded file. A line that is not JSON is a mistake of the build, found by the tests.
fn parse(lines: &str) -> Vec<Value> {
    lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
