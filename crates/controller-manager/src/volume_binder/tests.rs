use std::path::PathBuf;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use api_types::k8s::api::storage::v1::StorageClass;

use super::claim::{self, View};
use super::volume::{self, Reclaim};
use super::{Note, bind};

fn claim(more: &str) -> PersistentVolumeClaim {
    let text = format!(
        "metadata: {{name: c, namespace: n, uid: claim}}
spec: {{accessModes: [ReadWriteOnce], storageClassName: s, resources: {{requests: {{storage: 1Gi}}}}, {more}}}
status: {{phase: Pending}}"
    );
    serde_yaml::from_str(&text).unwrap()
}

fn volume(name: &str, more: &str) -> Arc<PersistentVolume> {
    let text = format!(
        "metadata: {{name: {name}}}
spec: {{accessModes: [ReadWriteOnce], storageClassName: s, capacity: {{storage: 2Gi}}, {more}}}
status: {{phase: Available}}"
    );
    Arc::new(serde_yaml::from_str(&text).unwrap())
}

fn view(candidates: Vec<Arc<PersistentVolume>>, class: Option<&str>) -> View {
    let class = class.map(|more| {
        let text = format!("metadata: {{name: s}}\n{more}");
        Arc::new(serde_yaml::from_str::<StorageClass>(&text).unwrap())
    });
    View { named: None, candidates, class, waiting_pods: Vec::new(), provisioning: true }
}

fn outcome(claim: &PersistentVolumeClaim, view: &View) -> String {
    match claim::plan(claim, view) {
        claim::Step::Bind(volume) => volume.metadata.name.clone().unwrap(),
        claim::Step::Pend(None) => "pend".to_owned(),
        claim::Step::Pend(Some(note)) | claim::Step::Lose(note) => note.reason.to_owned(),
        claim::Step::Ask { provisioner, .. } => provisioner,
    }
}

#[test]
fn the_volume_that_suits_best_is_taken() {
    let candidates = vec![
        volume("large", "persistentVolumeReclaimPolicy: Retain"),
        volume("block", "volumeMode: Block"),
        volume("other", "claimRef: {namespace: n, name: other}"),
    ];
    assert_eq!(outcome(&claim(""), &view(candidates.clone(), None)), "large");
    let kept = volume("kept", "claimRef: {namespace: n, name: c}");
    let mut all = candidates;
    all.push(kept);
    assert_eq!(outcome(&claim(""), &view(all, None)), "kept");
}

#[test]
fn without_a_volume_the_class_decides() {
    let wait = "provisioner: example.com/p\nvolumeBindingMode: WaitForFirstConsumer";
    for (class, expected) in [
        (None, "ProvisioningFailed"),
        (Some("provisioner: example.com/p"), "example.com/p"),
        (Some("provisioner: kubernetes.io/aws-ebs"), "ebs.csi.aws.com"),
        (Some("provisioner: kubernetes.io/no-provisioner"), "ProvisioningFailed"),
        (Some(wait), "WaitForFirstConsumer"),
    ] {
        assert_eq!(outcome(&claim(""), &view(Vec::new(), class)), expected, "{class:?}");
    }
    // A volume that suits is not taken before a pod needs it.
    assert_eq!(
        outcome(&claim(""), &view(vec![volume("v", "volumeMode: Filesystem")], Some(wait))),
        "WaitForFirstConsumer"
    );
}

#[test]
fn a_chosen_volume_has_to_suit() {
    let chosen = claim("volumeName: v");
    let with = |volume| View { named: volume, ..view(Vec::new(), None) };
    assert_eq!(outcome(&chosen, &with(None)), "pend");
    assert_eq!(outcome(&chosen, &with(Some(volume("v", "volumeMode: Filesystem")))), "v");
    assert_eq!(outcome(&chosen, &with(Some(volume("v", "volumeMode: Block")))), "VolumeMismatch");
    let taken = volume("v", "claimRef: {namespace: n, name: other}");
    assert_eq!(outcome(&chosen, &with(Some(taken))), "FailedBinding");
}

#[test]
fn a_binding_is_complete_when_repeating_it_changes_nothing() {
    let (free, wanting) = (volume("v", "volumeMode: Filesystem"), claim(""));
    let bound = bind::volume(&free, &wanting).unwrap();
    assert!(bind::volume(&bound, &wanting).is_none());
    let mut complete = bind::claim(&wanting, &bound).unwrap();
    complete.status = Some(bind::claim_status(&complete, &bound));
    assert!(bind::claim(&complete, &bound).is_none());
    assert_eq!(complete.status, Some(bind::claim_status(&complete, &bound)));
    let named = View { named: Some(Arc::new(bound)), ..view(Vec::new(), None) };
    assert_eq!(outcome(&complete, &named), "v");
    assert_eq!(outcome(&complete, &view(Vec::new(), None)), "ClaimLost");
}

#[test]
fn what_becomes_of_a_released_volume() {
    let released = |more: &str| {
        let volume = volume("v", &format!("claimRef: {{namespace: n, name: c, uid: gone}}, {more}"));
        match volume::plan(&volume, None) {
            volume::Step::Release(reclaim) => reclaim,
            step => panic!("{step:?}"),
        }
    };
    let failed = |message: &str| Reclaim::Fail(Note::warning("VolumeFailedDelete", message));
    assert_eq!(released("persistentVolumeReclaimPolicy: Retain"), Reclaim::Keep);
    let delete = |source: &str| released(&format!("persistentVolumeReclaimPolicy: Delete, {source}"));
    assert_eq!(delete("hostPath: {path: /tmp/a/b}"), Reclaim::Delete(PathBuf::from("/tmp/a/b")));
    for path in ["/tmp", "/tmp/", "/tmp/../etc", "/var"] {
        let message = format!("host_path deleter only supports /tmp/.+ but received provided {path}");
        assert_eq!(delete(&format!("hostPath: {{path: {path}}}")), failed(&message));
    }
    assert_eq!(
        delete("nfs: {server: s, path: /p}"),
        failed("error getting deleter volume plugin for volume \"v\": no deletable volume plugin matched")
    );
}
