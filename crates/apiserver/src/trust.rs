//! Keeps the trusted signers of client certificates as their files say.

use std::sync::Arc;
use std::time::Duration;

use crate::server::Server;

/// How often the files are looked at, as on upstream.
const PERIOD: Duration = Duration::from_secs(60);

/// Runs as long as the server.
pub async fn run(server: Arc<Server>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = server.shutdown.cancelled() => return,
        }
        match server.aggregator.reload() {
            Ok(false) => {}
            Ok(true) => tracing::info!("the certificate for aggregated servers has changed"),
            Err(error) => tracing::warn!(%error, "the certificate for aggregated servers stays as it was"),
        }
        match server.authenticator.reload() {
            Ok(false) => {}
            Ok(true) => tracing::info!("the signers of client certificates have changed"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the signers of client certificates stay as they were"
            ),
        }
    }
}
