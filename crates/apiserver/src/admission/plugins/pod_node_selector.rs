//! PodNodeSelector: pods stay on the nodes that their namespace's annotation selects.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::Dependencies;
use super::support::{annotation, fetch, map_at, refuse};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

const ANNOTATION: &str = "scheduler.alpha.kubernetes.io/node-selector";
const CONFLICT: &str = "pod node label selector conflicts with its namespace node label selector";

pub(super) fn make(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(PodNodeSelector)
}

struct PodNodeSelector;

#[async_trait]
impl Plugin for PodNodeSelector {
    fn name(&self) -> &'static str {
        "PodNodeSelector"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, request: &mut Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        if !request.is("", "pods") {
            return Ok(());
        }
        let namespace: Option<Value> = fetch(reader, ("", "namespaces"), "", request.namespace).await?;
        let namespace = namespace.unwrap_or_default();
        let Some(selector) = annotation(&namespace, ANNOTATION).filter(|s| !s.trim().is_empty()) else {
            return Ok(());
        };
        let terms = parse(selector).ok_or_else(|| {
            refuse(request, format!("namespace annotation {ANNOTATION} is no list of key=value: {selector}"))
        })?;
        let Some(pod) = &mut request.object else { return Ok(()) };
        let Some(own) = map_at(&mut pod["spec"], "nodeSelector") else { return Ok(()) };
        for (key, value) in terms {
            match own.get(key) {
                Some(present) if present != value => return Err(refuse(request, CONFLICT)),
                _ => drop(own.insert(key.to_owned(), value.into())),
            }
        }
        Ok(())
    }
}

fn parse(selector: &str) -> Option<Vec<(&str, &str)>> {
    selector.split(',').map(|term| term.split_once('=').map(|(k, v)| (k.trim(), v.trim()))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{World, create};
    use super::*;

    #[tokio::test]
    async fn the_namespace_selects() {
        let world = World::with(&[(
            "/namespaces//ns",
            json!({"metadata": {"annotations": {ANNOTATION: "disk=ssd, team=a"}}}),
        )]);
        let ask = |selector: Value| create("", "pods", json!({"spec": {"nodeSelector": selector}}));
        for (selector, expected) in [
            (json!({}), Ok(json!({"disk": "ssd", "team": "a"}))),
            (json!({"disk": "ssd", "x": "y"}), Ok(json!({"disk": "ssd", "team": "a", "x": "y"}))),
            (json!({"disk": "hdd"}), Err(format!("pods \"x\" is forbidden: {CONFLICT}"))),
        ] {
            let got = ask(selector).put_to(&PodNodeSelector, &world).await;
            assert_eq!(got.map(|answer| answer.object["spec"]["nodeSelector"].clone()), expected);
        }
    }
}
