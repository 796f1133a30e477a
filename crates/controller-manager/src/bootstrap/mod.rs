//! `bootstrap-signer-controller` and `token-cleaner-controller`: the two that make `join` with a token work. Both are off unless
//! named in `--controllers`.

mod jws;

use std::collections::BTreeMap;

use api_types::k8s::api::core::v1::{ConfigMap, Secret};
use async_trait::async_trait;
use client::controller::{Controller, Next, Reconciler};
use client::{ErrorExt, Informer, Key, Scope, Writer, Writes, write};
use jiff::Timestamp;

use crate::common::pods;
use crate::context::Context;

const TOKEN_NAMESPACE: &str = "kube-system";
const TOKEN_TYPE: &str = "bootstrap.kubernetes.io/token";
const INFO_NAMESPACE: &str = "kube-public";
const INFO_NAME: &str = "cluster-info";
const KUBECONFIG: &str = "kubeconfig";
const PREFIX: &str = "jws-kubeconfig-";

/// A bootstrap token as its Secret spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    id: String,
    secret: String,
    signs: bool,
    expires: Option<Timestamp>,
}

impl Token {
    /// `None` when the Secret is not a well-formed token.
    fn of(secret: &Secret) -> Option<Self> {
        let field = |name: &str| {
            let bytes = secret.data.as_ref()?.get(name)?;
            String::from_utf8(bytes.0.clone()).ok()
        };
        let (id, value) = (field("token-id")?, field("token-secret")?);
        let well_named = secret.metadata.name.as_deref() == Some(&format!("bootstrap-token-{id}"));
        (well_named && secret.type_.as_deref() == Some(TOKEN_TYPE)).then(|| Self {
            id,
            secret: value,
            signs: field("usage-bootstrap-signing").as_deref() == Some("true"),
            // An unreadable time is in the past: better no token than one that never ends.
            expires: field("expiration").map(|text| text.parse().unwrap_or(Timestamp::UNIX_EPOCH)),
        })
    }

    fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

fn tokens(context: &Context) -> Informer<Secret> {
    let scope = Scope {
        namespace: Some(TOKEN_NAMESPACE.to_owned()),
        fields: Some(format!("type={TOKEN_TYPE}")),
        labels: None,
    };
    context.informers.select::<Secret>(scope)
}

/// Keeps the signatures in `kube-public/cluster-info` up to date until shutdown.
pub(crate) async fn run_signer(context: Context) -> Result<(), anyhow::Error> {
    let secrets = tokens(&context);
    let maps = context.informers.all::<ConfigMap>();
    let info = || vec![Key::new(INFO_NAMESPACE, INFO_NAME)];
    let reconciler = Signer { secrets: secrets.clone(), maps: maps.clone(), writer: context.writer() };
    Controller::new("bootstrap_signer", reconciler, context.shutdown)
        .watch(&maps, move |change| if change.key == info()[0] { info() } else { Vec::new() })
        .watch(&secrets, move |_| info())
        .run(1)
        .await;
    Ok(())
}

struct Signer {
    secrets: Informer<Secret>,
    maps: Informer<ConfigMap>,
    writer: Writer<ConfigMap>,
}

#[async_trait]
impl Reconciler for Signer {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(info) = self.maps.store().get(key) else { return Ok(Next::Wait) };
        let now = Timestamp::now();
        let tokens: Vec<Token> =
            self.secrets.store().list().iter().filter_map(|secret| Token::of(secret)).collect();
        let data = info.data.clone().unwrap_or_default();
        let wanted = signatures(&data, &tokens, now)?;
        let mut data = data;
        data.retain(|name, _| !name.starts_with(PREFIX));
        data.extend(wanted);
        if info.data.as_ref() != Some(&data) {
            let mut changed = ConfigMap::clone(&info);
            changed.data = Some(data);
            self.writer.update(writes, &changed).await?;
        }
        let next = tokens.iter().filter_map(|token| token.expires).filter(|at| *at > now).min();
        Ok(next.map_or(Next::Wait, |at| Next::After(pods::until(at, now))))
    }
}

/// The signatures that belong into cluster-info, by data key.
fn signatures(
    data: &BTreeMap<String, String>,
    tokens: &[Token],
    now: Timestamp,
) -> Result<BTreeMap<String, String>, anyhow::Error> {
    let Some(kubeconfig) = data.get(KUBECONFIG) else { return Ok(BTreeMap::new()) };
    let valid = tokens.iter().filter(|token| token.signs && !token.is_expired(now));
    valid
        .map(|token| {
            Ok((format!("{PREFIX}{}", token.id), jws::detached(kubeconfig, &token.id, &token.secret)?))
        })
        .collect()
}

/// Deletes expired tokens until shutdown.
pub(crate) async fn run_cleaner(context: Context) -> Result<(), anyhow::Error> {
    let secrets = tokens(&context);
    let reconciler = Cleaner { secrets: secrets.clone(), writer: Writer::new(&context.client, &secrets) };
    Controller::new("token_cleaner", reconciler, context.shutdown)
        .watch(&secrets, |change| vec![change.key.clone()])
        .run(1)
        .await;
    Ok(())
}

struct Cleaner {
    secrets: Informer<Secret>,
    writer: Writer<Secret>,
}

#[async_trait]
impl Reconciler for Cleaner {
    type Key = Key;

    async fn reconcile(&self, key: &Key, writes: &Writes) -> Result<Next, anyhow::Error> {
        let Some(secret) = self.secrets.store().get(key) else { return Ok(Next::Wait) };
        let Some(token) = Token::of(&secret) else { return Ok(Next::Wait) };
        let now = Timestamp::now();
        if !token.is_expired(now) {
            return Ok(token.expires.map_or(Next::Wait, |at| Next::After(pods::until(at, now))));
        }
        tracing::info!(token = token.id, "deleting an expired bootstrap token");
        match self.writer.delete(writes, key, &write::only(secret.metadata.uid.as_deref())).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(Next::Wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_signing_tokens_sign() {
        let token = |id: &str, signs, expires: Option<&str>| Token {
            id: id.into(),
            secret: "0123456789abcdef".into(),
            signs,
            expires: expires.map(|at| at.parse().unwrap()),
        };
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let data = BTreeMap::from([(KUBECONFIG.to_owned(), "apiVersion: v1\n".to_owned())]);
        let tokens = [
            token("aaaaaa", true, None),
            token("bbbbbb", false, None),
            token("cccccc", true, Some("2025-01-01T00:00:00Z")),
        ];
        let signed = signatures(&data, &tokens, now).unwrap();
        assert_eq!(signed.keys().collect::<Vec<_>>(), ["jws-kubeconfig-aaaaaa"]);
        let parts: Vec<&str> = signed["jws-kubeconfig-aaaaaa"].split('.').collect();
        assert_eq!((parts.len(), parts[1]), (3, ""));
        assert!(signatures(&BTreeMap::new(), &tokens, now).unwrap().is_empty());
    }
}
