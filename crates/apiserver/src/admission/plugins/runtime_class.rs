//! RuntimeClass: a pod takes the overhead, node selector and tolerations of its runtime class.

use std::sync::Arc;

use api_types::quantity::Quantity;
use async_trait::async_trait;
use serde_json::{Map, Value};

use super::Dependencies;
use super::support::{fetch, list, list_at, map_at, refuse, text};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

pub(super) fn make(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(RuntimeClass)
}

struct RuntimeClass;

#[async_trait]
impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, request: &mut Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        if !request.is("", "pods") {
            return Ok(());
        }
        let Some(class) = class(request, reader).await? else { return Ok(()) };
        let applied = match &mut request.object {
            Some(pod) => {
                set_overhead(&mut pod["spec"], &class).and_then(|()| set_scheduling(&mut pod["spec"], &class))
            }
            None => Ok(()),
        };
        applied.map_err(|why| refuse(request, why))
    }

    async fn validate(&self, request: &Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        if !request.is("", "pods") {
            return Ok(());
        }
        let class = class(request, reader).await?.unwrap_or_default();
        let Some(pod) = &request.object else { return Ok(()) };
        let declared = fixed(&class).is_some();
        let set = overhead(&pod["spec"]).is_some();
        if set && !declared {
            let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
            return Err(refuse(request, why));
        }
        Ok(())
    }
}

async fn class(request: &Request<'_>, reader: &dyn Reader) -> Result<Option<Value>, Error> {
    let name = request.object.as_ref().map(|pod| text(pod, "/spec/runtimeClassName")).unwrap_or_default();
    if name.is_empty() {
        return Ok(None);
    }
    let class = fetch(reader, ("node.k8s.io", "runtimeclasses"), "", name).await?;
    let missing =
        || refuse(request, format!("pod rejected: RuntimeClass {} not found", api_types::field::quote(name)));
    class.map(Some).ok_or_else(missing)
}

fn fixed(class: &Value) -> Option<&Map<String, Value>> {
    class.pointer("/overhead/podFixed")?.as_object().filter(|map| !map.is_empty())
}

fn overhead(spec: &Value) -> Option<&Map<String, Value>> {
    spec.get("overhead")?.as_object().filter(|map| !map.is_empty())
}

fn set_overhead(spec: &mut Value, class: &Value) -> Result<(), String> {
    let Some(declared) = fixed(class) else { return Ok(()) };
    let same = |given: &Map<String, Value>| {
        let amount = |v: &Value| v.as_str().and_then(|s| Quantity::parse(s).ok());
        given.len() == declared.len()
            && given
                .iter()
                .all(|(name, value)| declared.get(name).is_some_and(|d| amount(d) == amount(value)))
    };
    if overhead(spec).is_some_and(|given| !same(given)) {
        return Err("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead".to_owned());
    }
    spec["overhead"] = Value::Object(declared.clone());
    Ok(())
}

fn set_scheduling(spec: &mut Value, class: &Value) -> Result<(), String> {
    let wanted = class.pointer("/scheduling/nodeSelector").and_then(Value::as_object);
    if let Some(wanted) = wanted.filter(|map| !map.is_empty())
        && let Some(selector) = map_at(spec, "nodeSelector")
    {
        for (key, value) in wanted {
            match selector.get(key) {
                Some(own) if own != value => {
                    return Err(format!(
                        "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
                        value.as_str().unwrap_or_default(),
                        own.as_str().unwrap_or_default()
                    ));
                }
                _ => drop(selector.insert(key.clone(), value.clone())),
            }
        }
    }
    let wanted = list(class, "/scheduling/tolerations");
    if !wanted.is_empty()
        && let Some(tolerations) = list_at(spec, "tolerations")
    {
        for toleration in wanted {
            if !tolerations.contains(toleration) {
                tolerations.push(toleration.clone());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{World, create};
    use super::*;

    #[tokio::test]
    async fn pods_take_what_their_class_says() {
        let world = World::with(&[(
            "node.k8s.io/runtimeclasses//kata",
            json!({"overhead": {"podFixed": {"cpu": "250m"}}, "scheduling": {"nodeSelector": {"kata": "true"}, "tolerations": [{"key": "kata"}]}}),
        )]);
        let of = |extra: Value| {
            let mut spec = json!({"runtimeClassName": "kata"});
            spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            create("", "pods", json!({"spec": spec}))
        };
        let answer =
            of(json!({"overhead": {"cpu": "0.25"}})).put_to(&RuntimeClass, &world).await.unwrap().object;
        assert_eq!(answer["spec"]["overhead"], json!({"cpu": "250m"}));
        assert_eq!(answer["spec"]["nodeSelector"], json!({"kata": "true"}));
        assert_eq!(answer["spec"]["tolerations"], json!([{"key": "kata"}]));
        for (ask, why) in [
            (
                of(json!({"overhead": {"cpu": "1"}})),
                "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
            ),
            (
                of(json!({"nodeSelector": {"kata": "false"}})),
                "conflict: runtimeClass.scheduling.nodeSelector[kata] = true; pod.spec.nodeSelector[kata] = false",
            ),
            (of(json!({"runtimeClassName": "ghost"})), "pod rejected: RuntimeClass \"ghost\" not found"),
            (
                create("", "pods", json!({"spec": {"overhead": {"cpu": "1"}}})),
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            ),
        ] {
            let refused = ask.put_to(&RuntimeClass, &world).await.map(drop);
            assert_eq!(refused, Err(format!("pods \"x\" is forbidden: {why}")));
        }
    }
}
