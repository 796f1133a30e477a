//! Leases for objects that expire. Objects written within the same minute share one: etcd handles many keys of few
//! leases far better than many leases.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::error::Result;
use crate::etcd::Etcd;
use crate::options::Options;

/// The leases that still take keys, by time to live.
#[derive(Default)]
pub(crate) struct Leases(Mutex<HashMap<Duration, Lease>>);

struct Lease {
    id: i64,
    granted: Instant,
    keys: u32,
}

impl Leases {
    /// A lease for one more key that has to live at least `ttl`. The first key of a lease outlives it by up to the time
    /// during which the lease is shared.
    pub async fn lease(&self, etcd: &Etcd, options: &Options, ttl: Duration) -> Result<i64> {
        // Whoever finds no lease grants one while the others wait for it.
        let mut leases = self.0.lock().await;
        let reuse = reuse_time(options.lease_reuse, ttl);
        if let Some(lease) = leases.get_mut(&ttl)
            && lease.keys < options.lease_keys
            && lease.granted.elapsed() < reuse
        {
            lease.keys += 1;
            return Ok(lease.id);
        }
        let granted = Instant::now();
        let seconds = (ttl + reuse).as_secs_f64().ceil().max(1.0);
        // Whole seconds of at most some days.
        #[allow(clippy::cast_possible_truncation)]
        let id = etcd.grant(seconds as i64).await?;
        leases.insert(ttl, Lease { id, granted, keys: 1 });
        Ok(id)
    }
}

/// Sharing must not stretch a short life much: at most by a twentieth of it.
fn reuse_time(configured: Duration, ttl: Duration) -> Duration {
    configured.min(ttl / 20)
}
