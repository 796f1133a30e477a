//! What a request asks for, and whether its signer may grant that.

use std::collections::BTreeSet;

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

pub(super) const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
pub(super) const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
pub(super) const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
pub(super) const LEGACY: &str = "kubernetes.io/legacy-unknown";

/// Subject and names of a PKCS#10 request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns_names: usize,
    pub addresses: usize,
    pub emails: usize,
    pub uris: usize,
}

impl Request {
    /// Reads a PEM request; `None` when it is not one.
    pub(super) fn parse(pem: &[u8]) -> Option<Self> {
        let (_, block) = x509_parser::pem::parse_x509_pem(pem).ok()?;
        let (_, parsed) = X509CertificationRequest::from_der(&block.contents).ok()?;
        let subject = &parsed.certification_request_info.subject;
        let text =
            |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(str::to_owned);
        let mut request = Self {
            common_name: subject.iter_common_name().filter_map(text).last().unwrap_or_default(),
            organizations: subject.iter_organization().filter_map(text).collect(),
            ..Self::default()
        };
        for extension in parsed.requested_extensions().into_iter().flatten() {
            let ParsedExtension::SubjectAlternativeName(names) = extension else { continue };
            for name in &names.general_names {
                match name {
                    GeneralName::DNSName(_) => request.dns_names += 1,
                    GeneralName::IPAddress(_) => request.addresses += 1,
                    GeneralName::RFC822Name(_) => request.emails += 1,
                    GeneralName::URI(_) => request.uris += 1,
                    _ => {}
                }
            }
        }
        Some(request)
    }
}

/// Whether the request is for a node's client certificate: group `system:nodes`, name `system:node:…`, no other names.
pub(super) fn is_node_client(request: &Request, usages: &[String]) -> bool {
    kubelet_client(request, usages).is_ok()
}

/// Why a signer must not grant a request; worded as upstream words it.
pub(super) fn validate(signer: &str, request: &Request, usages: &[String]) -> Result<(), String> {
    match signer {
        KUBELET_CLIENT => kubelet_client(request, usages),
        KUBELET_SERVING => kubelet_serving(request, usages),
        CLIENT => {
            match allowed(usages, &["client auth"], &["key encipherment", "digital signature", "client auth"])
            {
                true => Ok(()),
                false => {
                    Err("usages did not match [client auth digital signature key encipherment]".to_owned())
                }
            }
        }
        _ => Ok(()),
    }
}

fn kubelet_client(request: &Request, usages: &[String]) -> Result<(), String> {
    node_subject(request)?;
    for (count, what) in [
        (request.dns_names, "DNS subjectAltNames are not allowed"),
        (request.emails, "Email subjectAltNames are not allowed"),
        (request.addresses, "IP subjectAltNames are not allowed"),
        (request.uris, "URI subjectAltNames are not allowed"),
    ] {
        if count > 0 {
            return Err(what.to_owned());
        }
    }
    if !exactly(usages, &["digital signature", "client auth"]) {
        return Err("usages did not match [client auth digital signature]".to_owned());
    }
    Ok(())
}

fn kubelet_serving(request: &Request, usages: &[String]) -> Result<(), String> {
    node_subject(request)?;
    if request.dns_names == 0 && request.addresses == 0 {
        return Err("DNS or IP subjectAltName is required".to_owned());
    }
    if request.emails > 0 {
        return Err("Email subjectAltNames are not allowed".to_owned());
    }
    if request.uris > 0 {
        return Err("URI subjectAltNames are not allowed".to_owned());
    }
    if !exactly(usages, &["digital signature", "server auth"]) {
        return Err("usages did not match [digital signature server auth]".to_owned());
    }
    Ok(())
}

fn node_subject(request: &Request) -> Result<(), String> {
    if request.organizations != ["system:nodes"] {
        return Err("subject organization is not system:nodes".to_owned());
    }
    if !request.common_name.starts_with("system:node:") {
        return Err("subject common name does not begin with system:node: ".to_owned());
    }
    Ok(())
}

/// These usages, with or without key encipherment, which only RSA keys need.
fn exactly(usages: &[String], wanted: &[&str]) -> bool {
    let given: BTreeSet<&str> =
        usages.iter().map(String::as_str).filter(|usage| *usage != "key encipherment").collect();
    given == wanted.iter().copied().collect()
}

/// All of `needed`, and nothing but `possible`.
fn allowed(usages: &[String], needed: &[&str], possible: &[&str]) -> bool {
    needed.iter().all(|usage| usages.iter().any(|given| given == usage))
        && usages.iter().all(|given| possible.contains(&given.as_str()))
}
