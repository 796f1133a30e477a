//! Minting of service account tokens: the `token` subresource of service accounts.

use api_types::field::{Error, ErrorList, Path};
use api_types::status::ApiError;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::claims::{self, Bound, Claims, Ref};
use super::keys::SigningKey;
use crate::authn::live::{self, Object, Pod, Secret};
use crate::{Lookup, ObjectRef};

/// The shortest and longest life of a token that may be asked for, in seconds.
const SHORTEST: i64 = 10 * 60;
const LONGEST: i64 = 1 << 32;
const DEFAULT: i64 = 60 * 60;
/// The life that the ServiceAccount admission plug-in asks for on behalf of pods that never asked for bound
/// tokens. Such a token is extended to a year, and its holder warned after this time (KEP-1205).
const WARN_ONLY: i64 = 3607;
const EXTENDED: i64 = 365 * 24 * 60 * 60;

/// Signs tokens in the name of an issuer.
#[derive(Clone)]
pub struct Issuer {
    /// The first `--service-account-issuer`.
    pub issuer: String,
    /// `--service-account-signing-key-file`.
    pub key: SigningKey,
    /// The audiences of a token that names none.
    pub api_audiences: Vec<String>,
    /// `--service-account-max-token-expiration` in seconds; 0 is no limit.
    pub longest: i64,
    /// `--service-account-extend-token-expiration`.
    pub extend: bool,
}

/// Answers a TokenRequest for the service account `namespace`/`name`: completes `request` and sets its
/// `status`. Returns warnings for the client.
///
/// # Errors
/// The request breaks a rule, or the account or the object to bind to is not there.
pub async fn create_token(
    issuer: &Issuer,
    lookup: &dyn Lookup,
    namespace: &str,
    name: &str,
    request: &mut Value,
    now: Timestamp,
) -> Result<Vec<String>, ApiError> {
    let parsed = Request::deserialize(&*request).map_err(|e| ApiError::bad_request(e.to_string()))?;
    parsed.check_metadata(namespace, name)?;
    let account: Object = live::get(lookup, ObjectRef::core("serviceaccounts", namespace, name))
        .await
        .ok_or_else(|| ApiError::not_found("", "serviceaccounts", name))?;
    let mut spec = parsed.spec;
    let seconds = spec.expiration_seconds.unwrap_or(DEFAULT);
    check_expiration(seconds)?;
    if spec.audiences.as_ref().is_none_or(Vec::is_empty) {
        spec.audiences = Some(issuer.api_audiences.clone());
    }
    let audiences = spec.audiences.clone().unwrap_or_default();
    let mut bound = Bound {
        namespace: namespace.to_owned(),
        serviceaccount: Ref { name: name.to_owned(), uid: account.metadata.uid.clone() },
        ..Bound::default()
    };
    if let Some(reference) = &spec.bound_object_ref {
        bind(lookup, namespace, name, reference, &mut bound).await?;
    }
    let mut warnings = Vec::new();
    let mut granted = seconds;
    if issuer.longest > 0 && granted > issuer.longest {
        warnings.push(format!(
            "requested expiration of {seconds} seconds shortened to {} seconds",
            issuer.longest
        ));
        granted = issuer.longest;
    }
    let mut lifetime = granted;
    let for_us = audiences.iter().any(|a| issuer.api_audiences.contains(a));
    if issuer.extend && bound.pod.is_some() && seconds == WARN_ONLY && for_us {
        bound.warnafter = Some(now.as_second() + granted);
        lifetime = EXTENDED;
    }
    let second = now.as_second();
    let claims = Claims {
        aud: audiences,
        exp: Some(second + lifetime),
        iat: Some(second),
        iss: issuer.issuer.clone(),
        jti: uuid::Uuid::new_v4().to_string(),
        nbf: Some(second),
        sub: format!("{}{namespace}:{name}", crate::names::SERVICE_ACCOUNT_USER_PREFIX),
        bound: Some(bound),
        ..Claims::default()
    };
    let token = claims::sign(&issuer.key, &claims).map_err(ApiError::internal)?;
    let granted_until = now + SignedDuration::from_secs(granted);
    complete(request, namespace, name, &account.metadata.uid, now);
    let object = object(request, "spec");
    object.insert("audiences".into(), claims.aud.into());
    object.insert("expirationSeconds".into(), granted.into());
    object.entry("boundObjectRef").or_insert(Value::Null);
    request["status"] = json!({"token": token, "expirationTimestamp": rfc3339(granted_until)});
    Ok(warnings)
}

/// Fills the metadata from the account.
fn complete(request: &mut Value, namespace: &str, name: &str, uid: &str, now: Timestamp) {
    let metadata = object(request, "metadata");
    metadata.insert("name".into(), name.into());
    metadata.insert("namespace".into(), namespace.into());
    metadata.insert("uid".into(), uid.into());
    metadata.insert("creationTimestamp".into(), rfc3339(now).into());
}

fn rfc3339(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The member `key`, made an object when it is none.
fn object<'v>(value: &'v mut Value, key: &str) -> &'v mut Map<String, Value> {
    let slot = &mut value[key];
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    match slot {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

async fn bind(
    lookup: &dyn Lookup,
    namespace: &str,
    account: &str,
    reference: &Reference,
    bound: &mut Bound,
) -> Result<(), ApiError> {
    let name = &reference.name;
    let missing = |resource: &str| ApiError::not_found("", resource, name);
    let (group, version) = reference.api_version.rsplit_once('/').unwrap_or(("", &reference.api_version));
    let uid = match (group, version, reference.kind.as_str()) {
        ("", "v1", "Pod") => {
            let pod: Pod = live::get(lookup, ObjectRef::core("pods", namespace, name))
                .await
                .ok_or_else(|| missing("pods"))?;
            if pod.spec.service_account_name != account {
                return Err(ApiError::bad_request(format!(
                    "cannot bind token for serviceaccount {} to pod running with different serviceaccount name.",
                    api_types::field::quote(account)
                )));
            }
            bound.pod = Some(Ref { name: name.clone(), uid: pod.metadata.uid.clone() });
            let node = pod.spec.node_name;
            if !node.is_empty() {
                // A node that is gone by now is still where the pod was placed.
                let live: Option<Object> = live::get(lookup, ObjectRef::core("nodes", "", &node)).await;
                bound.node = Some(Ref { name: node, uid: live.map(|n| n.metadata.uid).unwrap_or_default() });
            }
            pod.metadata.uid
        }
        ("", "v1", "Node") => {
            let node: Object = live::get(lookup, ObjectRef::core("nodes", "", name))
                .await
                .ok_or_else(|| missing("nodes"))?;
            bound.node = Some(Ref { name: name.clone(), uid: node.metadata.uid.clone() });
            node.metadata.uid
        }
        ("", "v1", "Secret") => {
            let secret: Secret = live::get(lookup, ObjectRef::core("secrets", namespace, name))
                .await
                .ok_or_else(|| missing("secrets"))?;
            bound.secret = Some(Ref { name: name.clone(), uid: secret.metadata.uid.clone() });
            secret.metadata.uid
        }
        (group, version, kind) => {
            return Err(ApiError::bad_request(format!(
                "cannot bind token to object of type {group}/{version}, Kind={kind}"
            )));
        }
    };
    if !reference.uid.is_empty() && reference.uid != uid {
        return Err(ApiError::conflict(
            group,
            &reference.kind,
            name,
            &format!(
                "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
                reference.uid
            ),
        ));
    }
    Ok(())
}

fn check_expiration(seconds: i64) -> Result<(), ApiError> {
    let detail = if seconds < SHORTEST {
        "may not specify a duration less than 10 minutes"
    } else if seconds > LONGEST {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return Ok(());
    };
    let mut errors = ErrorList::new();
    errors.push(Error::invalid(&Path::new("spec.expirationSeconds"), seconds, detail));
    Err(ApiError::invalid("authentication.k8s.io", "TokenRequest", "", errors))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    namespace: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    audiences: Option<Vec<String>>,
    expiration_seconds: Option<i64>,
    bound_object_ref: Option<Reference>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Reference {
    api_version: String,
    kind: String,
    name: String,
    uid: String,
}

impl Request {
    fn check_metadata(&self, namespace: &str, name: &str) -> Result<(), ApiError> {
        let mut errors = ErrorList::new();
        let pairs = [
            ("metadata.name", &self.metadata.name, name, "must match the service account name if specified"),
            (
                "metadata.namespace",
                &self.metadata.namespace,
                namespace,
                "must match the service account namespace if specified",
            ),
        ];
        for (path, given, wanted, detail) in pairs {
            if !given.is_empty() && given != wanted {
                errors.push(Error::invalid(&Path::new(path), given.as_str(), detail));
            }
        }
        if errors.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid("authentication.k8s.io", "TokenRequest", name, errors))
    }
}
