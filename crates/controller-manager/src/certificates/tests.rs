use std::time::Duration;

use api_types::k8s::api::certificates::v1::CertificateSigningRequest;
use api_types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use jiff::Timestamp;
use rcgen::{CertificateParams, DnType, IsCa, KeyPair, SanType};

use super::request::{self, Request, validate};
use super::{clean, sign::Ca, with_condition};

fn csr(common_name: &str, organization: &str, dns: &[&str]) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, organization);
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.subject_alt_names = dns.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

fn usages(list: &[&str]) -> Vec<String> {
    list.iter().map(|usage| (*usage).to_owned()).collect()
}

#[test]
fn signers_grant_only_what_they_are_for() {
    let node = Request::parse(csr("system:node:a", "system:nodes", &[]).as_bytes()).unwrap();
    let client = usages(&["digital signature", "client auth", "key encipherment"]);
    let server = usages(&["digital signature", "server auth"]);
    assert_eq!(validate(request::KUBELET_CLIENT, &node, &client), Ok(()));
    assert!(validate(request::KUBELET_CLIENT, &node, &server).is_err());
    assert_eq!(
        validate(request::KUBELET_SERVING, &node, &server),
        Err("DNS or IP subjectAltName is required".to_owned())
    );
    let named = Request::parse(csr("system:node:a", "system:nodes", &["a.example"]).as_bytes()).unwrap();
    assert_eq!(validate(request::KUBELET_SERVING, &named, &server), Ok(()));
    assert_eq!(
        validate(request::KUBELET_CLIENT, &named, &client),
        Err("DNS subjectAltNames are not allowed".to_owned())
    );
    let other = Request::parse(csr("jane", "dev", &[]).as_bytes()).unwrap();
    assert!(validate(request::KUBELET_CLIENT, &other, &client).is_err());
    assert_eq!(validate(request::CLIENT, &other, &client), Ok(()));
    assert!(Request::parse(b"nonsense").is_none());
}

#[test]
fn a_signed_certificate_says_what_was_asked_and_ends_with_its_ca() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "kubernetes");
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let ca = Ca::new(&params.self_signed(&key).unwrap().pem(), &key.serialize_pem()).unwrap();
    let now: Timestamp = "2029-12-31T23:00:00Z".parse().unwrap();
    let request = csr("system:node:a", "system:nodes", &[]);
    let pem =
        ca.sign(request.as_bytes(), &usages(&["client auth"]), Duration::from_secs(86_400), now).unwrap();
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    let certificate = block.parse_x509().unwrap();
    assert_eq!(certificate.validity().not_after.timestamp(), 1_893_456_000);
    assert!(certificate.subject().to_string().contains("CN=system:node:a"));
    assert!(certificate.extended_key_usage().unwrap().unwrap().value.client_auth);
    assert!(!certificate.is_ca());
}

#[test]
fn requests_are_kept_for_a_while() {
    let created: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut pending = CertificateSigningRequest::default();
    pending.metadata.creation_timestamp = Some(Time(created));
    assert_eq!(clean::expires(&pending).unwrap().to_string(), "2026-01-02T00:00:00Z");
    let denied = with_condition(&pending, "Denied", "No", "no", "2026-01-01T05:00:00Z".parse().unwrap());
    assert_eq!(clean::expires(&denied).unwrap().to_string(), "2026-01-01T06:00:00Z");
}
