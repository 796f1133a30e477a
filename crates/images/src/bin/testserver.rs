//! A small HTTP server for tutorials and cluster tests. It answers with what a test wants to see from the outside: which
//! pod answered, which version it is, what its environment and files contain.
//!
//! | path | answer |
//! |---|---|
//! | `/` | `HOSTNAME VERSION` |
//! | `/hostname` | the host's name |
//! | `/client` | the address and port of the caller, as the server sees it |
//! | `/env/NAME` | the value of an environment variable, 404 when unset |
//! | `/file/PATH` | a file's content, 404 when absent |
//! | `/healthz` | `ok`, or 503 once `/fail` was asked for |
//! | `/fail` | makes `/healthz` fail from now on |

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use clap::Parser;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(name = "testserver", version, about = "A small HTTP server for tutorials and cluster tests")]
struct Flags {
    /// Address and port to serve on.
    #[arg(long, default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// What this server calls its version; rolling updates change it.
    #[arg(long, env = "TESTSERVER_VERSION", default_value = "v1")]
    server_version: String,
    /// Seconds to go on serving after SIGTERM, so that a rolling update loses no request.
    #[arg(long, default_value_t = 0)]
    drain_seconds: u64,
}

struct State {
    hostname: String,
    version: String,
    failing: AtomicBool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let flags = Flags::parse();
    let hostname = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    let state =
        Arc::new(State { hostname, version: flags.server_version.clone(), failing: AtomicBool::new(false) });
    let listener = TcpListener::bind(flags.listen).await?;
    println!("testserver {} on {}, listening on {}", state.version, state.hostname, flags.listen);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let serving = accept(listener, state);
    tokio::pin!(serving);
    tokio::select! {
        () = &mut serving => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => {}
    }
    let drain = std::time::Duration::from_secs(flags.drain_seconds);
    tokio::select! {
        () = &mut serving => {}
        () = tokio::time::sleep(drain) => {}
    }
    Ok(())
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, peer)) = listener.accept().await {
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let response = answer(&state, &request, peer);
                async move { Ok::<_, Infallible>(response) }
            });
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
                eprintln!("connection from {peer}: {error}");
            }
        });
    }
}

fn answer(state: &State, request: &Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let text = match path {
        "/" => Some(format!("{} {}\n", state.hostname, state.version)),
        "/hostname" => Some(format!("{}\n", state.hostname)),
        "/client" => Some(format!("{peer}\n")),
        "/fail" => {
            state.failing.store(true, Ordering::Relaxed);
            Some("failing from now on\n".to_owned())
        }
        "/healthz" if state.failing.load(Ordering::Relaxed) => {
            return reply(StatusCode::SERVICE_UNAVAILABLE, "failing\n".to_owned());
        }
        "/healthz" => Some("ok\n".to_owned()),
        _ => {
            if let Some(name) = path.strip_prefix("/env/") {
                std::env::var(name).ok()
            } else {
                path.strip_prefix("/file").and_then(|file| std::fs::read_to_string(file).ok())
            }
        }
    };
    match text {
        Some(text) => reply(StatusCode::OK, text),
        None => reply(StatusCode::NOT_FOUND, format!("nothing at {path}\n")),
    }
}

fn reply(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}
