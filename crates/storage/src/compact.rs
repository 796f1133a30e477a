//! Compaction of etcd's history, by upstream's protocol, so that any number of apiservers of either kind take turns.
//!
//! All agree on the version of one key. Whoever first raises it in an interval records the revision of that moment, and
//! compacts up to the revision that was recorded an interval before; the others learn the new version and do nothing.

use std::time::Duration;

use crate::error::Result;
use crate::etcd::Etcd;

/// The key that compactors agree on; upstream's name.
pub(crate) const COMPACT_KEY: &str = "compact_rev_key";

/// What one compactor knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    version: i64,
    revision: i64,
}

/// Compacts each interval, as long as the store lives.
pub(crate) async fn run(etcd: Etcd, interval: Duration) {
    let mut turn = Turn::default();
    loop {
        tokio::time::sleep(interval).await;
        match step(&etcd, turn).await {
            Ok(next) => turn = next,
            Err(error) => {
                tracing::warn!(%error, "cannot compact the history of etcd; trying again after the interval")
            }
        }
    }
}

/// One turn: returns what to know in the next.
pub(crate) async fn step(etcd: &Etcd, turn: Turn) -> Result<Turn> {
    let (won, version, _, revision) =
        etcd.swap_version(COMPACT_KEY, turn.version, &turn.revision.to_string()).await?;
    if !won {
        return Ok(Turn { version, revision });
    }
    if turn.revision > 0 {
        etcd.compact(turn.revision).await?;
        tracing::debug!(revision = turn.revision, "compacted the history of etcd");
    }
    Ok(Turn { version: turn.version + 1, revision })
}
