//! The pods of a Job.

use api_types::k8s::api::batch::v1::Job;
use api_types::k8s::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use client::kube::ResourceExt;
use client::owner;

use crate::common::pods;

/// Holds a pod until its end is counted.
pub(super) const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// Label and annotation with a pod's index.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Annotation with the failures of an index before this pod.
pub(super) const INDEX_FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const INDEX_ENV: &str = "JOB_COMPLETION_INDEX";

/// The index of a pod of an Indexed Job.
pub(super) fn index(pod: &Pod) -> Option<i32> {
    pods::annotation(&pod.metadata, INDEX)?.parse().ok()
}

/// Failures of the pod's index before it.
pub(super) fn failures_before(pod: &Pod) -> i32 {
    pods::annotation(&pod.metadata, INDEX_FAILURES).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Whether the pod's end is not counted yet.
pub(super) fn is_tracked(pod: &Pod) -> bool {
    pod.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// A pod of the Job; with an index for Indexed Jobs.
pub(super) fn pod(job: &Job, index: Option<i32>, failures: Option<i32>) -> Pod {
    let template = job.spec.clone().unwrap_or_default().template;
    let prefix = match index {
        Some(index) => format!("{}-{index}", job.name_any()),
        None => job.name_any(),
    };
    let namespace = job.namespace().unwrap_or_default();
    let mut pod = pods::from_template(&template, &namespace, &prefix, owner::controller_ref(job));
    pod.metadata.finalizers.get_or_insert_default().push(FINALIZER.to_owned());
    let Some(index) = index else { return pod };
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(INDEX.to_owned(), index.to_string());
    if let Some(failures) = failures {
        annotations.insert(INDEX_FAILURES.to_owned(), failures.to_string());
    }
    pod.metadata.labels.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(prefix);
    let variable = EnvVar {
        name: INDEX_ENV.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: format!("metadata.labels['{INDEX}']"),
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        let env = container.env.get_or_insert_default();
        if !env.iter().any(|known| known.name == INDEX_ENV) {
            env.push(variable.clone());
        }
    }
    pod
}
