use base64::Engine as _;
use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use super::claims::{self, Claims, Legacy};
use super::*;
use crate::{Lookup, ObjectRef};

fn base64(bytes: impl AsRef<[u8]>) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", base64(der))
}

/// A file with this content, as long as the guard lives.
struct File(std::path::PathBuf);

impl File {
    fn with(content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("coxswain-access-{}.pem", uuid::Uuid::new_v4()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

#[test]
fn a_key_has_one_id_in_every_form() {
    let key = KeyPair::generate().unwrap();
    let pkcs8 = key.serialize_der();
    // The SEC 1 key is the last member of PKCS#8, after 29 bytes of version, algorithm and tags (P-256).
    let sec1 = pem("EC PRIVATE KEY", &pkcs8[29..]);
    let certificate = CertificateParams::new(Vec::<String>::new()).unwrap().self_signed(&key).unwrap();
    let forms = [key.serialize_pem(), sec1.clone(), key.public_key_pem(), certificate.pem()];
    let ids: Vec<String> = forms
        .iter()
        .map(|form| {
            let keys = PublicKey::load(&File::with(form).0).unwrap();
            assert_eq!(keys.len(), 1);
            keys[0].id.clone()
        })
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(SigningKey::load(&File::with(&sec1).0).unwrap().public().id, ids[0]);
    let both = forms.join("");
    assert_eq!(PublicKey::load(&File::with(&both).0).unwrap().len(), 4);
    for useless in ["", "no PEM", &pem("X", b"y")] {
        assert!(PublicKey::load(&File::with(useless).0).is_err(), "{useless:?}");
    }
    let refused = SigningKey::load(&File::with(&key.public_key_pem()).0).err().unwrap().to_string();
    assert!(refused.ends_with("there is no private key in it"), "{refused}");
}

#[test]
fn the_key_set_tells_how_to_verify() {
    let key = SigningKey::load(&File::with(&KeyPair::generate().unwrap().serialize_pem()).0).unwrap();
    let keys = [key.public().clone()];
    let set = key_set(&keys);
    assert_eq!(set["keys"][0]["kid"], key.public().id);
    assert_eq!((&set["keys"][0]["kty"], &set["keys"][0]["crv"]), (&json!("EC"), &json!("P-256")));
    let document = configuration("https://issuer", "https://issuer/keys", &keys);
    assert_eq!(document["id_token_signing_alg_values_supported"], json!(["ES256"]));
    assert_eq!(document["jwks_uri"], "https://issuer/keys");
}

/// A secret with a token, and its account.
struct Objects(Mutex<(Option<Value>, Option<Value>)>);

#[async_trait::async_trait]
impl Lookup for Objects {
    async fn get(&self, object: ObjectRef<'_>) -> Option<Bytes> {
        let objects = self.0.lock();
        let found = match object.resource {
            "secrets" => objects.0.as_ref(),
            "serviceaccounts" => objects.1.as_ref(),
            _ => None,
        };
        found.map(|o| o.to_string().into())
    }
}

#[tokio::test]
async fn tokens_kept_in_secrets_are_good_while_the_secret_is() {
    let key = SigningKey::load(&File::with(&KeyPair::generate().unwrap().serialize_pem()).0).unwrap();
    let verifier = Verifier::new(vec!["https://issuer".into()], vec![key.public().clone()], true);
    let claims = Claims {
        iss: "kubernetes/serviceaccount".into(),
        sub: "system:serviceaccount:ns:bot".into(),
        legacy: Legacy {
            namespace: "ns".into(),
            secret: "bot-token".into(),
            account: "bot".into(),
            account_uid: "1".into(),
        },
        ..Claims::default()
    };
    let token = claims::sign(&key, &claims).unwrap();
    let secret = |token: &str, labels: Value| json!({"metadata": {"labels": labels}, "type": "kubernetes.io/service-account-token", "data": {"token": base64(token)}});
    let account = |uid: &str| Some(json!({"metadata": {"uid": uid}}));
    let good = || Some(secret(&token, json!({})));
    let api = ["api".to_owned()];
    let ask = async |secret: Option<Value>, account: Option<Value>| {
        let objects = Objects(Mutex::new((secret, account)));
        let found = verifier.authenticate(&objects, &token, &api, &api, Timestamp::now()).await;
        found.map(|identity| identity.map(|i| (i.user.name, i.audiences)))
    };
    let bot = Ok(Some(("system:serviceaccount:ns:bot".to_owned(), api.to_vec())));
    assert_eq!(ask(good(), account("1")).await, bot);
    for (secret, account, why) in [
        (None, account("1"), "token has been invalidated"),
        (Some(secret("another", json!({}))), account("1"), "token has been invalidated"),
        (good(), None, "serviceaccounts \"bot\" not found"),
        (good(), account("2"), "ServiceAccount UID (2) does not match claim (1)"),
    ] {
        assert_eq!(ask(secret, account).await, Err(why.to_owned()));
    }
    let marked = secret(&token, json!({"kubernetes.io/legacy-token-invalid-since": "2026-01-01"}));
    let refused = ask(Some(marked), account("1")).await.unwrap_err();
    assert!(
        refused.starts_with(
            "the token in secret ns/bot-token for service account ns/bot has been marked invalid"
        )
    );
}
