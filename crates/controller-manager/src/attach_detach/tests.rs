use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{Node, PersistentVolume};
use api_types::k8s::api::storage::v1::VolumeAttachment;
use jiff::{SignedDuration, Timestamp};

use super::plan::{self, Plan, Snapshot, Wanted};

fn volume() -> Arc<PersistentVolume> {
    let text = "metadata: {name: v}
spec: {accessModes: [ReadWriteOnce], csi: {driver: d, volumeHandle: h}}";
    Arc::new(serde_yaml::from_str(text).unwrap())
}

fn wanted() -> Vec<Wanted> {
    vec![Wanted { volume: volume(), pods: Vec::new(), elsewhere: None }]
}

fn attachment(attached: bool) -> Arc<VolumeAttachment> {
    let (name, _) = plan::identity(&volume(), "n").unwrap();
    let text = format!(
        "metadata: {{name: {name}}}
spec: {{attacher: d, nodeName: n, source: {{persistentVolumeName: v}}}}
status: {{attached: {attached}}}"
    );
    Arc::new(serde_yaml::from_str(&text).unwrap())
}

fn planned(node: &str, wanted: Vec<Wanted>, attachments: Vec<Arc<VolumeAttachment>>, held_mins: i64) -> Plan {
    let node: Node = serde_yaml::from_str(&format!("metadata: {{name: n}}\nstatus: {{{node}}}")).unwrap();
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let since = now.checked_sub(SignedDuration::from_mins(held_mins)).unwrap();
    let (name, _) = plan::identity(&volume(), "n").unwrap();
    let snapshot = Snapshot { name: "n".into(), node: Some(Arc::new(node)), wanted, attachments };
    plan::plan(&snapshot, &BTreeMap::from([(name, since)]), true, now)
}

#[test]
fn a_volume_comes_is_reported_and_goes() {
    let coming = planned("", wanted(), Vec::new(), 0);
    assert_eq!(coming.attach[0].spec.attacher, "d");
    let arrived = planned("", wanted(), vec![attachment(true)], 0);
    assert!(arrived.attach.is_empty());
    assert_eq!(arrived.report.unwrap()[0].name, "kubernetes.io/csi/d^h");
    assert_eq!(arrived.arrived, [0]);
    let reported = "volumesAttached: [{name: kubernetes.io/csi/d^h, devicePath: ''}]";
    assert!(planned(reported, wanted(), vec![attachment(true)], 0).report.is_none());
    let going = planned(reported, Vec::new(), vec![attachment(true)], 0);
    assert!(going.report.unwrap().is_empty());
    assert_eq!(going.detach.len(), 1);
}

#[test]
fn what_the_kubelet_uses_stays_until_patience_ends() {
    let used = "volumesInUse: [kubernetes.io/csi/d^h]";
    assert_eq!(planned(used, Vec::new(), vec![attachment(true)], 5).held.len(), 1);
    assert_eq!(planned(used, Vec::new(), vec![attachment(true)], 7).detach.len(), 1);
    // A node that answers is trusted for ever.
    let ready = format!("{used}, conditions: [{{type: Ready, status: 'True'}}]");
    assert_eq!(planned(&ready, Vec::new(), vec![attachment(true)], 7).held.len(), 1);
}

#[test]
fn an_exclusive_volume_waits_for_the_other_node() {
    let blocked = vec![Wanted { elsewhere: Some(Vec::new()), ..wanted().remove(0) }];
    let plan = planned("", blocked, Vec::new(), 0);
    assert!(plan.attach.is_empty() && plan.blocked == [0]);
}
