//! `certificatesigningrequest-approving-controller`: approves client certificates for kubelets whose requesters may have them.

use api_types::k8s::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use api_types::k8s::api::certificates::v1::CertificateSigningRequest;
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::{Api, Client, Informer, Key, PostParams, Writer, Writes};
use jiff::Timestamp;

use super::request::{self, Request};
use super::{has, issued, with_condition};
use crate::context::Context;

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let requests = context.informers.all::<CertificateSigningRequest>();
    let reconciler =
        Approver { requests: requests.clone(), writer: context.writer(), client: context.client.clone() };
    Controller::new("csrapproving", reconciler, context.shutdown)
        .watch(&requests, |change| vec![change.key.clone()])
        .run(5)
        .await;
    Ok(())
}

struct Approver {
    requests: Informer<CertificateSigningRequest>,
    writer: Writer<CertificateSigningRequest>,
    client: Client,
}

#[async_trait]
impl Reconciler for Approver {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(csr) = self.requests.store().get(key) else { return Ok(Next::Wait) };
        if issued(&csr) || has(&csr, "Approved") || has(&csr, "Denied") {
            return Ok(Next::Wait);
        }
        let Some(candidate) = recognize(&csr) else { return Ok(Next::Wait) };
        for (subresource, message) in candidate {
            if self.may(&csr, subresource).await? {
                let approved = with_condition(&csr, "Approved", "AutoApproved", message, Timestamp::now());
                self.writer.update_sub(writes, "approval", &approved).await?;
                return Ok(Next::Wait);
            }
        }
        // Whoever asks may be given the right later; an hour from now the request is cleaned up anyway.
        anyhow::bail!("the requester of {key} may not have the certificate it asks for")
    }
}

type Candidate = Vec<(&'static str, &'static str)>;

/// The rights that would allow the request, with what an approval says; `None` when it is not for us to judge.
fn recognize(csr: &CertificateSigningRequest) -> Option<Candidate> {
    if csr.spec.signer_name != request::KUBELET_CLIENT {
        return None;
    }
    let request = Request::parse(&csr.spec.request.0)?;
    if !request::is_node_client(&request, csr.spec.usages.as_deref().unwrap_or_default()) {
        return None;
    }
    let mut candidate = Vec::new();
    if csr.spec.username.as_deref() == Some(&request.common_name) {
        let message = "Auto approving self kubelet client certificate after SubjectAccessReview.";
        candidate.push(("selfnodeclient", message));
    }
    candidate.push(("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."));
    Some(candidate)
}

impl Approver {
    async fn may(&self, csr: &CertificateSigningRequest, subresource: &str) -> Result<bool, client::Error> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: csr.spec.username.clone(),
                uid: csr.spec.uid.clone(),
                groups: csr.spec.groups.clone(),
                extra: csr.spec.extra.clone(),
                resource_attributes: Some(ResourceAttributes {
                    group: Some("certificates.k8s.io".to_owned()),
                    version: Some("*".to_owned()),
                    resource: Some("certificatesigningrequests".to_owned()),
                    subresource: Some(subresource.to_owned()),
                    verb: Some("create".to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let reviews = Api::<SubjectAccessReview>::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}
