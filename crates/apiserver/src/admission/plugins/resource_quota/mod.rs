//! ResourceQuota: what a namespace uses stays within its quotas.
//!
//! ```text
//!  request ─► usage::delta ─► every quota that counts it: charge::plan ─► used += delta (compare and swap) ─► stored
//! ```
//!
//! Usage is booked before the object is stored. When storing fails, too much stays booked until the quota
//! controller counts again: a quota may be too strict for a moment, never too generous.

mod charge;
mod scopes;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Value;

use self::charge::Charge;
use super::Dependencies;
use super::pod_resources::Amounts;
use super::support::{fetch_all, refuse, text};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;
use crate::loopback::{Objects, Target};

/// How often a booking that lost a race is tried again.
const ATTEMPTS: usize = 10;

pub(super) fn make(dependencies: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(ResourceQuota { objects: dependencies.objects.clone(), booking: Mutex::default() })
}

struct ResourceQuota {
    objects: Arc<dyn Objects>,
    /// One booking at a time in a namespace: within this server requests queue here instead of losing races
    /// in storage.
    booking: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

#[async_trait]
impl Plugin for ResourceQuota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, request: &Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        if request.namespace.is_empty() || !usage::is_counted(request) {
            return Ok(());
        }
        let quotas: Vec<Value> = fetch_all(reader, ("", "resourcequotas"), request.namespace).await?;
        let Some(object) = request.object.as_ref().filter(|_| !quotas.is_empty()) else { return Ok(()) };
        let delta = usage::delta(request, object);
        let mut concerned: Vec<&Value> =
            quotas.iter().filter(|q| charge::concerns(q, request, object, &delta)).collect();
        concerned.sort_by_key(|quota| text(quota, "/metadata/name"));
        if concerned.is_empty() {
            return Ok(());
        }
        for quota in &concerned {
            charge::constraints(quota, request, object).map_err(|why| refuse(request, why))?;
        }
        let lock = self.lock(request.namespace);
        let booked = {
            let _one_at_a_time = lock.lock().await;
            self.book_all(request, &concerned, &delta).await
        };
        self.unlock(request.namespace, lock);
        booked
    }
}

impl ResourceQuota {
    fn lock(&self, namespace: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.booking.lock().entry(namespace.to_owned()).or_default().clone()
    }

    /// Forgets a lock that nobody else waits for.
    fn unlock(&self, namespace: &str, lock: Arc<tokio::sync::Mutex<()>>) {
        let mut booking = self.booking.lock();
        if Arc::strong_count(&lock) == 2 {
            booking.remove(namespace);
        }
    }

    async fn book_all(&self, request: &Request<'_>, quotas: &[&Value], delta: &Amounts) -> Result<(), Error> {
        // All are looked at before any is charged, so that a refusal leaves nothing behind.
        let mut fresh = Vec::with_capacity(quotas.len());
        for quota in quotas {
            let quota = self.objects.get(target(quota, "")).await?;
            // A quota that has gone meanwhile limits nothing.
            if let Some(quota) = quota {
                charge::plan(&quota, delta).map_err(|why| refuse(request, why))?;
                fresh.push(quota);
            }
        }
        if request.dry_run {
            return Ok(());
        }
        for quota in fresh {
            self.book(request, quota, delta).await?;
        }
        Ok(())
    }

    async fn book(&self, request: &Request<'_>, mut quota: Value, delta: &Amounts) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let Charge::Used(used) = charge::plan(&quota, delta).map_err(|why| refuse(request, why))? else {
                return Ok(());
            };
            quota["status"]["used"] = used;
            let target_of = quota.clone();
            match self.objects.update(target(&target_of, "status"), quota).await {
                Err(error) if error.is_conflict() => {}
                Err(error) if error.is_not_found() => return Ok(()),
                done => return done.map(drop),
            }
            quota = match self.objects.get(target(&target_of, "")).await? {
                Some(quota) => quota,
                None => return Ok(()),
            };
        }
        let name = text(&quota, "/metadata/name").to_owned();
        Err(Error::conflict("", "resourcequotas", &name, "too many requests charge it at once; try again"))
    }
}

fn target<'q>(quota: &'q Value, subresource: &'q str) -> Target<'q> {
    Target {
        group: "",
        resource: "resourcequotas",
        namespace: text(quota, "/metadata/namespace"),
        name: text(quota, "/metadata/name"),
        subresource,
    }
}
