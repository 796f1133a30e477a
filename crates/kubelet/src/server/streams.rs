//! Exec, attach and port-forward: the client's upgraded connection, WebSocket or SPDY, is piped to the runtime's streaming
//! server, at the URL that the runtime gives for this one stream.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::State;
use super::answer::{Answer, BoxError, boxed, empty, text};
use super::containers::find;
use super::query::Query;
use crate::cri::v1;

/// As much of a refusal of the runtime as is passed on.
const MAX_REFUSAL: usize = 64 << 10;

/// `/exec/<namespace>/<pod>/<container>?command=…`
pub async fn exec(
    state: &State,
    namespace: &str,
    pod: &str,
    container: &str,
    query: &Query,
    parts: Parts,
    body: Incoming,
) -> Answer {
    let found = match find(state, namespace, pod, container, false) {
        Ok(found) => found,
        Err(refusal) => return *refusal,
    };
    let tty = query.flag(&["tty"]);
    let request = v1::ExecRequest {
        container_id: found.id,
        cmd: query.all("command").map(str::to_owned).collect(),
        tty,
        stdin: query.flag(&["input", "stdin"]),
        stdout: query.flag(&["output", "stdout"]),
        // A terminal has one output only.
        stderr: !tty && query.flag(&["error", "stderr"]),
    };
    if !(request.stdin || request.stdout || request.stderr) {
        return text(StatusCode::BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr");
    }
    let url = state.runtime.exec(request).await.map(|answer| answer.url);
    pipe_to(url, parts, body).await
}

/// `/attach/<namespace>/<pod>/<container>`
pub async fn attach(
    state: &State,
    namespace: &str,
    pod: &str,
    container: &str,
    query: &Query,
    parts: Parts,
    body: Incoming,
) -> Answer {
    let found = match find(state, namespace, pod, container, false) {
        Ok(found) => found,
        Err(refusal) => return *refusal,
    };
    let spec = crate::pod::containers::find(&found.entry.pod, container);
    let tty = spec.is_some_and(|(_, container)| container.tty == Some(true)) && query.flag(&["tty"]);
    let request = v1::AttachRequest {
        container_id: found.id,
        tty,
        stdin: query.flag(&["input", "stdin"]),
        stdout: query.flag(&["output", "stdout"]),
        stderr: !tty && query.flag(&["error", "stderr"]),
    };
    let url = state.runtime.attach(request).await.map(|answer| answer.url);
    pipe_to(url, parts, body).await
}

/// `/portForward/<namespace>/<pod>?port=…`
pub async fn port_forward(
    state: &State,
    namespace: &str,
    pod: &str,
    query: &Query,
    parts: Parts,
    body: Incoming,
) -> Answer {
    let Some(entry) = state.registry.find(namespace, pod) else {
        return text(StatusCode::NOT_FOUND, format!("pod \"{pod}\" not found\n"));
    };
    let uid = entry.pod.metadata.uid.as_deref();
    let sandboxes = match state.runtime.list_sandboxes(uid).await {
        Ok(sandboxes) => sandboxes,
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    };
    let ready =
        sandboxes.into_iter().find(|sandbox| sandbox.state == v1::PodSandboxState::SandboxReady as i32);
    let Some(sandbox) = ready else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, format!("pod \"{pod}\" is not running\n"));
    };
    let port = query.all("port").filter_map(|port| port.parse().ok()).collect();
    let request = v1::PortForwardRequest { pod_sandbox_id: sandbox.id, port };
    let url = state.runtime.port_forward(request).await.map(|answer| answer.url);
    pipe_to(url, parts, body).await
}

async fn pipe_to(url: Result<String, crate::cri::Error>, parts: Parts, body: Incoming) -> Answer {
    let url = match url {
        Ok(url) => url,
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    };
    match relay(&url, parts, body).await {
        Ok(answer) => answer,
        Err(error) => {
            let why =
                format!("the container runtime's streaming server at {url} cannot be reached: {error}\n");
            text(StatusCode::BAD_GATEWAY, why)
        }
    }
}

async fn relay(url: &str, mut parts: Parts, body: Incoming) -> Result<Answer, BoxError> {
    let uri: Uri = url.parse()?;
    let authority = uri.authority().ok_or("the URL has no host")?.clone();
    let port = authority.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((authority.host(), port)).await?;
    stream.set_nodelay(true)?;
    let ours = parts.extensions.remove::<OnUpgrade>();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(parts.method).uri(path);
    if let Some(headers) = request.headers_mut() {
        *headers = end_to_end(&parts.headers, true);
        headers.insert(HOST, HeaderValue::from_str(authority.as_str())?);
    }
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "Connection to the runtime's streaming server ended");
        }
    });
    let mut response = sender.send_request(request.body(body)?).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return refused(response).await;
    }
    let ours = ours.ok_or("the runtime switched protocols without being asked to")?;
    let theirs = hyper::upgrade::on(&mut response);
    tokio::spawn(pipe(ours, theirs));
    let mut answer = empty();
    *answer.status_mut() = response.status();
    *answer.headers_mut() = end_to_end(response.headers(), true);
    Ok(answer)
}

async fn refused(response: Response<Incoming>) -> Result<Answer, BoxError> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, MAX_REFUSAL).collect().await?.to_bytes();
    let mut answer = boxed(Response::new(http_body_util::Full::<Bytes>::from(body)));
    *answer.status_mut() = parts.status;
    *answer.headers_mut() = end_to_end(&parts.headers, false);
    Ok(answer)
}

async fn pipe(ours: OnUpgrade, theirs: OnUpgrade) {
    let both = futures::try_join!(ours, theirs);
    let (mut ours, mut theirs): (TokioIo<Upgraded>, TokioIo<Upgraded>) = match both {
        Ok((ours, theirs)) => (TokioIo::new(ours), TokioIo::new(theirs)),
        Err(error) => return tracing::debug!(%error, "Stream not upgraded"),
    };
    if let Err(error) = tokio::io::copy_bidirectional(&mut ours, &mut theirs).await {
        tracing::debug!(%error, "Stream ended");
    }
}

/// Headers that are not about one connection (RFC 9110, 7.6.1); Connection and Upgrade stay for upgrades.
fn end_to_end(headers: &HeaderMap, upgrade: bool) -> HeaderMap {
    let ends_here = |name: &HeaderName| {
        matches!(name.as_str(), "keep-alive" | "te" | "authorization" | "proxy-authorization")
            || name == TRANSFER_ENCODING
            || name == CONTENT_LENGTH
            || (!upgrade && (name == CONNECTION || name == UPGRADE))
    };
    let kept = headers.iter().filter(|(name, _)| !ends_here(name));
    let mut out = HeaderMap::new();
    for (name, value) in kept {
        out.append(name.clone(), value.clone());
    }
    out
}
