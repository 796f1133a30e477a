//! CertificateApproval, CertificateSigning, CertificateSubjectRestriction: who may approve and sign for a
//! signer, and what no client certificate may say.

use std::sync::Arc;

use access::authz::{Attributes, Authorizer};
use access::names;
use api_types::field::quote;
use async_trait::async_trait;
use base64::Engine as _;
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use super::Dependencies;
use super::support::{refuse, text};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

const GROUP: &str = "certificates.k8s.io";
const REQUESTS: &str = "certificatesigningrequests";
const API_CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

pub(super) fn make_approval(dependencies: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(Signer {
        name: "CertificateApproval",
        verb: "approve",
        authorizer: dependencies.authorizer.clone(),
    })
}

pub(super) fn make_signing(dependencies: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(Signer { name: "CertificateSigning", verb: "sign", authorizer: dependencies.authorizer.clone() })
}

pub(super) fn make_subject(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(CertificateSubjectRestriction)
}

/// Approving and signing need a permission on the signer besides the one on the request.
struct Signer {
    name: &'static str,
    verb: &'static str,
    authorizer: Arc<Authorizer>,
}

#[async_trait]
impl Plugin for Signer {
    fn name(&self) -> &'static str {
        self.name
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    async fn validate(&self, request: &Request<'_>, _: &dyn Reader) -> Result<(), Error> {
        let (Some(new), Some(old)) = (request.object.as_ref(), request.old_object) else { return Ok(()) };
        let concerned = match (self.verb, request.subresource) {
            ("approve", "approval") => true,
            ("sign", "status") => {
                let part = |o: &Value, p: &str| o.pointer(p).cloned();
                ["/status/certificate", "/status/conditions"].iter().any(|p| part(new, p) != part(old, p))
            }
            _ => false,
        };
        if !concerned || !request.is_any(GROUP, REQUESTS) {
            return Ok(());
        }
        let signer = text(old, "/spec/signerName");
        if permitted(&self.authorizer, request, self.verb, signer).await {
            return Ok(());
        }
        let why = format!("user not permitted to {} requests with signerName {}", self.verb, quote(signer));
        Err(refuse(request, why))
    }
}

/// Whether the user has the verb on the signer, or on all signers of its domain.
async fn permitted(authorizer: &Authorizer, request: &Request<'_>, verb: &str, signer: &str) -> bool {
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    for name in [signer.to_owned(), format!("{domain}/*")] {
        let attributes = Attributes::resource(request.user, verb, GROUP, "signers").named(&name);
        if authorizer.authorize(&attributes).await.allowed() {
            return true;
        }
    }
    false
}

struct CertificateSubjectRestriction;

#[async_trait]
impl Plugin for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn validate(&self, request: &Request<'_>, _: &dyn Reader) -> Result<(), Error> {
        let object = request.is(GROUP, REQUESTS).then_some(request.object.as_ref()).flatten();
        let Some(object) = object.filter(|o| text(o, "/spec/signerName") == API_CLIENT_SIGNER) else {
            return Ok(());
        };
        let organizations = organizations(text(object, "/spec/request"))
            .ok_or_else(|| refuse(request, "unable to parse csr: it is not a PEM certificate request"))?;
        if organizations.iter().any(|group| group == names::MASTERS) {
            let why =
                format!("use of {API_CLIENT_SIGNER} signer with {} group is not allowed", names::MASTERS);
            return Err(refuse(request, why));
        }
        Ok(())
    }
}

/// The organizations of the subject of a base64 of a PEM certificate request (PKCS#10).
fn organizations(encoded: &str) -> Option<Vec<String>> {
    let pem = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    let (_, block) = x509_parser::pem::parse_x509_pem(&pem).ok()?;
    let (_, request) = X509CertificationRequest::from_der(&block.contents).ok()?;
    let subject = &request.certification_request_info.subject;
    Some(subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use access::authz::Replica as _;
    use base64::Engine as _;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
    use serde_json::json;

    use super::super::testing::{World, create, dependencies, update};
    use super::*;

    #[tokio::test]
    async fn no_client_certificate_for_masters() {
        let world = World::with(&[]);
        let csr = |group: &str, signer: &str| {
            let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::OrganizationName, group);
            let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
            let request = base64::engine::general_purpose::STANDARD.encode(pem);
            create(GROUP, REQUESTS, json!({"spec": {"signerName": signer, "request": request}}))
        };
        let refused = Err("certificatesigningrequests.certificates.k8s.io \"x\" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed".to_owned());
        for (group, signer, expected) in [
            ("system:masters", API_CLIENT_SIGNER, refused),
            ("system:masters", "example.com/own", Ok(())),
            ("dev", API_CLIENT_SIGNER, Ok(())),
        ] {
            let got = csr(group, signer).put_to(&CertificateSubjectRestriction, &world).await.map(drop);
            assert_eq!(got, expected);
        }
    }

    #[tokio::test]
    async fn approving_needs_a_permission_on_the_signer() {
        let world = World::with(&[]);
        let dependencies = dependencies(&world);
        let role = json!({"rules": [{"verbs": ["approve"], "apiGroups": [GROUP], "resources": ["signers"], "resourceNames": ["example.com/*"]}]});
        let binding = json!({"roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "User", "name": "alice"}]});
        dependencies.rbac.upsert("clusterroles", "", "r", role.to_string().as_bytes()).unwrap();
        dependencies.rbac.upsert("clusterrolebindings", "", "b", binding.to_string().as_bytes()).unwrap();
        let plugin = make_approval(&dependencies);
        for (signer, allowed) in [("example.com/a", true), ("other.com/a", false)] {
            let csr = json!({"spec": {"signerName": signer}});
            let got = update(GROUP, REQUESTS, csr.clone(), csr).on("approval").put_to(&*plugin, &world).await;
            assert_eq!(got.is_ok(), allowed, "{signer}");
        }
    }
}
