//! Pods that the API server has bound to this node.

use std::sync::Arc;

use api_types::k8s::api::core::v1::Pod;
use client::{Change, Informer, Informers, Scope};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::pod::{CONFIG_SOURCE, PodExt, SharedPod};
use crate::pod_worker::{Input, Source};

/// The pods of a node, kept up to date.
pub fn informer(informers: &Informers, node: &str) -> Informer<Pod> {
    informers.transform::<Pod>(|pod| pod.metadata.managed_fields = None);
    informers.select::<Pod>(Scope::fields(format!("spec.nodeName={node}")))
}

/// Tells the pods of `informer` until `stop`. Mirror pods are no pods to run.
pub async fn run(informer: Informer<Pod>, inputs: mpsc::Sender<Input>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tell(&informer, &inputs) => {}
    }
}

async fn tell(informer: &Informer<Pod>, inputs: &mpsc::Sender<Input>) {
    let mut subscription = informer.subscribe();
    informer.synced().await;
    let mut ready = false;
    loop {
        let change = match subscription.try_next() {
            Some(change) => change,
            // Everything that was there at the start has been told.
            None if !std::mem::replace(&mut ready, true) => {
                if inputs.send(Input::Ready(Source::Api)).await.is_err() {
                    return;
                }
                continue;
            }
            None => subscription.next().await,
        };
        for input in inputs_of(change) {
            if inputs.send(input).await.is_err() {
                return;
            }
        }
    }
}

fn inputs_of(change: Change<Pod>) -> Vec<Input> {
    let run = |pod: &Arc<Pod>| !pod.is_mirror();
    let old = change.old.filter(run);
    let new = change.new.filter(run);
    let mut inputs = Vec::new();
    if let Some(old) = &old
        && new.as_ref().is_none_or(|new| new.uid() != old.uid())
    {
        inputs.push(Input::Removed(old.uid().to_owned()));
    }
    inputs.extend(new.map(|new| Input::Set(Source::Api, sourced(&new))));
    inputs
}

/// Only the node says where a pod comes from; what a user wrote there does not count.
fn sourced(pod: &SharedPod) -> SharedPod {
    if pod.annotation(CONFIG_SOURCE).is_none_or(|source| source == "api") {
        return pod.clone();
    }
    let mut pod = (**pod).clone();
    pod.metadata.annotations.get_or_insert_default().insert(CONFIG_SOURCE.into(), "api".into());
    Arc::new(pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, annotations: &str) -> Arc<Pod> {
        let text =
            format!("{{metadata: {{name: p, namespace: n, uid: {uid}, annotations: {{{annotations}}}}}}}");
        Arc::new(serde_yaml::from_str(&text).unwrap())
    }

    fn words(old: Option<Arc<Pod>>, new: Option<Arc<Pod>>) -> String {
        let change = Change { key: client::Key::new("n", "p"), old, new };
        let word = |input: Input| match input {
            Input::Set(_, pod) => format!("set {} {}", pod.uid(), pod.is_static()),
            Input::Removed(uid) => format!("removed {uid}"),
            other => format!("{other:?}"),
        };
        inputs_of(change).into_iter().map(word).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn changes_become_inputs() {
        assert_eq!(words(None, Some(pod("a", ""))), "set a false");
        assert_eq!(words(Some(pod("a", "")), Some(pod("b", ""))), "removed a, set b false");
        assert_eq!(words(Some(pod("a", "")), None), "removed a");
        assert_eq!(words(None, Some(pod("a", "kubernetes.io/config.mirror: x"))), "");
        assert_eq!(words(None, Some(pod("a", "kubernetes.io/config.source: file"))), "set a false");
    }
}
