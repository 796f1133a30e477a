//! The three controllers of CertificateSigningRequests: approving what kubelets may ask for, signing what was approved, and
//! cleaning up.

mod approve;
mod clean;
mod request;
mod sign;

pub(crate) use approve::run as run_approving;
pub(crate) use clean::run as run_cleaner;
pub(crate) use sign::run as run_signing;

use api_types::k8s::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use jiff::Timestamp;

/// Whether the request carries a true condition of that type.
fn has(csr: &CertificateSigningRequest, kind: &str) -> bool {
    conditions(csr).iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

fn conditions(csr: &CertificateSigningRequest) -> &[CertificateSigningRequestCondition] {
    csr.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default()
}

/// Whether a certificate was issued.
fn issued(csr: &CertificateSigningRequest) -> bool {
    csr.status
        .as_ref()
        .and_then(|status| status.certificate.as_ref())
        .is_some_and(|bytes| !bytes.0.is_empty())
}

/// Adds a condition to a copy of the request.
fn with_condition(
    csr: &CertificateSigningRequest,
    kind: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> CertificateSigningRequest {
    let mut changed = csr.clone();
    changed.status.get_or_insert_default().conditions.get_or_insert_default().push(
        CertificateSigningRequestCondition {
            type_: kind.to_owned(),
            status: "True".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_update_time: Some(Time(now)),
            last_transition_time: Some(Time(now)),
        },
    );
    changed
}

#[cfg(test)]
mod tests;
