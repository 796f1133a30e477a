//! Port forwarding for clients that speak SPDY inside a WebSocket (KEP-4006): the WebSocket ends here, and the bytes of
//! its binary messages are a SPDY connection to the kubelet.

use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::dial::Identity;
use super::location::Location;
use super::relay;
use crate::error::{Error, Result};
use crate::filters::Call;
use crate::http::body::{self, Body};

/// The WebSocket subprotocol by which a client asks for the tunnel.
const PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";
/// Size of one read from the kubelet, and so of one message.
const MESSAGE_BYTES: usize = 32 << 10;
/// Time between two pings, which keep middleboxes from closing an idle connection.
const PING_EVERY: Duration = Duration::from_secs(10);

/// Whether a client asks for the tunnel.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    relay::wants_upgrade(headers)
        && offered.flat_map(|value| value.split(',')).any(|name| name.trim() == PROTOCOL)
}

/// Opens the SPDY connection first, so that a failure is still an ordinary answer, and then the tunnel.
///
/// # Errors
/// When the kubelet cannot be reached or refuses, or the client's handshake is incomplete.
pub async fn open(mut call: Call, location: &Location, identity: &Identity<'_>) -> Result<Response<Body>> {
    let key = call.parts.headers.get(SEC_WEBSOCKET_KEY);
    let accept = key.map(|key| derive_accept_key(key.as_bytes()));
    let (Some(accept), Some(ours)) = (accept, call.parts.extensions.remove::<OnUpgrade>()) else {
        return Err(Error::bad_request("a WebSocket needs HTTP/1.1 and a Sec-WebSocket-Key header"));
    };
    let request = Request::post(&location.path)
        .header(HOST, location.authority())
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "SPDY/3.1")
        .header("x-stream-protocol-version", "portforward.k8s.io")
        .body(body::empty())
        .map_err(Error::internal)?;
    let mut response = relay::send(request, location, identity).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::internal(format!("the kubelet refused to forward ports: {}", response.status())));
    }
    let theirs = hyper::upgrade::on(&mut response);
    tokio::spawn(async move {
        match futures::try_join!(ours, theirs) {
            Ok((ours, theirs)) => {
                let socket = WebSocketStream::from_raw_socket(TokioIo::new(ours), Role::Server, None).await;
                if let Err(error) = carry(socket, TokioIo::new(theirs)).await {
                    tracing::debug!(%error, "a port-forward tunnel was broken off");
                }
            }
            Err(error) => tracing::debug!(%error, "a connection was not upgraded"),
        }
    });
    let mut answer = Response::new(body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&accept).map_err(Error::internal)?);
    Ok(answer)
}

/// Carries bytes both ways until either side ends.
async fn carry<S, T>(
    mut socket: WebSocketStream<S>,
    mut backend: T,
) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut buffer = vec![0; MESSAGE_BYTES];
    let mut pings = tokio::time::interval(PING_EVERY);
    loop {
        tokio::select! {
            message = socket.next() => match message.transpose()? {
                Some(Message::Binary(bytes)) => backend.write_all(&bytes).await?,
                Some(Message::Close(_)) | None => return Ok(backend.shutdown().await?),
                Some(_) => {}
            },
            count = backend.read(&mut buffer) => match count? {
                0 => return Ok(socket.close(None).await?),
                count => socket.send(Message::Binary(Bytes::copy_from_slice(&buffer[..count]))).await?,
            },
            _ = pings.tick() => socket.send(Message::Ping(Bytes::new())).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_arrive_in_order_on_both_sides() {
        let (client, server) = tokio::io::duplex(1024);
        let (backend, mut kubelet) = tokio::io::duplex(1024);
        let server = WebSocketStream::from_raw_socket(server, Role::Server, None).await;
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        let carrying = tokio::spawn(carry(server, backend));
        for part in ["one", "two"] {
            client.send(Message::Binary(Bytes::from(part))).await.unwrap();
        }
        let mut got = [0; 6];
        kubelet.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"onetwo");
        kubelet.write_all(b"back").await.unwrap();
        let answer = loop {
            if let Message::Binary(bytes) = client.next().await.unwrap().unwrap() {
                break bytes;
            }
        };
        assert_eq!(&answer[..], b"back");
        client.close(None).await.unwrap();
        carrying.await.unwrap().unwrap();
    }
}
