//! The frame of a daemon: flags, logs, runtime, signals, and the way its end is told.

use std::future::Future;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::{exit, features, flags, log, metrics, signal};

/// What a daemon is, for its command line and runtime.
#[derive(Clone, Copy, Debug)]
pub struct Daemon {
    /// Program name, which is also its name in user agents, leases and metrics.
    pub name: &'static str,
    /// One line for `--help`.
    pub about: &'static str,
    /// Threads that run tasks; each costs memory, so few.
    pub worker_threads: usize,
}

impl Daemon {
    /// A daemon with two worker threads.
    pub const fn new(name: &'static str, about: &'static str) -> Self {
        Self { name, about, worker_threads: 2 }
    }
}

/// A daemon's parsed command line.
pub trait Options: clap::Args {
    /// The log flags; [`run`] sets logging up from them.
    fn logging(&self) -> &flags::Logging;

    /// The feature-gate flag, for daemons that have one.
    fn feature_gates(&self) -> Option<&flags::FeatureGates> {
        None
    }

    /// Adds a line to `problems` for everything that clap cannot see: relations between flags, contents of files.
    fn validate(&self, problems: &mut Vec<String>) {
        if let Some(gates) = self.feature_gates() {
            gates.features(problems);
        }
    }
}

/// What [`run`] hands to a daemon's main function.
#[derive(Clone, Debug)]
pub struct Context {
    /// The daemon itself.
    pub daemon: Daemon,
    /// Cancelled on SIGTERM or SIGINT; the main function then has to return.
    pub shutdown: CancellationToken,
    /// Feature gates.
    pub features: features::Features,
}

/// Runs a daemon to its end. `main.rs` returns what this returns.
///
/// ```no_run
/// # use component::{Context, Daemon, Options, flags};
/// # #[derive(clap::Args)] struct Settings { #[command(flatten)] logging: flags::Logging }
/// # impl Options for Settings { fn logging(&self) -> &flags::Logging { &self.logging } }
/// # async fn start(_: Settings, _: Context) -> Result<(), anyhow::Error> { Ok(()) }
/// fn main() -> std::process::ExitCode {
///     component::run(Daemon::new("kube-example", "An example"), start)
/// }
/// ```
pub fn run<O, F, Fut>(daemon: Daemon, start: F) -> ExitCode
where
    O: Options,
    F: FnOnce(O, Context) -> Fut,
    Fut: Future<Output = Result<(), anyhow::Error>>,
{
    let options: O = flags::parse(&daemon);
    log::install(options.logging());
    // Validation has already reported every bad gate.
    let gates = options.feature_gates().map(|gates| gates.features(&mut Vec::new())).unwrap_or_default();
    features::install(gates.clone());
    metrics::install_process_metrics(daemon.name);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(daemon.worker_threads)
        .max_blocking_threads(16)
        .thread_name(daemon.name)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            return exit::report(daemon.name, &anyhow::Error::new(error).context("cannot start the runtime"));
        }
    };
    let outcome = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        signal::cancel_on_termination(shutdown.clone())
            .map_err(|error| anyhow::Error::new(error).context("cannot install signal handlers"))?;
        start(options, Context { daemon, shutdown, features: gates }).await
    });
    // Tasks that still block (a slow disk, say) may not keep a finished daemon alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(daemon.name, &error),
    }
}
