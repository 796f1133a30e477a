//! `ctl exec` and `ctl attach`: standard streams of a program in a container.

use std::io::IsTerminal;

use api_types::k8s::api::core::v1::Pod;
use client::Api;
use client::kube::api::{AttachParams, AttachedProcess, TerminalSize};
use futures::SinkExt;
use nix::sys::termios::{self, SetArg, Termios};
use tokio::io::AsyncWriteExt;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Error, Result};
use crate::session::Session;
use crate::verbs::logs::pod_of;

/// Flags of both verbs.
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// POD or TYPE/NAME
    pod: String,
    /// The container, when the pod has several.
    #[arg(long, short = 'c')]
    container: Option<String>,
    /// Pass standard input on.
    #[arg(long, short = 'i')]
    stdin: bool,
    /// Give the program a terminal.
    #[arg(long, short = 't')]
    tty: bool,
    /// What to run, after `--`.
    #[arg(last = true)]
    command: Vec<String>,
}

/// Runs `exec`.
pub async fn exec(session: &Session, flags: &Flags) -> Result<()> {
    if flags.command.is_empty() {
        return Err(Error::Usage("you must specify at least one command for the container, after --".into()));
    }
    let (api, name, parameters) = prepare(session, flags).await?;
    let process = api.exec(&name, flags.command.clone(), &parameters).await;
    drive(process.map_err(|error| session.failure(format!("run a command in {name}"), error))?, &parameters)
        .await
}

/// Runs `attach`.
pub async fn attach(session: &Session, flags: &Flags) -> Result<()> {
    let (api, name, parameters) = prepare(session, flags).await?;
    let process = api.attach(&name, &parameters).await;
    drive(process.map_err(|error| session.failure(format!("attach to {name}"), error))?, &parameters).await
}

/// Connects to the program of a pod's first container.
///
/// # Errors
/// When the pod does not run, or the program fails.
pub async fn attach_to(session: &Session, pod: &str, stdin: bool, tty: bool) -> Result<()> {
    attach(session, &Flags { pod: pod.to_owned(), container: None, stdin, tty, command: Vec::new() }).await
}

async fn prepare(session: &Session, flags: &Flags) -> Result<(Api<Pod>, String, AttachParams)> {
    let pod = pod_of(session, &flags.pod).await?;
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
    let container = flags.container.clone().or_else(|| {
        let annotated = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str();
        annotated.or_else(|| pod["spec"]["containers"][0]["name"].as_str()).map(str::to_owned)
    });
    let tty = flags.tty && std::io::stdin().is_terminal();
    if flags.tty && !tty {
        eprintln!("Unable to use a TTY - input is not a terminal or the right kind of file");
    }
    let mut parameters = AttachParams::default().stdin(flags.stdin).tty(tty).stderr(!tty);
    parameters.container = container;
    Ok((Api::namespaced(session.client().clone(), &text("namespace")), text("name"), parameters))
}

async fn drive(mut process: AttachedProcess, parameters: &AttachParams) -> Result<()> {
    let io = |source| Error::Io { attempted: "pass the program's streams on", source };
    let _raw = if parameters.tty { Some(RawTerminal::enter().map_err(io)?) } else { None };
    let status = process.take_status();
    let mut tasks = Vec::new();
    if let Some(mut sizes) = process.terminal_size() {
        tokio::spawn(async move {
            let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
            loop {
                if let Some(size) = terminal_size()
                    && sizes.send(size).await.is_err()
                {
                    return;
                }
                changes.recv().await;
            }
        });
    }
    if let Some(mut stdin) = process.stdin() {
        tokio::spawn(async move {
            let mut input = tokio::io::stdin();
            // The program may end without reading all of its input.
            tokio::io::copy(&mut input, &mut stdin).await.ok();
            stdin.shutdown().await.ok();
        });
    }
    if let Some(mut stdout) = process.stdout() {
        tasks.push(tokio::spawn(async move { tokio::io::copy(&mut stdout, &mut tokio::io::stdout()).await }));
    }
    if let Some(mut stderr) = process.stderr() {
        tasks.push(tokio::spawn(async move { tokio::io::copy(&mut stderr, &mut tokio::io::stderr()).await }));
    }
    for task in tasks {
        if let Ok(copied) = task.await {
            copied.map_err(io)?;
        }
    }
    tokio::io::stdout().flush().await.map_err(io)?;
    let Some(status) = status else { return Ok(()) };
    match status.await {
        Some(status) if status.status.as_deref() == Some("Failure") => Err(failure(&status)),
        _ => Ok(()),
    }
}

/// The exit status in the server's last word, else its message.
fn failure(status: &api_types::k8s::apimachinery::pkg::apis::meta::v1::Status) -> Error {
    let causes = status.details.as_ref().and_then(|details| details.causes.as_ref());
    let code = causes.into_iter().flatten().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    match code.and_then(|cause| cause.message.as_deref()).and_then(|code| code.parse().ok()) {
        Some(code) => Error::Exit(code),
        None => Error::Usage(status.message.clone().unwrap_or_else(|| "the command failed".into())),
    }
}

fn terminal_size() -> Option<TerminalSize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(TerminalSize { width: size.ws_col, height: size.ws_row })
}

/// The terminal passes every key on as it is, until this is dropped.
struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    fn enter() -> std::io::Result<Self> {
        let before = termios::tcgetattr(std::io::stdin())?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(std::io::stdin(), SetArg::TCSANOW, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // There is nothing left to do about a terminal that has gone away.
        termios::tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.before).ok();
    }
}
