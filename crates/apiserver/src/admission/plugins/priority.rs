//! Priority: a pod's priority is the one of its class.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use super::Dependencies;
use super::support::{fetch, fetch_all, refuse, text};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

const CLASSES: (&str, &str) = ("scheduling.k8s.io", "priorityclasses");
const SYSTEM_CLASSES: [&str; 2] = ["system-cluster-critical", "system-node-critical"];
const PREEMPT: &str = "PreemptLowerPriority";

pub(super) fn make(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(Priority)
}

struct Priority;

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Class {
    metadata: Metadata,
    value: i64,
    global_default: bool,
    preemption_policy: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
}

#[async_trait]
impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update | Operation::Delete)
    }

    async fn mutate(&self, request: &mut Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        if !request.is("", "pods") {
            return Ok(());
        }
        match request.operation {
            Operation::Create => resolve(request, reader).await,
            Operation::Update => {
                keep(request);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn validate(&self, request: &Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        if !request.is(CLASSES.0, CLASSES.1) {
            return Ok(());
        }
        if request.operation == Operation::Delete {
            let system = SYSTEM_CLASSES.contains(&request.name);
            let why = "this is a system priority class and cannot be deleted";
            return if system { Err(refuse(request, why)) } else { Ok(()) };
        }
        let Some(class) = &request.object else { return Ok(()) };
        if !class["globalDefault"].as_bool().unwrap_or_default() {
            return Ok(());
        }
        let own = text(class, "/metadata/name");
        match default_class(reader).await? {
            Some(other) if other.metadata.name != own => Err(refuse(
                request,
                format!(
                    "PriorityClass {} is already marked as default. Only one default can exist",
                    other.metadata.name
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// The default class; of several, the one with the lowest value.
async fn default_class(reader: &dyn Reader) -> Result<Option<Class>, Error> {
    let classes: Vec<Class> = fetch_all(reader, CLASSES, "").await?;
    Ok(classes.into_iter().filter(|class| class.global_default).min_by_key(|class| class.value))
}

async fn resolve(request: &mut Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
    let Some(pod) = &request.object else { return Ok(()) };
    let name = text(pod, "/spec/priorityClassName").to_owned();
    let class = match name.as_str() {
        "" => default_class(reader).await?.unwrap_or_default(),
        _ => fetch::<Class>(reader, CLASSES, "", &name)
            .await?
            .ok_or_else(|| refuse(request, format!("no PriorityClass with name {name} was found")))?,
    };
    let policy = class.preemption_policy.as_deref().unwrap_or(PREEMPT);
    let given = pod.pointer("/spec/priority").and_then(Value::as_i64);
    if let Some(given) = given.filter(|given| *given != class.value) {
        return Err(refuse(
            request,
            format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {} from the given PriorityClass name",
                class.value
            ),
        ));
    }
    let given = text(pod, "/spec/preemptionPolicy");
    if !given.is_empty() && given != policy {
        return Err(refuse(
            request,
            format!(
                "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
            ),
        ));
    }
    if let Some(pod) = &mut request.object {
        let spec = &mut pod["spec"];
        if name.is_empty() && !class.metadata.name.is_empty() {
            spec["priorityClassName"] = class.metadata.name.into();
        }
        spec["priority"] = class.value.into();
        spec["preemptionPolicy"] = policy.into();
    }
    Ok(())
}

/// An update that leaves the two fields out keeps them.
fn keep(request: &mut Request<'_>) {
    let (Some(pod), Some(old)) = (&mut request.object, request.old_object) else { return };
    for field in ["priority", "preemptionPolicy"] {
        let missing = pod["spec"].get(field).is_none_or(Value::is_null);
        if let Some(value) = old["spec"].get(field).filter(|value| missing && !value.is_null()) {
            pod["spec"][field] = value.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{World, create};
    use super::*;

    #[tokio::test]
    async fn priority_comes_from_the_class() {
        let class = |name: &str, value: i64, default: bool| json!({"metadata": {"name": name}, "value": value, "globalDefault": default, "preemptionPolicy": if default { PREEMPT } else { "Never" }});
        let none = World::with(&[]);
        let some = World::with(&[
            ("scheduling.k8s.io/priorityclasses//high", class("high", 9, false)),
            ("scheduling.k8s.io/priorityclasses//usual", class("usual", 5, true)),
        ]);
        let of =
            |priority: i64, policy: &str, class: &str| Ok((priority, policy.to_owned(), class.to_owned()));
        let refused = |why: &str| Err(format!("pods \"x\" is forbidden: {why}"));
        let cases = [
            (&none, json!({}), of(0, PREEMPT, "")),
            (&some, json!({}), of(5, PREEMPT, "usual")),
            (&some, json!({"priorityClassName": "high"}), of(9, "Never", "high")),
            (&some, json!({"priorityClassName": "high", "priority": 9}), of(9, "Never", "high")),
            (
                &some,
                json!({"priorityClassName": "ghost"}),
                refused("no PriorityClass with name ghost was found"),
            ),
            (
                &some,
                json!({"priorityClassName": "high", "priority": 1}),
                refused(
                    "the integer value of priority (1) must not be provided in pod spec; priority admission controller computed 9 from the given PriorityClass name",
                ),
            ),
            (
                &some,
                json!({"priorityClassName": "high", "preemptionPolicy": PREEMPT}),
                refused(
                    "the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; priority admission controller computed Never from the given PriorityClass name",
                ),
            ),
        ];
        for (world, spec, expected) in cases {
            let got =
                create("", "pods", json!({"spec": spec})).put_to(&Priority, world).await.map(|answer| {
                    let pod = answer.object;
                    let number = pod["spec"]["priority"].as_i64().unwrap();
                    (
                        number,
                        text(&pod, "/spec/preemptionPolicy").to_owned(),
                        text(&pod, "/spec/priorityClassName").to_owned(),
                    )
                });
            assert_eq!(got, expected, "{spec}");
        }
    }

    #[tokio::test]
    async fn there_is_one_default() {
        let world = World::with(&[(
            "scheduling.k8s.io/priorityclasses//a",
            json!({"metadata": {"name": "a"}, "globalDefault": true}),
        )]);
        let class = |name: &str| {
            create(CLASSES.0, CLASSES.1, json!({"metadata": {"name": name}, "globalDefault": true}))
        };
        assert!(class("a").put_to(&Priority, &world).await.is_ok());
        let refused = class("b").put_to(&Priority, &world).await.map(drop).unwrap_err();
        assert_eq!(
            refused,
            "priorityclasses.scheduling.k8s.io \"x\" is forbidden: PriorityClass a is already marked as default. Only one default can exist"
        );
    }
}
