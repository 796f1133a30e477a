//! Leader election over a `coordination.k8s.io/v1` Lease, with upstream's protocol, so that ours and upstream's candidates
//! may compete for one lease.
//!
//! A candidate never trusts another's clock: it takes over only when it has seen the lease unchanged for the lease duration
//! on its own clock. A leader that cannot renew within the renew deadline stops leading.

use std::future::Future;
use std::time::Duration;

use api_types::k8s::api::coordination::v1::{Lease, LeaseSpec};
use api_types::k8s::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, PostParams};
use rand::RngExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{ErrorExt, Trouble};

/// Who competes for what.
#[derive(Clone, Debug)]
pub struct Config {
    /// Namespace of the lease.
    pub namespace: String,
    /// Name of the lease.
    pub name: String,
    /// This candidate; unique among all of them.
    pub identity: String,
    /// How long others wait after the last renewal they saw.
    pub lease_duration: Duration,
    /// How long the leader tries to renew before it gives up.
    pub renew_deadline: Duration,
    /// Pause between attempts.
    pub retry_period: Duration,
}

impl Config {
    /// From the daemon's flags; `default_name` is upstream's name of the lease.
    pub fn new(flags: &component::flags::LeaderElection, default_name: &str) -> Self {
        let name = match flags.leader_elect_resource_name.as_str() {
            "" => default_name,
            name => name,
        };
        Self {
            namespace: flags.leader_elect_resource_namespace.clone(),
            name: name.to_owned(),
            identity: identity(),
            lease_duration: flags.leader_elect_lease_duration.0,
            renew_deadline: flags.leader_elect_renew_deadline.0,
            retry_period: flags.leader_elect_retry_period.0,
        }
    }
}

/// `<host name>_<random uuid>`, as upstream names its candidates.
pub fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}_{}", host.trim(), uuid::Uuid::new_v4())
}

/// Why leading ended without anybody asking for it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another candidate may lead by now; the process has to end so that it does not act as a second leader.
    #[error("leader election lost: lease {namespace}/{name} could not be renewed within {deadline:?}")]
    Lost {
        /// Namespace of the lease.
        namespace: String,
        /// Its name.
        name: String,
        /// The renew deadline.
        deadline: Duration,
    },
}

/// Competes for the lease, runs `lead` while leading, and gives the lease back when `shutdown` is cancelled.
///
/// `lead` gets a token that is cancelled when it has to stop.
///
/// # Errors
/// [`Error::Lost`] when the lease was lost while leading. The caller should exit.
pub async fn run<F, Fut>(
    client: Client,
    config: Config,
    shutdown: CancellationToken,
    lead: F,
) -> Result<(), Error>
where
    F: FnOnce(CancellationToken) -> Fut,
    Fut: Future<Output = ()>,
{
    let mut candidate = Candidate::new(&client, config.clone());
    tracing::info!(lease = %format_args!("{}/{}", config.namespace, config.name), identity = config.identity, "attempting to acquire leader lease");
    loop {
        let acquired = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            acquired = candidate.try_acquire() => acquired,
        };
        if acquired {
            break;
        }
        let pause = config.retry_period.mul_f64(rand::rng().random_range(1.0..2.2));
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
    tracing::info!(lease = %format_args!("{}/{}", config.namespace, config.name), "successfully acquired lease");
    let stop = shutdown.child_token();
    let leading = lead(stop.clone());
    tokio::pin!(leading);
    tokio::select! {
        () = &mut leading => {}
        () = candidate.keep() => {
            stop.cancel();
            return Err(Error::Lost { namespace: config.namespace, name: config.name, deadline: config.renew_deadline });
        }
    }
    candidate.release().await;
    Ok(())
}

struct Candidate {
    leases: Api<Lease>,
    config: Config,
    /// The lease as last seen, and when it last differed from what was seen before.
    seen: Option<(Lease, Instant)>,
}

impl Candidate {
    fn new(client: &Client, config: Config) -> Self {
        Self { leases: Api::namespaced(client.clone(), &config.namespace), config, seen: None }
    }

    /// One attempt to become leader, or to stay it.
    async fn try_acquire(&mut self) -> bool {
        match self.attempt().await {
            Ok(leads) => leads,
            Err(error) => {
                // Lost races are how the protocol works; anything else deserves a line.
                if !error.is_conflict() && !error.is_already_exists() {
                    let trouble = Trouble::of(&error);
                    let (cause, cure) = (trouble.to_string(), trouble.cure().unwrap_or_default());
                    tracing::warn!(
                        lease = self.config.name,
                        cause,
                        cure,
                        "cannot acquire or renew the lease"
                    );
                }
                self.seen = self.seen.take().filter(|_| !error.is_conflict());
                false
            }
        }
    }

    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let fast = self.seen.as_ref().filter(|(lease, _)| holder(lease) == self.config.identity);
        let current = match fast {
            // The leader updates what it wrote last; a conflict tells it to look.
            Some((lease, _)) => Some(lease.clone()),
            None => self.leases.get_opt(&self.config.name).await?,
        };
        let Some(lease) = current else {
            let fresh = self.record(None);
            let created = self.leases.create(&PostParams::default(), &fresh).await?;
            self.observe(created);
            return Ok(true);
        };
        self.observe(lease.clone());
        if !may_take(
            &lease,
            &self.config,
            self.seen.as_ref().map(|(_, since)| since.elapsed()).unwrap_or_default(),
        ) {
            return Ok(false);
        }
        let written =
            self.leases.replace(&self.config.name, &PostParams::default(), &self.record(Some(lease))).await?;
        self.observe(written);
        Ok(true)
    }

    fn observe(&mut self, lease: Lease) {
        let same = self.seen.as_ref().is_some_and(|(known, _)| known.spec == lease.spec);
        match &mut self.seen {
            Some((known, _)) if same => *known = lease,
            seen => *seen = Some((lease, Instant::now())),
        }
    }

    /// The lease with us as holder, renewed now.
    fn record(&self, current: Option<Lease>) -> Lease {
        let now = MicroTime(jiff::Timestamp::now());
        let mut lease = current.unwrap_or_default();
        lease.metadata.name = Some(self.config.name.clone());
        lease.metadata.namespace = Some(self.config.namespace.clone());
        lease.metadata.managed_fields = None;
        let old = lease.spec.take().unwrap_or_default();
        let stays = old.holder_identity.as_deref() == Some(&self.config.identity);
        let transitions = old.lease_transitions.unwrap_or(0);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.config.identity.clone()),
            lease_duration_seconds: i32::try_from(self.config.lease_duration.as_secs()).ok(),
            acquire_time: if stays { old.acquire_time } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(if stays || old.holder_identity.is_none() {
                transitions
            } else {
                transitions + 1
            }),
            ..LeaseSpec::default()
        });
        lease
    }

    /// Renews until that fails for the renew deadline.
    async fn keep(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.config.retry_period).await;
            let deadline = renewed + self.config.renew_deadline;
            match tokio::time::timeout_at(deadline, self.try_acquire()).await {
                Ok(true) => renewed = Instant::now(),
                Ok(false) if Instant::now() < deadline => {}
                Ok(false) | Err(_) => return,
            }
        }
    }

    /// Gives the lease back, so that the next leader need not wait.
    async fn release(&mut self) {
        let Some((lease, _)) = self.seen.take().filter(|(lease, _)| holder(lease) == self.config.identity)
        else {
            return;
        };
        let mut released = self.record(Some(lease));
        if let Some(spec) = &mut released.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        let params = PostParams::default();
        let write = self.leases.replace(&self.config.name, &params, &released);
        if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(3), write).await {
            tracing::debug!(%error, "the lease was not given back and will expire");
        }
    }
}

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or("")
}

/// Whether this candidate may write itself into a lease that it has seen unchanged for `unchanged`.
fn may_take(lease: &Lease, config: &Config, unchanged: Duration) -> bool {
    let holder = holder(lease);
    if holder.is_empty() || holder == config.identity {
        return true;
    }
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    unchanged > Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_taken_only_when_free_own_or_stale() {
        let config = Config {
            namespace: "kube-system".into(),
            name: "x".into(),
            identity: "me".into(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        };
        let lease = |holder: &str| Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(15),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        };
        assert!(may_take(&lease(""), &config, Duration::ZERO));
        assert!(may_take(&lease("me"), &config, Duration::ZERO));
        assert!(!may_take(&lease("you"), &config, Duration::from_secs(15)));
        assert!(may_take(&lease("you"), &config, Duration::from_secs(16)));
    }
}
