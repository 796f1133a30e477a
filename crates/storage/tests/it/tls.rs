//! etcd behind TLS with client certificates, as `bootstrap` sets it up.

use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use storage::{Error, Freshness, Options, Store};

use crate::etcd::Etcd;
use crate::{options, pod, pods};

#[tokio::test]
async fn etcd_is_spoken_to_over_mutual_tls() {
    let directory = tempfile::tempdir().unwrap();
    write_certificates(directory.path());
    let etcd = Etcd::start_secure(directory);
    let options = Options {
        ca_file: Some(etcd.file("ca.crt")),
        cert_file: Some(etcd.file("client.crt")),
        key_file: Some(etcd.file("client.key")),
        ..options(&etcd)
    };
    let store = Store::connect(options.clone()).await.unwrap();
    let pods = store.resource(pods()).unwrap();
    let created = pods.create("ns", "a", &pod("a", "", 0)).await.unwrap();
    assert_eq!(pods.get("ns", "a", Freshness::Latest).await.unwrap().unwrap().json(), created.json());

    let half = Options { key_file: None, ..options.clone() };
    assert!(matches!(Store::connect(half).await, Err(Error::Options { option: "--etcd-certfile", .. })));
    let blind = Options { ca_file: None, ..options.clone() };
    assert!(matches!(Store::connect(blind).await, Err(Error::Options { option: "--etcd-cafile", .. })));
    // A certificate that etcd does not accept could be replaced in the files of etcd, so that is waited for.
    let nameless = Options { cert_file: None, key_file: None, ..options };
    assert!(tokio::time::timeout(Duration::from_millis(300), Store::connect(nameless)).await.is_err());
}

fn write_certificates(directory: &Path) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    std::fs::write(directory.join("ca.crt"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    for name in ["server", "client"] {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        std::fs::write(directory.join(format!("{name}.crt")), params.signed_by(&key, &issuer).unwrap().pem())
            .unwrap();
        std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}
