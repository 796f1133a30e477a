use std::sync::Arc;

use api_types::k8s::api::core::v1::Pod;
use api_types::k8s::api::resource::v1::{ResourceClaim, ResourceClaimTemplate};

use super::plan::{self, Need};

fn pod(status: &str) -> Pod {
    let text = format!(
        "metadata: {{name: p, namespace: n, uid: pod}}
spec: {{containers: [], resourceClaims: [{{name: gpu, resourceClaimTemplateName: t}}]}}
status: {{{status}}}"
    );
    serde_yaml::from_str(&text).unwrap()
}

#[test]
fn a_claim_is_made_once_and_told() {
    let fresh = pod("");
    let wanted = &fresh.spec.as_ref().unwrap().resource_claims.as_ref().unwrap()[0];
    assert!(matches!(plan::need(&fresh, wanted, &[]), Need::Make));
    let template: ResourceClaimTemplate =
        serde_yaml::from_str("metadata: {name: t}\nspec: {metadata: {labels: {x: y}}, spec: {}}").unwrap();
    let mut made = plan::make(&fresh, wanted, &template);
    assert_eq!(made.metadata.generate_name.as_deref(), Some("p-gpu-"));
    made.metadata.name = Some("p-gpu-abcde".into());
    let made = [Arc::new(made)];
    assert!(matches!(plan::need(&fresh, wanted, &made), Need::Tell(name) if name == "p-gpu-abcde"));
    let told = pod("resourceClaimStatuses: [{name: gpu, resourceClaimName: p-gpu-abcde}]");
    assert!(matches!(plan::need(&told, wanted, &made), Need::Met));
    assert_eq!(plan::names(&told), ["p-gpu-abcde"]);
}

#[test]
fn the_last_reservation_takes_the_allocation_along() {
    let text = "metadata: {name: c, namespace: n, finalizers: [resource.kubernetes.io/delete-protection]}
spec: {}
status: {allocation: {}, reservedFor: [{resource: pods, name: a, uid: a}, {resource: pods, name: b, uid: b}]}";
    let claim: ResourceClaim = serde_yaml::from_str(text).unwrap();
    let reserved = claim.status.clone().unwrap().reserved_for.unwrap();
    assert_eq!(plan::upkeep(&claim, reserved.clone()), plan::Upkeep::default());
    let one = plan::upkeep(&claim, reserved[..1].to_vec());
    assert!(one.status.unwrap().status.unwrap().allocation.is_some() && !one.unprotect);
    let none = plan::upkeep(&claim, Vec::new());
    let status = none.status.unwrap().status.unwrap();
    assert!(none.unprotect && status.allocation.is_none() && status.reserved_for.is_none());
}
