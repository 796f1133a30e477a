//! SIGTERM and SIGINT: the first asks for a graceful end, the second ends the process at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `shutdown` on the first SIGTERM or SIGINT; a second one exits with status 1, as upstream's daemons do.
///
/// # Errors
/// When the kernel refuses the handlers.
pub fn cancel_on_termination(shutdown: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        for first in [true, false] {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if first {
                tracing::info!(signal = name, "shutting down; a second signal ends the process at once");
                shutdown.cancel();
            } else {
                tracing::warn!(signal = name, "ending at once");
                std::process::exit(1);
            }
        }
    });
    Ok(())
}
