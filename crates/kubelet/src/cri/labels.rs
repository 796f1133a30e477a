//! Labels and annotations that tie runtime objects to pods. Other node agents read them, so the names are upstream's.

use std::collections::HashMap;

use api_types::k8s::api::core::v1::{Container, Pod};

use crate::pod::PodExt;

/// Label: the pod's name.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// Label: the pod's namespace.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Label: the pod's UID.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// Label: the container's name.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// Annotation: fingerprint of the container's spec, see [`spec_hash`].
pub const CONTAINER_HASH: &str = "io.kubernetes.container.hash";
/// Annotation: how often this container was restarted before.
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
/// Annotation: where the container may write its last words.
pub const TERMINATION_MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
/// Annotation: `File` or `FallbackToLogsOnError`.
pub const TERMINATION_MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// Annotation: the pod's grace period, for kills after the pod's spec is gone.
pub const POD_TERMINATION_GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";

/// Labels of a pod's sandbox: the pod's own labels and the identifying ones, which win.
pub fn sandbox_labels(pod: &Pod) -> HashMap<String, String> {
    let mut labels: HashMap<String, String> =
        pod.metadata.labels.clone().unwrap_or_default().into_iter().collect();
    labels.extend(identity(pod));
    labels
}

/// Labels of a container.
pub fn container_labels(pod: &Pod, container: &str) -> HashMap<String, String> {
    let mut labels: HashMap<String, String> = identity(pod).into();
    labels.insert(CONTAINER_NAME.into(), container.into());
    labels
}

/// Annotations of a container: what a kubelet that has lost its memory must know again.
pub fn container_annotations(pod: &Pod, container: &Container, attempt: u32) -> HashMap<String, String> {
    HashMap::from([
        (CONTAINER_HASH.into(), spec_hash(container)),
        (RESTART_COUNT.into(), attempt.to_string()),
        (
            TERMINATION_MESSAGE_PATH.into(),
            container.termination_message_path.clone().unwrap_or_else(|| "/dev/termination-log".into()),
        ),
        (
            TERMINATION_MESSAGE_POLICY.into(),
            container.termination_message_policy.clone().unwrap_or_else(|| "File".into()),
        ),
        (POD_TERMINATION_GRACE.into(), pod.grace_period().to_string()),
    ])
}

/// Annotations of a sandbox: those of the pod.
pub fn sandbox_annotations(pod: &Pod) -> HashMap<String, String> {
    pod.metadata.annotations.clone().unwrap_or_default().into_iter().collect()
}

/// Fingerprint (32 bit FNV-1a, hexadecimal) of the fields whose change restarts a container in place: its name and image.
pub fn spec_hash(container: &Container) -> String {
    let image = container.image.as_deref().unwrap_or_default();
    let bytes = container.name.bytes().chain([0]).chain(image.bytes());
    format!(
        "{:x}",
        bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    )
}

fn identity(pod: &Pod) -> [(String, String); 3] {
    [
        (POD_NAME.into(), pod.name().into()),
        (POD_NAMESPACE.into(), pod.namespace().into()),
        (POD_UID.into(), pod.uid().into()),
    ]
}
