//! Verification of service account tokens.

use std::collections::HashMap;
use std::sync::Arc;

use api_types::field::quote;
use jiff::Timestamp;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::claims::{Bound, Claims, Parts, Ref};
use super::keys::PublicKey;
use crate::authn::live::{self, Metadata, Object, Pod, Secret};
use crate::authn::{Attempt, Identity};
use crate::{Lookup, ObjectRef, UserInfo, names};

/// The issuer of tokens kept in Secrets.
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
const LEGACY_SECRET_TYPE: &str = "kubernetes.io/service-account-token";
/// Label of a Secret whose token is no longer good.
const LEGACY_INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
/// How far clocks may differ, in seconds.
const CLOCK_LEEWAY: i64 = 60;
/// How many verified signatures are remembered, in each of two generations.
const CACHE_GENERATION: usize = 4096;

const INVALIDATED: &str = "service account token has been invalidated";

/// Verifies tokens of the given issuers.
#[derive(Debug)]
pub struct Verifier {
    issuers: Vec<String>,
    keys: Vec<PublicKey>,
    check_live_objects: bool,
    verified: Mutex<Verified>,
}

/// Claims whose signature was found good, by the digest of their token. Only the signature is remembered:
/// times, audiences and live objects are looked at on every request, so a revoked token is refused at once.
#[derive(Debug, Default)]
struct Verified {
    young: HashMap<[u8; 32], Arc<Claims>>,
    old: HashMap<[u8; 32], Arc<Claims>>,
}

impl Verifier {
    /// `issuers`: `--service-account-issuer`, the signing one first; `keys`: `--service-account-key-file`;
    /// `check_live_objects`: `--service-account-lookup`.
    pub fn new(issuers: Vec<String>, keys: Vec<PublicKey>, check_live_objects: bool) -> Self {
        Self { issuers, keys, check_live_objects, verified: Mutex::default() }
    }

    /// The keys that verify, for the discovery documents.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Whose a token is.
    pub(crate) async fn authenticate(
        &self,
        lookup: &dyn Lookup,
        token: &str,
        audiences: &[String],
        implicit: &[String],
        now: Timestamp,
    ) -> Attempt {
        let Some(claims) = self.claims(token)? else { return Ok(None) };
        let legacy = claims.iss == LEGACY_ISSUER;
        let own: &[String] = if legacy || claims.aud.is_empty() { implicit } else { &claims.aud };
        let matching: Vec<String> = own.iter().filter(|a| audiences.contains(a)).cloned().collect();
        if matching.is_empty() && !audiences.is_empty() {
            return Err(format!(
                "token audiences {} is invalid for the target audiences {}",
                crate::authz::quoted_list(own),
                crate::authz::quoted_list(audiences)
            ));
        }
        check_times(&claims, now)?;
        let user = if legacy {
            self.legacy_user(lookup, token, &claims, now).await?
        } else {
            let bound =
                claims.bound.as_ref().ok_or("token could not be parsed: it has no kubernetes.io claim")?;
            self.bound_user(lookup, bound, &claims.jti, now).await?
        };
        Ok(Some(Identity { user, audiences: matching }))
    }

    /// The claims of a token of ours with a good signature; `None` when it is not of ours.
    fn claims(&self, token: &str) -> Result<Option<Arc<Claims>>, String> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(claims) = self.verified.lock().get(&digest) {
            return Ok(Some(claims));
        }
        let Some(parts) = Parts::parse(token) else { return Ok(None) };
        if parts.claims.iss != LEGACY_ISSUER && !self.issuers.contains(&parts.claims.iss) {
            return Ok(None);
        }
        let named = self.keys.iter().any(|key| key.id == parts.header.kid);
        let mut candidates = self.keys.iter().filter(|key| !named || key.id == parts.header.kid);
        let good = candidates.any(|key| {
            key.algorithm.name() == parts.header.alg
                && key.verifies(parts.message.as_bytes(), &parts.signature)
        });
        if !good {
            return Err("the token's signature matches no known key".to_owned());
        }
        let claims = Arc::new(parts.claims);
        self.verified.lock().insert(digest, claims.clone());
        Ok(Some(claims))
    }

    async fn bound_user(
        &self,
        lookup: &dyn Lookup,
        bound: &Bound,
        token_id: &str,
        now: Timestamp,
    ) -> Result<UserInfo, String> {
        let namespace = &bound.namespace;
        let account = &bound.serviceaccount;
        if self.check_live_objects {
            let live = account_metadata(lookup, namespace, &account.name).await?;
            if live.deleted(now) {
                return Err(format!("service account {namespace}/{} has been deleted", account.name));
            }
            if live.uid != account.uid {
                return Err(format!(
                    "service account UID ({}) does not match claim ({})",
                    live.uid, account.uid
                ));
            }
        }
        let alive = |kind: &'static str, live: Option<Metadata>, claimed: &Ref| match live {
            Some(live) if live.deleted(now) => Err(INVALIDATED.to_owned()),
            Some(live) if live.uid != claimed.uid => Err(format!(
                "{kind} UID ({}) does not match service account {} ref claim ({})",
                live.uid,
                kind.to_ascii_lowercase(),
                claimed.uid
            )),
            Some(_) => Ok(()),
            None => Err(INVALIDATED.to_owned()),
        };
        if let Some(secret) = &bound.secret {
            let live: Option<Secret> =
                live::get(lookup, ObjectRef::core("secrets", namespace, &secret.name)).await;
            alive("secret", live.map(|s| s.metadata), secret)?;
        }
        if let Some(pod) = &bound.pod {
            let live: Option<Pod> = live::get(lookup, ObjectRef::core("pods", namespace, &pod.name)).await;
            alive("pod", live.map(|p| p.metadata), pod)?;
        } else if let Some(node) = &bound.node {
            // With a pod, the node is information about it; the pod's own life is what counts.
            let live: Option<Object> = live::get(lookup, ObjectRef::core("nodes", "", &node.name)).await;
            alive("node", live.map(|n| n.metadata), node)?;
        }
        Ok(user(namespace, account, bound, token_id))
    }

    async fn legacy_user(
        &self,
        lookup: &dyn Lookup,
        token: &str,
        claims: &Claims,
        now: Timestamp,
    ) -> Result<UserInfo, String> {
        let legacy = &claims.legacy;
        let (namespace, name) = (&legacy.namespace, &legacy.account);
        for (value, claim) in
            [(namespace, "namespace"), (&legacy.secret, "secretName"), (name, "serviceAccountName")]
        {
            if value.is_empty() {
                return Err(format!("{claim} claim is missing"));
            }
        }
        if claims.sub != format!("{}{namespace}:{name}", names::SERVICE_ACCOUNT_USER_PREFIX) {
            return Err("sub claim is not the service account".to_owned());
        }
        let account = Ref { name: name.clone(), uid: legacy.account_uid.clone() };
        if self.check_live_objects {
            let secret: Option<Secret> =
                live::get(lookup, ObjectRef::core("secrets", namespace, &legacy.secret)).await;
            let good = |s: &Secret| {
                s.metadata.deletion_timestamp.is_none()
                    && s.kind == LEGACY_SECRET_TYPE
                    && s.text("token").is_some_and(|t| live::same_secret(&t, token))
            };
            let Some(secret) = secret.filter(good) else {
                return Err("token has been invalidated".to_owned());
            };
            if secret.metadata.labels.is_some_and(|l| l.contains_key(LEGACY_INVALID_SINCE)) {
                return Err(format!(
                    "the token in secret {namespace}/{} for service account {namespace}/{name} has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the '{LEGACY_INVALID_SINCE}' label from the secret to temporarily allow use of this token",
                    legacy.secret
                ));
            }
            let live = account_metadata(lookup, namespace, name).await?;
            if live.deleted(now) {
                return Err(format!("ServiceAccount {namespace}/{name} has been deleted"));
            }
            if live.uid != account.uid {
                return Err(format!(
                    "ServiceAccount UID ({}) does not match claim ({})",
                    live.uid, account.uid
                ));
            }
        }
        Ok(user(namespace, &account, &Bound::default(), ""))
    }
}

impl Verified {
    fn get(&mut self, digest: &[u8; 32]) -> Option<Arc<Claims>> {
        if let Some(claims) = self.young.get(digest) {
            return Some(claims.clone());
        }
        let claims = self.old.remove(digest)?;
        self.insert(*digest, claims.clone());
        Some(claims)
    }

    fn insert(&mut self, digest: [u8; 32], claims: Arc<Claims>) {
        if self.young.len() >= CACHE_GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, claims);
    }
}

async fn account_metadata(lookup: &dyn Lookup, namespace: &str, name: &str) -> Result<Metadata, String> {
    let account: Option<Object> =
        live::get(lookup, ObjectRef::core("serviceaccounts", namespace, name)).await;
    account.map(|a| a.metadata).ok_or_else(|| format!("serviceaccounts {} not found", quote(name)))
}

fn check_times(claims: &Claims, now: Timestamp) -> Result<(), String> {
    let now = now.as_second();
    if claims.exp.is_some_and(|at| now > at + CLOCK_LEEWAY) {
        return Err("service account token has expired".to_owned());
    }
    if claims.nbf.is_some_and(|at| now < at - CLOCK_LEEWAY) {
        return Err("service account token is not valid yet".to_owned());
    }
    Ok(())
}

fn user(namespace: &str, account: &Ref, bound: &Bound, token_id: &str) -> UserInfo {
    let mut user = UserInfo {
        uid: account.uid.clone(),
        ..UserInfo::new(
            format!("{}{namespace}:{}", names::SERVICE_ACCOUNT_USER_PREFIX, account.name),
            [names::SERVICE_ACCOUNTS.to_owned(), format!("{}{namespace}", names::SERVICE_ACCOUNTS_PREFIX)],
        )
    };
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            user.extra.insert(key.to_owned(), vec![value.to_owned()]);
        }
    };
    if let Some(pod) = &bound.pod {
        add(names::EXTRA_POD_NAME, &pod.name);
        add(names::EXTRA_POD_UID, &pod.uid);
    }
    if let Some(node) = &bound.node {
        add(names::EXTRA_NODE_NAME, &node.name);
        add(names::EXTRA_NODE_UID, &node.uid);
    }
    if !token_id.is_empty() {
        add(names::EXTRA_CREDENTIAL_ID, &format!("JTI={token_id}"));
    }
    user
}
