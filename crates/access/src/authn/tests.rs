use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

use super::service_account::{Issuer, PublicKey, SigningKey, Verifier, create_token};
use super::*;
use crate::ObjectRef;
use crate::authz::{Authorizer, Mode, Rbac, Replica as _};

/// Objects by `resource/namespace/name`.
#[derive(Default)]
struct Objects(Mutex<HashMap<String, Value>>);

#[async_trait::async_trait]
impl Lookup for Objects {
    async fn get(&self, o: ObjectRef<'_>) -> Option<Bytes> {
        let key = format!("{}/{}/{}", o.resource, o.namespace, o.name);
        self.0.lock().get(&key).map(|v| v.to_string().into())
    }
}

impl Objects {
    fn put(&self, key: &str, object: Value) {
        self.0.lock().insert(key.to_owned(), object);
    }

    fn remove(&self, key: &str) {
        self.0.lock().remove(key);
    }
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(k, v): &(&str, &str)| {
        (HeaderName::from_bytes(k.as_bytes()).unwrap(), HeaderValue::from_str(v).unwrap())
    };
    pairs.iter().map(pair).collect()
}

/// A signing key and its verifier, of either kind.
fn keys(alg: &'static rcgen::SignatureAlgorithm) -> (SigningKey, Vec<PublicKey>) {
    let dir = std::env::temp_dir();
    let path = dir.join(format!("coxswain-access-{}.pem", uuid::Uuid::new_v4()));
    std::fs::write(&path, KeyPair::generate_for(alg).unwrap().serialize_pem()).unwrap();
    let loaded = (SigningKey::load(&path).unwrap(), PublicKey::load(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
    loaded
}

const ISSUER: &str = "https://kubernetes.default.svc";

struct Setup {
    objects: Arc<Objects>,
    issuer: Issuer,
    authenticator: Authenticator,
}

fn setup(alg: &'static rcgen::SignatureAlgorithm) -> Setup {
    let (key, public) = keys(alg);
    let objects = Arc::new(Objects::default());
    objects.put("serviceaccounts/ns/bot", json!({"metadata": {"uid": "sa-1"}}));
    let config = Config {
        service_accounts: Some(Arc::new(Verifier::new(vec![ISSUER.into()], public, true))),
        api_audiences: vec![ISSUER.into()],
        anonymous: true,
        bootstrap_tokens: true,
        ..Config::default()
    };
    let issuer =
        Issuer { issuer: ISSUER.into(), key, api_audiences: vec![ISSUER.into()], longest: 0, extend: true };
    let authenticator = Authenticator::load(config, objects.clone()).unwrap();
    Setup { objects, issuer, authenticator }
}

impl Setup {
    async fn mint(&self, spec: Value) -> String {
        let mut request = json!({"spec": spec});
        create_token(&self.issuer, &*self.objects, "ns", "bot", &mut request, now()).await.unwrap();
        request["status"]["token"].as_str().unwrap().to_owned()
    }

    async fn review(&self, token: &str, audiences: Value) -> Value {
        let mut review = json!({"spec": {"token": token, "audiences": audiences}});
        token_review(&self.authenticator, &mut review, now()).await.unwrap();
        review["status"].clone()
    }
}

#[tokio::test]
async fn service_account_tokens_live_and_die_with_what_they_are_bound_to() {
    for alg in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let setup = setup(alg);
        let pod =
            json!({"metadata": {"uid": "pod-1"}, "spec": {"serviceAccountName": "bot", "nodeName": "n1"}});
        setup.objects.put("pods/ns/p", pod);
        setup.objects.put("nodes//n1", json!({"metadata": {"uid": "node-1"}}));
        let token =
            setup.mint(json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}})).await;
        let status = setup.review(&token, json!([])).await;
        assert_eq!(status["authenticated"], true, "{status}");
        assert_eq!(status["audiences"], json!([ISSUER]));
        assert_eq!(status["user"]["username"], "system:serviceaccount:ns:bot");
        assert_eq!(
            status["user"]["groups"],
            json!(["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"])
        );
        let extra = &status["user"]["extra"];
        for (key, value) in
            [("pod-name", "p"), ("pod-uid", "pod-1"), ("node-name", "n1"), ("node-uid", "node-1")]
        {
            assert_eq!(extra[format!("authentication.kubernetes.io/{key}")], json!([value]));
        }
        assert_eq!(
            setup.review(&token, json!(["zzz"])).await,
            json!({"user": {}, "error": format!("[invalid bearer token, token audiences [\"{ISSUER}\"] is invalid for the target audiences [\"zzz\"]]")})
        );
        setup.objects.remove("pods/ns/p");
        let refused = setup.review(&token, json!([])).await;
        assert_eq!(refused["error"], "[invalid bearer token, service account token has been invalidated]");
        setup.objects.remove("serviceaccounts/ns/bot");
        let refused = setup.review(&token, json!([])).await;
        assert_eq!(refused["error"], "[invalid bearer token, serviceaccounts \"bot\" not found]");
    }
}

#[tokio::test]
async fn times_signatures_and_uids_are_checked() {
    let setup = setup(&rcgen::PKCS_ECDSA_P256_SHA256);
    let token = setup.mint(json!({})).await;
    let at = |seconds: i64| now() + jiff::SignedDuration::from_secs(seconds);
    let audiences = [ISSUER.to_owned()];
    let ask = |token: String, when| {
        let (setup, audiences) = (&setup, &audiences);
        async move { setup.authenticator.authenticate_token(&token, audiences, when).await.map_err(|e| e.0) }
    };
    assert!(ask(token.clone(), at(3600)).await.is_ok(), "within the clock leeway");
    let expired = "[invalid bearer token, service account token has expired]";
    assert_eq!(ask(token.clone(), at(3700)).await.unwrap_err(), expired);
    let early = "[invalid bearer token, service account token is not valid yet]";
    assert_eq!(ask(token.clone(), at(-120)).await.unwrap_err(), early);

    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = setup.mint(json!({"audiences": ["x"]})).await;
    let forged = format!("{}.{signature}", other.rsplit_once('.').unwrap().0);
    for bad in [forged, format!("{signed}.AAAA")] {
        let error = ask(bad, now()).await.unwrap_err();
        assert_eq!(error, "[invalid bearer token, the token's signature matches no known key]");
    }
    for bad in ["a.b.c", "nope", "a.b.c.d"] {
        assert_eq!(ask(bad.to_owned(), now()).await.unwrap_err(), "invalid bearer token");
    }
    setup.objects.put("serviceaccounts/ns/bot", json!({"metadata": {"uid": "sa-2"}}));
    let error = "[invalid bearer token, service account UID (sa-2) does not match claim (sa-1)]";
    assert_eq!(ask(token, now()).await.unwrap_err(), error);
}

#[tokio::test]
async fn token_requests_are_checked() {
    let setup = setup(&rcgen::PKCS_ECDSA_P256_SHA256);
    setup
        .objects
        .put("pods/ns/p", json!({"metadata": {"uid": "1"}, "spec": {"serviceAccountName": "other"}}));
    setup.objects.put("secrets/ns/s", json!({"metadata": {"uid": "1"}}));
    let cases = [
        (
            json!({"expirationSeconds": 60}),
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes",
        ),
        (
            json!({"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "zz"}}),
            "secrets \"zz\" not found",
        ),
        (
            json!({"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "s"}}),
            "cannot bind token to object of type /v1, Kind=ConfigMap",
        ),
        (
            json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}}),
            "cannot bind token for serviceaccount \"bot\" to pod running with different serviceaccount name.",
        ),
        (
            json!({"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "s", "uid": "2"}}),
            "Operation cannot be fulfilled on Secret \"s\": the UID in the bound object reference (2) does not match the UID in record. The object might have been deleted and then recreated",
        ),
    ];
    for (spec, message) in cases {
        let mut request = json!({"spec": spec});
        let refused = create_token(&setup.issuer, &*setup.objects, "ns", "bot", &mut request, now()).await;
        assert_eq!(refused.unwrap_err().to_string(), message);
    }
}

#[tokio::test]
async fn tokens_of_pods_that_know_no_bound_tokens_are_extended() {
    let setup = setup(&rcgen::PKCS_ECDSA_P256_SHA256);
    setup.objects.put("pods/ns/p", json!({"metadata": {"uid": "1"}, "spec": {"serviceAccountName": "bot"}}));
    let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": "p"});
    let token = setup.mint(json!({"boundObjectRef": bound, "expirationSeconds": 3607})).await;
    let claims =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let number = |v: &Value| v.as_i64().unwrap();
    assert_eq!(number(&claims["exp"]) - number(&claims["iat"]), 365 * 24 * 3600);
    assert_eq!(number(&claims["kubernetes.io"]["warnafter"]) - number(&claims["iat"]), 3607);
}

/// A CA, and certificates it signed.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn client(ca: &CertifiedIssuer<'static, KeyPair>, name: &str, groups: &[&str]) -> Peer {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    for group in groups {
        params.distinguished_name.push(DnType::OrganizationName, *group);
    }
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&KeyPair::generate().unwrap(), ca).unwrap();
    Peer::new(&[certificate.der().clone()]).unwrap()
}

#[tokio::test]
async fn certificates_front_proxies_and_anonymous() {
    let (users, proxies) = (authority(), authority());
    let dir = std::env::temp_dir().join(format!("coxswain-access-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&dir).unwrap();
    let file = |name: &str, content: &str| {
        std::fs::write(dir.join(name), content).unwrap();
        dir.join(name)
    };
    let config = Config {
        client_ca_file: Some(file("ca.crt", &users.pem())),
        token_auth_file: Some(file("tokens", "secret,admin,1,system:masters\n")),
        request_headers: Some(RequestHeaders {
            client_ca_file: file("proxy.crt", &proxies.pem()),
            allowed_names: vec!["front".into()],
            username_headers: vec!["X-Remote-User".into()],
            uid_headers: vec![],
            group_headers: vec!["X-Remote-Group".into()],
            extra_header_prefixes: vec!["X-Remote-Extra-".into()],
        }),
        anonymous: true,
        ..Config::default()
    };
    let authenticator = Authenticator::load(config, Arc::new(Objects::default())).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    let ask = |peer: Option<Peer>, headers: HeaderMap, when: Timestamp| {
        let authenticator = &authenticator;
        async move {
            let found = authenticator.authenticate(peer.as_ref(), &headers, "/", when).await;
            found.map(|i| format!("{} {}", i.user.name, i.user.groups.join(","))).map_err(|e| e.0)
        }
    };
    let none = || headers(&[]);
    let remote = || headers(&[("X-Remote-User", "carol"), ("X-Remote-Group", "dev")]);
    assert_eq!(ask(None, none(), now()).await.unwrap(), "system:anonymous system:unauthenticated");
    let alice = || Some(client(&users, "alice", &["dev"]));
    assert_eq!(ask(alice(), none(), now()).await.unwrap(), "alice dev,system:authenticated");
    assert_eq!(ask(alice(), remote(), now()).await.unwrap(), "alice dev,system:authenticated");
    let front = || Some(client(&proxies, "front", &[]));
    assert_eq!(ask(front(), remote(), now()).await.unwrap(), "carol dev,system:authenticated");
    assert!(ask(Some(client(&proxies, "back", &[])), remote(), now()).await.is_err());
    assert!(
        ask(Some(client(&authority(), "eve", &[])), none(), now()).await.is_err(),
        "a foreign certificate"
    );
    let late = now() + jiff::SignedDuration::from_hours(24 * 365 * 5000);
    assert!(ask(alice(), none(), late).await.is_err(), "an expired certificate");

    let bearer = |value: &str| headers(&[("Authorization", value)]);
    for (value, expected) in [
        ("Bearer secret", Ok("admin system:masters,system:authenticated")),
        ("bearer secret", Ok("admin system:masters,system:authenticated")),
        ("Bearer", Ok("system:anonymous system:unauthenticated")),
        ("Basic YTpi", Ok("system:anonymous system:unauthenticated")),
        ("Bearer nope", Err("invalid bearer token")),
    ] {
        let got = ask(None, bearer(value), now()).await;
        assert_eq!(got.as_deref().map_err(String::as_str), expected, "{value}");
    }
    let socket = headers(&[(
        "Sec-WebSocket-Protocol",
        "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0",
    )]);
    assert_eq!(ask(None, socket.clone(), now()).await.unwrap(), "admin system:masters,system:authenticated");
    let mut stripped = socket;
    strip_token(&mut stripped);
    assert_eq!(stripped["Sec-WebSocket-Protocol"], "v5.channel.k8s.io");
}

#[tokio::test]
async fn impersonation() {
    let rbac = Rbac::new();
    let role = json!({"rules": [{"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"], "resourceNames": ["bob"]}]});
    let binding = json!({"roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "User", "name": "alice"}]});
    rbac.upsert("clusterroles", "", "r", role.to_string().as_bytes()).unwrap();
    rbac.upsert("clusterrolebindings", "", "b", binding.to_string().as_bytes()).unwrap();
    let authorizer = Authorizer::new(vec![Mode::Rbac(Arc::new(rbac))]);
    let alice = UserInfo::new("alice", [names::AUTHENTICATED]);
    let admin = UserInfo::new("root", [names::MASTERS]);
    let cases = [
        (&alice, vec![], Ok("-")),
        (&alice, vec![("Impersonate-User", "bob")], Ok("bob system:authenticated")),
        (
            &alice,
            vec![("Impersonate-User", "eve")],
            Err(
                "users \"eve\" is forbidden: User \"alice\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope",
            ),
        ),
        (
            &alice,
            vec![("Impersonate-User", "bob"), ("Impersonate-Extra-Scopes", "x")],
            Err(
                "userextras.authentication.k8s.io \"x\" is forbidden: User \"alice\" cannot impersonate resource \"userextras/scopes\" in API group \"authentication.k8s.io\" at the cluster scope",
            ),
        ),
        (
            &admin,
            vec![("Impersonate-User", "system:serviceaccount:ns:bot")],
            Ok(
                "system:serviceaccount:ns:bot system:serviceaccounts,system:serviceaccounts:ns,system:authenticated",
            ),
        ),
        (
            &admin,
            vec![("Impersonate-User", "system:anonymous")],
            Ok("system:anonymous system:unauthenticated"),
        ),
        (
            &admin,
            vec![("Impersonate-Group", "devs")],
            Err(
                "requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"devs\"}, Extra:map[string][]string(nil)} without impersonating a user name",
            ),
        ),
    ];
    for (requester, given, expected) in cases {
        let got = impersonate(&authorizer, requester, &headers(&given)).await;
        let got = got.map(|u| u.map_or("-".into(), |u| format!("{} {}", u.name, u.groups.join(","))));
        assert_eq!(
            got.map_err(|e| e.to_string()),
            expected.map(str::to_owned).map_err(str::to_owned),
            "{given:?}"
        );
    }
}

#[tokio::test]
async fn a_new_authority_takes_effect_on_open_connections() {
    let (old, new) = (authority(), authority());
    let path = std::env::temp_dir().join(format!("coxswain-access-{}.crt", uuid::Uuid::new_v4()));
    std::fs::write(&path, old.pem()).unwrap();
    let config = Config { client_ca_file: Some(path.clone()), ..Config::default() };
    let authenticator = Authenticator::load(config, Arc::new(Objects::default())).unwrap();
    let (by_old, by_new) = (client(&old, "alice", &[]), client(&new, "bob", &[]));
    let known =
        async |peer: &Peer| authenticator.authenticate(Some(peer), &headers(&[]), "/", now()).await.is_ok();
    assert_eq!((known(&by_old).await, known(&by_new).await), (true, false));
    assert!(!authenticator.reload().unwrap());
    std::fs::write(&path, "no certificate").unwrap();
    assert!(authenticator.reload().is_err());
    assert!(known(&by_old).await, "a broken file changes nothing");
    std::fs::write(&path, new.pem()).unwrap();
    assert!(authenticator.reload().unwrap());
    assert_eq!((known(&by_old).await, known(&by_new).await), (false, true));
    std::fs::remove_file(&path).unwrap();
}
