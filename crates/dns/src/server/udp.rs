//! Datagrams.

use std::sync::Arc;
use std::time::Duration;

use component::CancellationToken;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;

use super::{Handler, Step, Transport};

/// Questions that may wait for resolvers at once; later ones are answered with SERVFAIL.
const WAITING: usize = 1024;

/// Answers datagrams until shutdown. What the index knows is answered right here; only what others have to be asked about gets
/// a task.
pub(super) async fn serve(handler: Arc<Handler>, socket: Arc<UdpSocket>, shutdown: CancellationToken) {
    let waiting = Arc::new(Semaphore::new(WAITING));
    let mut buffer = vec![0; 4096];
    loop {
        let received = tokio::select! {
            () = shutdown.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        let (len, from) = match received {
            Ok(received) => received,
            Err(error) => {
                // ICMP errors of earlier answers come up here; anything else would come again at once.
                tracing::debug!(%error, "cannot receive a datagram");
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
        };
        match handler.begin(&buffer[..len], from, Transport::Udp) {
            Step::Done(Some(bytes)) => send(&socket, &bytes, from).await,
            Step::Done(None) => {}
            Step::Ask(pending) => match Arc::clone(&waiting).try_acquire_owned() {
                Ok(permit) => {
                    let (handler, socket) = (Arc::clone(&handler), Arc::clone(&socket));
                    tokio::spawn(async move {
                        if let Some(bytes) = handler.finish(*pending).await {
                            send(&socket, &bytes, from).await;
                        }
                        drop(permit);
                    });
                }
                Err(_) => {
                    if let Some(bytes) = handler.overloaded(&pending) {
                        send(&socket, &bytes, from).await;
                    }
                }
            },
        }
    }
}

async fn send(socket: &UdpSocket, bytes: &[u8], to: std::net::SocketAddr) {
    if let Err(error) = socket.send_to(bytes, to).await {
        tracing::debug!(%to, %error, "cannot send an answer");
    }
}
