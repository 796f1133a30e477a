//! Passes a request on and its answer back; an upgraded connection becomes a pipe.

use bytes::Bytes;
use futures::StreamExt;
use http::header::{CONNECTION, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::BodyStream;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

use super::dial::{self, Identity};
use super::location::Location;
use crate::error::{Error, Result};
use crate::filters::Call;
use crate::http::body::{self, Body};

/// Headers that end at this server (RFC 9110, 7.6.1), beside Connection and Upgrade, which decide about the upgrade.
const HOP_BY_HOP: [HeaderName; 5] = [
    TRANSFER_ENCODING,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("te"),
];

/// Sends the request to `location` and the answer back.
///
/// # Errors
/// When the peer cannot be reached or breaks off before it has answered.
pub async fn pass(call: Call, location: &Location, identity: &Identity<'_>) -> Result<Response<Body>> {
    let uri = location.path.parse().map_err(Error::internal)?;
    let (mut request, ours) = outgoing(call, uri);
    let authority = HeaderValue::from_str(&location.authority()).map_err(Error::internal)?;
    request.headers_mut().insert(HOST, authority);
    incoming(send(request, location, identity).await?, ours)
}

/// The request as it is sent on to `uri`, and the client's side of the connection if it asks for another protocol.
pub fn outgoing(call: Call, uri: Uri) -> (Request<Incoming>, Option<OnUpgrade>) {
    let Call { mut parts, body, .. } = call;
    let ours = parts.extensions.remove::<OnUpgrade>().filter(|_| wants_upgrade(&parts.headers));
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = passed_on(&parts.headers, ours.is_some());
    (request, ours)
}

/// The backend's answer as it is sent back; where it has switched protocols, the two connections become one.
///
/// # Errors
/// It has switched without having been asked to.
pub fn incoming(mut response: Response<Incoming>, ours: Option<OnUpgrade>) -> Result<Response<Body>> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(ours) = ours else {
            return Err(Error::internal("the backend switched protocols without being asked to"));
        };
        let theirs = hyper::upgrade::on(&mut response);
        tokio::spawn(pipe(ours, theirs));
    }
    Ok(answer(response))
}

/// Sends one request over a connection of its own.
///
/// # Errors
/// When the peer cannot be reached or breaks off before it has answered.
pub async fn send<B>(
    request: Request<B>,
    location: &Location,
    identity: &Identity<'_>,
) -> Result<Response<Incoming>>
where
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = dial::connect(location, identity).await?;
    let failed =
        |error: hyper::Error| Error::internal(format!("{} broke off: {error}", location.authority()));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a backend's connection ended");
        }
    });
    sender.send_request(request).await.map_err(failed)
}

/// Whether a client asks for another protocol.
pub fn wants_upgrade(headers: &HeaderMap) -> bool {
    let words = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let mut words = words.flat_map(|value| value.split(','));
    headers.contains_key(UPGRADE) && words.any(|word| word.trim().eq_ignore_ascii_case("upgrade"))
}

fn passed_on(headers: &HeaderMap, upgrade: bool) -> HeaderMap {
    let mut headers = headers.clone();
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    if upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    } else {
        headers.remove(CONNECTION);
        headers.remove(UPGRADE);
    }
    headers
}

/// The backend's answer as ours; its body is passed on as it comes.
fn answer(response: Response<Incoming>) -> Response<Body> {
    let (parts, incoming) = response.into_parts();
    let upgraded = parts.status == StatusCode::SWITCHING_PROTOCOLS;
    let body = if upgraded {
        body::empty()
    } else {
        // A backend that breaks off ends the body early; the client sees that by the missing last chunk.
        let frames = BodyStream::new(incoming).take_while(|frame| std::future::ready(frame.is_ok()));
        body::stream(
            frames.filter_map(|frame| async { frame.ok()?.into_data().ok() }).map(|data: Bytes| data),
        )
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = parts.status;
    *answer.headers_mut() = passed_on(&parts.headers, upgraded);
    answer
}

/// Copies between two upgraded connections until both have ended.
async fn pipe(ours: OnUpgrade, theirs: OnUpgrade) {
    let joined: std::result::Result<(Upgraded, Upgraded), hyper::Error> = futures::try_join!(ours, theirs);
    match joined {
        Ok((ours, theirs)) => {
            let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
            if let Err(error) = tokio::io::copy_bidirectional(&mut ours, &mut theirs).await {
                tracing::debug!(%error, "a stream was broken off");
            }
        }
        Err(error) => tracing::debug!(%error, "a connection was not upgraded"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hop_by_hop_headers_stay_and_upgrades_pass() {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("SPDY/3.1"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        headers.insert("x-stream-protocol-version", HeaderValue::from_static("v4.channel.k8s.io"));
        assert!(wants_upgrade(&headers));
        let passed = passed_on(&headers, true);
        assert_eq!(passed.get(CONNECTION).unwrap(), "Upgrade");
        assert_eq!(passed.get(UPGRADE).unwrap(), "SPDY/3.1");
        assert!(!passed.contains_key("te") && passed.contains_key("x-stream-protocol-version"));
        let plain = passed_on(&headers, false);
        assert!(!plain.contains_key(CONNECTION) && !plain.contains_key(UPGRADE));
    }
}
