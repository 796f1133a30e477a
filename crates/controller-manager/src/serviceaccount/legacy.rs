//! `legacy-serviceaccount-token-cleaner-controller`: token Secrets that were made automatically and that nobody uses are marked
//! as invalid, and after the same time again removed (KEP-2799).

use std::time::Duration;

use api_types::k8s::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use client::kube::ResourceExt;
use client::{ErrorExt, Informer, Key, Patch, Scope, Writer, Writes, write};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::json;

use super::tokens::{ACCOUNT_NAME, ACCOUNT_UID, TYPE};
use crate::common::pods::annotation;
use crate::context::Context;

/// How often all token Secrets are looked at; nothing about them is more urgent than a day.
const PERIOD: Duration = Duration::from_hours(24);
/// Where the server keeps since when it notes the use of tokens.
const TRACKING: (&str, &str) = ("kube-system", "kube-apiserver-legacy-service-account-token-tracking");
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

/// Runs the controller until shutdown.
pub(crate) async fn run(context: Context) -> Result<(), anyhow::Error> {
    let secrets = context.informers.select::<Secret>(Scope::fields(format!("type={TYPE}")));
    let cleaner = Cleaner {
        accounts: context.informers.all(),
        pods: context.informers.all(),
        writer: Writer::new(&context.client, &secrets),
        secrets,
        tracking: Writer::blind(&context.client, ()),
        unused: context.options.identity.legacy_service_account_token_clean_up_period.0,
    };
    cleaner.accounts.synced().await;
    cleaner.pods.synced().await;
    cleaner.secrets.synced().await;
    loop {
        if let Err(error) = cleaner.round().await {
            tracing::warn!(%error, "cannot clean up token Secrets; trying again later");
        }
        tokio::select! {
            () = context.shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

struct Cleaner {
    accounts: Informer<ServiceAccount>,
    pods: Informer<Pod>,
    secrets: Informer<Secret>,
    writer: Writer<Secret>,
    tracking: Writer<ConfigMap>,
    /// How long a token has to be unused.
    unused: Duration,
}

/// What to do with a Secret.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Keep,
    Mark,
    Remove,
}

impl Cleaner {
    async fn round(&self) -> Result<(), client::Error> {
        let today = date(Timestamp::now());
        let limit = date(before(Timestamp::now(), self.unused));
        let known = self.tracking.get(&Key::new(TRACKING.0, TRACKING.1)).await?;
        let since = known.data.as_ref().and_then(|data| data.get("since")?.parse::<Date>().ok());
        // Without a record that is long enough nothing is known to be unused. A day more, for time zones.
        if since.is_none_or(|since| since.tomorrow().map_or(true, |since| since > limit)) {
            return Ok(());
        }
        for secret in self.secrets.store().list() {
            let key = Key::of(&*secret);
            let writes = Writes::default();
            let done = match self.judge(&secret, limit) {
                Verdict::Keep => Ok(()),
                Verdict::Mark => {
                    let patch = Patch::Merge(json!({ "metadata": {
                        "labels": { INVALID_SINCE: today.to_string() },
                        "resourceVersion": secret.metadata.resource_version,
                    } }));
                    tracing::info!(secret = %key, "marking a token that nobody uses as invalid");
                    self.writer.patch(&writes, &key, &patch).await.map(drop)
                }
                Verdict::Remove => {
                    tracing::info!(secret = %key, "removing a token that was marked as invalid");
                    self.writer.delete(&writes, &key, &write::only(secret.metadata.uid.as_deref())).await
                }
            };
            match done {
                Err(error) if !error.is_not_found() && !error.is_conflict() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn judge(&self, secret: &Secret, limit: Date) -> Verdict {
        let (namespace, name) = (secret.namespace().unwrap_or_default(), secret.name_any());
        let account = annotation(&secret.metadata, ACCOUNT_NAME)
            .and_then(|account| self.accounts.store().find(&namespace, account));
        let automatic = account.is_some_and(|account| is_automatic(secret, &account));
        let mounted = || self.pods.store().list_namespace(&namespace).iter().any(|pod| mounts(pod, &name));
        if secret.metadata.deletion_timestamp.is_some() || !automatic || mounted() {
            return Verdict::Keep;
        }
        verdict(secret, limit)
    }
}

/// Whether a token was made with its account rather than by a user: the account lists it.
fn is_automatic(secret: &Secret, account: &ServiceAccount) -> bool {
    annotation(&secret.metadata, ACCOUNT_UID) == account.metadata.uid.as_deref()
        && account.secrets.iter().flatten().any(|listed| listed.name == secret.metadata.name)
}

fn mounts(pod: &Pod, secret: &str) -> bool {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let mut named = volumes.filter_map(|volume| volume.secret.as_ref()?.secret_name.as_deref());
    named.any(|name| name == secret)
}

/// What to do with a token that could go: everything noted about it has to be older than `limit`.
fn verdict(secret: &Secret, limit: Date) -> Verdict {
    let noted = |label: &str| secret.labels().get(label).map(|text| text.parse::<Date>().ok());
    let created = secret.metadata.creation_timestamp.as_ref().map(|time| date(time.0));
    let recent = |at: Option<Date>| at.is_none_or(|at| at >= limit);
    match (recent(created), noted(LAST_USED), noted(INVALID_SINCE)) {
        (true, ..) => Verdict::Keep,
        // A label that is no date says nothing; better to keep.
        (_, Some(used), _) if recent(used) => Verdict::Keep,
        (_, _, None) => Verdict::Mark,
        (_, _, Some(since)) if recent(since) => Verdict::Keep,
        (_, _, Some(_)) => Verdict::Remove,
    }
}

fn date(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

fn before(now: Timestamp, duration: Duration) -> Timestamp {
    let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    now.checked_sub(duration).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_marked_before_it_goes() {
        let limit: Date = "2025-06-01".parse().unwrap();
        for (created, labels, expected) in [
            ("2025-07-01", "", Verdict::Keep),
            ("2024-01-01", "", Verdict::Mark),
            ("2024-01-01", "kubernetes.io/legacy-token-last-used: '2025-06-02'", Verdict::Keep),
            ("2024-01-01", "kubernetes.io/legacy-token-last-used: '2025-01-02'", Verdict::Mark),
            ("2024-01-01", "kubernetes.io/legacy-token-invalid-since: '2025-06-02'", Verdict::Keep),
            ("2024-01-01", "kubernetes.io/legacy-token-invalid-since: '2025-05-02'", Verdict::Remove),
            ("2024-01-01", "kubernetes.io/legacy-token-invalid-since: never", Verdict::Keep),
        ] {
            let text = format!(
                "metadata: {{name: s, creationTimestamp: {created}T00:00:00Z, labels: {{{labels}}}}}"
            );
            let secret: Secret = serde_yaml::from_str(&text).unwrap();
            assert_eq!(verdict(&secret, limit), expected, "{text}");
        }
    }
}
