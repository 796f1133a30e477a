//! Streams: each message behind its length (RFC 7766).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use component::CancellationToken;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{Handler, Step, Transport};

/// Connections at once; later ones wait in the kernel's backlog.
const CONNECTIONS: usize = 256;
/// How long a client may be silent, or take to read its answer.
const IDLE: Duration = Duration::from_secs(10);

/// Answers connections until shutdown.
pub(super) async fn serve(handler: Arc<Handler>, listener: TcpListener, shutdown: CancellationToken) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = accept(&listener, &permits) => accepted,
        };
        let (permit, stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (handler, shutdown) = (Arc::clone(&handler), shutdown.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                ended = converse(&handler, stream, from) => {
                    if let Err(error) = ended {
                        tracing::debug!(%from, %error, "a connection ended");
                    }
                }
            }
            drop(permit);
        });
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(tokio::sync::OwnedSemaphorePermit, TcpStream, SocketAddr)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, from) = listener.accept().await?;
    Ok((permit, stream, from))
}

async fn converse(handler: &Handler, mut stream: TcpStream, from: SocketAddr) -> io::Result<()> {
    loop {
        let read = async {
            let mut bytes = vec![0; usize::from(stream.read_u16().await?)];
            stream.read_exact(&mut bytes).await?;
            io::Result::Ok(bytes)
        };
        let bytes = match tokio::time::timeout(IDLE, read).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Ok(read) => read?,
            Err(_) => return Ok(()),
        };
        let answer = match handler.begin(&bytes, from, Transport::Tcp) {
            Step::Done(answer) => answer,
            Step::Ask(pending) => handler.finish(*pending).await,
        };
        let Some(answer) = answer else { return Ok(()) };
        let mut framed = u16::try_from(answer.len()).map_err(io::Error::other)?.to_be_bytes().to_vec();
        framed.extend_from_slice(&answer);
        tokio::time::timeout(IDLE, stream.write_all(&framed)).await??;
    }
}
