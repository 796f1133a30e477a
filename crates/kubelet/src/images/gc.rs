//! Removes images that nobody uses when the disk they are on fills up.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cri::{Error, Runtime, v1};
use crate::eviction::signals;

/// How often the disk is looked at.
const PERIOD: Duration = Duration::from_secs(300);

/// When to remove images.
#[derive(Debug, Clone)]
pub struct Policy {
    /// imageGCHighThresholdPercent; 100 switches collection by disk use off.
    pub high: u64,
    /// imageGCLowThresholdPercent.
    pub low: u64,
    /// imageMinimumGCAge.
    pub min_age: Duration,
    /// imageMaximumGCAge; zero for no limit.
    pub max_age: Duration,
    /// An image that always stays, beside those that the runtime pins: that of sandboxes.
    pub sandbox_image: String,
}

/// Collects unused images.
pub struct Collector {
    runtime: Runtime,
    policy: Policy,
    /// Where the disk is measured when the runtime does not say where its images are.
    fallback: PathBuf,
    /// When each image was first seen and last used.
    seen: Mutex<HashMap<String, Seen>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    first: Instant,
    used: Option<Instant>,
}

/// An image that may go.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    id: String,
    size: u64,
    idle: Duration,
}

impl Collector {
    /// With these limits.
    pub fn new(runtime: Runtime, policy: Policy, fallback: PathBuf) -> Self {
        Self { runtime, policy, fallback, seen: Mutex::default() }
    }

    /// Looks every five minutes until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "Unused images not looked for");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    /// Removes every unused image, whatever its age: the disk is nearly full.
    pub async fn remove_all_unused(&self) -> Result<u64, Error> {
        let candidates = self.candidates().await?;
        Ok(self.remove(candidates, u64::MAX).await)
    }

    async fn look(&self) -> Result<(), Error> {
        let mut candidates = self.candidates().await?;
        if !self.policy.max_age.is_zero() {
            let (old, rest): (Vec<_>, Vec<_>) =
                candidates.into_iter().partition(|candidate| candidate.idle >= self.policy.max_age);
            self.remove(old, u64::MAX).await;
            candidates = rest;
        }
        let Some(disk) = signals::bytes(&self.file_system().await) else { return Ok(()) };
        let used = disk.capacity - disk.available;
        let percent = used * 100 / disk.capacity.max(1);
        if self.policy.high >= 100 || percent < self.policy.high {
            return Ok(());
        }
        let wanted = used.saturating_sub(disk.capacity * self.policy.low / 100);
        candidates.retain(|candidate| candidate.idle >= self.policy.min_age);
        let freed = self.remove(candidates, wanted).await;
        tracing::info!(
            percent,
            wanted,
            freed,
            "Disk of images above its high threshold; unused images removed"
        );
        if freed < wanted {
            tracing::warn!(
                wanted,
                freed,
                "Not enough unused images to bring the disk below imageGCLowThresholdPercent; make room on it"
            );
        }
        Ok(())
    }

    async fn file_system(&self) -> PathBuf {
        let answer = self.runtime.image_fs_info(v1::ImageFsInfoRequest {}).await;
        let mount = answer.ok().and_then(|answer| answer.image_filesystems.into_iter().next()?.fs_id);
        mount.map_or_else(|| self.fallback.clone(), |id| PathBuf::from(id.mountpoint))
    }

    /// Unused images, the longest unused first.
    async fn candidates(&self) -> Result<Vec<Candidate>, Error> {
        let images = self.runtime.list_images(v1::ListImagesRequest { filter: None }).await?.images;
        let containers = self.runtime.list_containers(None).await?;
        let mut used: HashSet<String> = HashSet::new();
        for container in containers {
            used.insert(container.image_ref);
            used.insert(container.image_id);
            used.extend(container.image.map(|image| image.image));
        }
        let sandbox = self.sandbox_image().await;
        let now = Instant::now();
        let mut seen = self.seen.lock().await;
        seen.retain(|id, _| images.iter().any(|image| image.id == *id));
        let mut candidates = Vec::new();
        for image in images {
            let entry = seen.entry(image.id.clone()).or_insert(Seen { first: now, used: None });
            let names = || image.repo_tags.iter().chain(&image.repo_digests).chain([&image.id]);
            let in_use = image.pinned || names().any(|name| used.contains(name) || *name == sandbox);
            if in_use {
                entry.used = Some(now);
                continue;
            }
            let idle = now - entry.used.unwrap_or(entry.first);
            candidates.push(Candidate { id: image.id, size: image.size, idle });
        }
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.idle));
        Ok(candidates)
    }

    /// The image of sandboxes, by the runtime's own configuration where it shows it.
    async fn sandbox_image(&self) -> String {
        let answer = self.runtime.status(v1::StatusRequest { verbose: true }).await.ok();
        let config = answer.and_then(|answer| answer.info.get("config").cloned());
        let parsed = config.and_then(|config| serde_json::from_str::<serde_json::Value>(&config).ok());
        let named = parsed.and_then(|config| config.get("sandboxImage")?.as_str().map(str::to_owned));
        named.unwrap_or_else(|| self.policy.sandbox_image.clone())
    }

    /// Removes candidates in order until `wanted` bytes are free; returns how many are.
    async fn remove(&self, candidates: Vec<Candidate>, wanted: u64) -> u64 {
        let mut freed = 0;
        for candidate in candidates {
            if freed >= wanted {
                break;
            }
            let image = Some(v1::ImageSpec { image: candidate.id.clone(), ..Default::default() });
            match self.runtime.remove_image(v1::RemoveImageRequest { image }).await {
                Ok(_) => {
                    tracing::info!(image = candidate.id, size = candidate.size, "Unused image removed");
                    freed += candidate.size;
                }
                Err(error) => tracing::warn!(image = candidate.id, %error, "Unused image not removed"),
            }
        }
        freed
    }
}
