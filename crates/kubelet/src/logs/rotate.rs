//! Keeps container logs small: a full file is renamed, the runtime opens a new one, old ones are compressed and removed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::cri::{Runtime, v1};

/// When to rotate and how much to keep.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// containerLogMaxSize, bytes.
    pub max_size: u64,
    /// containerLogMaxFiles, the current one included.
    pub max_files: usize,
    /// containerLogMonitorInterval.
    pub interval: Duration,
}

/// Looks at the logs of running containers until `stop`.
pub async fn run(runtime: Runtime, policy: Policy, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(policy.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = check_all(&runtime, policy).await {
            tracing::warn!(%error, "Container logs not checked for rotation");
        }
    }
}

async fn check_all(runtime: &Runtime, policy: Policy) -> Result<(), crate::cri::Error> {
    for container in runtime.list_containers(None).await? {
        if container.state != v1::ContainerState::ContainerRunning as i32 {
            continue;
        }
        let request = v1::ContainerStatusRequest { container_id: container.id.clone(), verbose: false };
        let Ok(answer) = runtime.container_status(request).await else { continue };
        let path = PathBuf::from(answer.status.map(|status| status.log_path).unwrap_or_default());
        let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if path.as_os_str().is_empty() || size < policy.max_size {
            continue;
        }
        if let Err(error) = rotate(runtime, &container.id, &path, policy.max_files).await {
            tracing::warn!(path = %path.display(), error, "Container log not rotated");
        }
    }
    Ok(())
}

async fn rotate(runtime: &Runtime, id: &str, path: &Path, max_files: usize) -> Result<(), String> {
    let stamp = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let rotated = PathBuf::from(format!("{}.{stamp}", path.display()));
    fs::rename(path, &rotated).map_err(|error| error.to_string())?;
    let request = v1::ReopenContainerLogRequest { container_id: id.to_owned() };
    if let Err(error) = runtime.reopen_container_log(request).await {
        // The runtime still writes to the old file; put its name back so that nothing is lost.
        fs::rename(&rotated, path).map_err(|error| error.to_string())?;
        return Err(error.to_string());
    }
    let path = path.to_owned();
    let tidy = tokio::task::spawn_blocking(move || tidy(&path, &rotated, max_files)).await;
    tidy.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// Compresses all rotated files but the newest, which readers may still follow, and removes the oldest.
fn tidy(path: &Path, newest: &Path, max_files: usize) -> io::Result<()> {
    let Some((directory, prefix)) = path.parent().zip(path.file_name()) else { return Ok(()) };
    let prefix = format!("{}.", prefix.to_string_lossy());
    let mut rotated: Vec<PathBuf> = fs::read_dir(directory)?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect();
    rotated.sort();
    let surplus = (rotated.len() + 1).saturating_sub(max_files.max(2));
    for old in rotated.drain(..surplus) {
        fs::remove_file(old)?;
    }
    for file in
        rotated.iter().filter(|file| *file != newest && file.extension().is_none_or(|end| end != "gz"))
    {
        compress(file)?;
    }
    Ok(())
}

fn compress(file: &Path) -> io::Result<()> {
    let target = PathBuf::from(format!("{}.gz", file.display()));
    let staged = PathBuf::from(format!("{}.tmp", target.display()));
    let mut encoder = flate2::write::GzEncoder::new(File::create(&staged)?, flate2::Compression::default());
    io::copy(&mut File::open(file)?, &mut encoder)?;
    encoder.finish()?;
    fs::rename(&staged, &target)?;
    fs::remove_file(file)
}
