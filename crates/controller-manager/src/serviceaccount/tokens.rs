//! Fills Secrets of type `kubernetes.io/service-account-token`, and removes them with their account.

use std::sync::Arc;

use anyhow::Context as _;
use api_types::k8s::ByteString;
use api_types::k8s::api::core::v1::{Secret, ServiceAccount};
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::{ErrorExt, Informer, Key, Scope, Writer, Writes, write};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use crate::common::pods::annotation;
use crate::context::Context;

pub(super) const TYPE: &str = "kubernetes.io/service-account-token";
pub(super) const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
pub(super) const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
const ISSUER: &str = "kubernetes/serviceaccount";

/// Runs the controller until shutdown. Without `--service-account-private-key-file` there is nothing to sign with.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let Some(path) = &context.options.identity.service_account_private_key_file else {
        tracing::info!("no --service-account-private-key-file: token Secrets are not filled");
        return Ok(());
    };
    let signer = Signer::read(&tokio::fs::read(path).await?)
        .with_context(|| format!("cannot sign with {}", path.display()))?;
    let root_ca = match &context.options.identity.root_ca_file {
        Some(path) => tokio::fs::read(path).await?,
        None => Vec::new(),
    };
    let accounts = context.informers.all::<ServiceAccount>();
    // Only token Secrets: a controller has no business with the others.
    let secrets = context.informers.select::<Secret>(Scope::fields(format!("type={TYPE}")));
    let reconciler = Tokens {
        signer,
        root_ca,
        accounts: accounts.clone(),
        secrets: secrets.clone(),
        account_writer: context.writer(),
        writer: Writer::new(&context.client, &secrets),
    };
    let by_account = secrets.clone();
    let workers = context.options.tuning.concurrent_serviceaccount_token_syncs;
    Controller::new("serviceaccount_tokens", reconciler, context.shutdown)
        .watch(&secrets, |change| vec![change.key.clone()])
        .watch(&accounts, move |change| {
            let secrets = by_account.store().list_namespace(&change.key.namespace);
            let named = secrets
                .iter()
                .filter(|secret| annotation(&secret.metadata, ACCOUNT_NAME) == Some(&*change.key.name));
            named.map(|secret| Key::of(&**secret)).collect()
        })
        .run(workers)
        .await;
    Ok(())
}

/// Signs tokens with the cluster's key.
struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    id: String,
}

impl Signer {
    fn read(pem: &[u8]) -> Result<Self, anyhow::Error> {
        let id = key_id(pem).unwrap_or_default();
        if let Ok(key) = EncodingKey::from_rsa_pem(pem) {
            return Ok(Self { key, algorithm: Algorithm::RS256, id });
        }
        let key = EncodingKey::from_ec_pem(pem)
            .context("the file holds neither an RSA nor an EC private key in PEM")?;
        Ok(Self { key, algorithm: Algorithm::ES256, id })
    }

    /// A token that never expires, with the claims that such tokens have always had.
    fn sign(&self, account: &ServiceAccount, secret: &str) -> Result<String, jsonwebtoken::errors::Error> {
        let namespace = account.metadata.namespace.as_deref().unwrap_or_default();
        let name = account.metadata.name.as_deref().unwrap_or_default();
        let claims = json!({
            "iss": ISSUER,
            "kubernetes.io/serviceaccount/namespace": namespace,
            "kubernetes.io/serviceaccount/secret.name": secret,
            "kubernetes.io/serviceaccount/service-account.name": name,
            "kubernetes.io/serviceaccount/service-account.uid": account.metadata.uid,
            "sub": format!("system:serviceaccount:{namespace}:{name}"),
        });
        let mut header = Header::new(self.algorithm);
        header.typ = None;
        header.kid = (!self.id.is_empty()).then(|| self.id.clone());
        jsonwebtoken::encode(&header, &claims, &self.key)
    }
}

/// The key id that verifiers derive: base64url of SHA-256 over the public key's DER.
fn key_id(pem: &[u8]) -> Option<String> {
    use base64::Engine;
    use sha2::Digest;
    let text = std::str::from_utf8(pem).ok()?;
    let pair = rcgen::KeyPair::from_pem(text).ok()?;
    let digest = sha2::Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(&pair));
    Some(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest))
}

struct Tokens {
    signer: Signer,
    root_ca: Vec<u8>,
    accounts: Informer<ServiceAccount>,
    secrets: Informer<Secret>,
    account_writer: Writer<ServiceAccount>,
    writer: Writer<Secret>,
}

#[async_trait]
impl Reconciler for Tokens {
    /// A Secret.
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(secret) = self.secrets.store().get(key) else {
            self.forget(key, writes).await?;
            return Ok(Next::Wait);
        };
        let Some(name) = annotation(&secret.metadata, ACCOUNT_NAME) else { return Ok(Next::Wait) };
        let account = self.accounts.store().find(&key.namespace, name);
        let uid = annotation(&secret.metadata, ACCOUNT_UID).filter(|uid| !uid.is_empty());
        let belongs =
            account.as_ref().is_some_and(|account| uid.is_none() || account.metadata.uid.as_deref() == uid);
        match account.filter(|_| belongs) {
            Some(account) => self.fill(&secret, &account, writes).await?,
            None => self.remove(key, name, &secret, writes).await?,
        }
        Ok(Next::Wait)
    }
}

impl Tokens {
    async fn fill(
        &self,
        secret: &Arc<Secret>,
        account: &ServiceAccount,
        writes: &Writes,
    ) -> Result<(), anyhow::Error> {
        let mut filled = Secret::clone(secret);
        let data = filled.data.get_or_insert_default();
        if !self.root_ca.is_empty() {
            data.insert("ca.crt".to_owned(), ByteString(self.root_ca.clone()));
        }
        let namespace = account.metadata.namespace.clone().unwrap_or_default();
        data.insert("namespace".to_owned(), ByteString(namespace.into_bytes()));
        if data.get("token").is_none_or(|token| token.0.is_empty()) {
            let token = self.signer.sign(account, secret.metadata.name.as_deref().unwrap_or_default())?;
            data.insert("token".to_owned(), ByteString(token.into_bytes()));
        }
        let annotations = filled.metadata.annotations.get_or_insert_default();
        annotations.insert(ACCOUNT_UID.to_owned(), account.metadata.uid.clone().unwrap_or_default());
        if filled != **secret {
            self.writer.update(writes, &filled).await?;
        }
        Ok(())
    }

    /// Deletes the Secret of an account that is gone, after asking the server whether it really is.
    async fn remove(
        &self,
        key: &Key,
        account: &str,
        secret: &Secret,
        writes: &Writes,
    ) -> Result<(), anyhow::Error> {
        let uid = annotation(&secret.metadata, ACCOUNT_UID).filter(|uid| !uid.is_empty());
        match self.account_writer.get(&Key::new(&key.namespace, account)).await {
            Ok(live) if uid.is_none() || live.metadata.uid.as_deref() == uid => return Ok(()),
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        }
        match self.writer.delete(writes, key, &write::only(secret.metadata.uid.as_deref())).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Takes a deleted Secret off the lists of accounts.
    async fn forget(&self, key: &Key, writes: &Writes) -> Result<(), anyhow::Error> {
        for account in self.accounts.store().list_namespace(&key.namespace) {
            let listed = account.secrets.clone().unwrap_or_default();
            let kept: Vec<_> =
                listed.iter().filter(|entry| entry.name.as_deref() != Some(&*key.name)).cloned().collect();
            if kept.len() < listed.len() {
                let mut changed = ServiceAccount::clone(&account);
                changed.secrets = (!kept.is_empty()).then_some(kept);
                self.account_writer.update(writes, &changed).await?;
            }
        }
        Ok(())
    }
}
