//! Who sent the request.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use access::UserInfo;
use access::authn;
use component::serve::Peer as Connection;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::access_metrics;
use crate::error::Error;
use crate::server::Server;

/// Connections remembered at once; beyond this the memory starts anew.
const REMEMBERED: usize = 8192;

/// The client certificates of open connections: a chain is verified once per connection, not per request.
#[derive(Default)]
pub struct Peers(Mutex<HashMap<usize, Known>>);

/// Keeping the chain keeps its address, which is the key, from being used again.
struct Known {
    _chain: Arc<[rustls::pki_types::CertificateDer<'static>]>,
    peer: Arc<authn::Peer>,
}

impl Peers {
    fn of(&self, connection: &Connection) -> Option<Arc<authn::Peer>> {
        let chain = &connection.certificates;
        if chain.is_empty() {
            return None;
        }
        let key = Arc::as_ptr(chain).cast::<u8>() as usize;
        let mut known = self.0.lock();
        if let Some(found) = known.get(&key) {
            return Some(Arc::clone(&found.peer));
        }
        if known.len() >= REMEMBERED {
            known.clear();
        }
        let peer = Arc::new(authn::Peer::new(chain)?);
        known.insert(key, Known { _chain: Arc::clone(chain), peer: Arc::clone(&peer) });
        Some(peer)
    }
}

/// Finds the user, and removes what proved it from the headers.
pub(super) async fn authenticate(
    server: &Server,
    parts: &mut http::request::Parts,
) -> Result<UserInfo, Error> {
    let peer = parts.extensions.get::<Connection>().and_then(|connection| server.peers.of(connection));
    let began = Instant::now();
    let (headers, path) = (&parts.headers, parts.uri.path());
    let found = server.authenticator.authenticate(peer.as_deref(), headers, path, Timestamp::now()).await;
    access_metrics::authenticated(found.as_ref().ok().map(|identity| &identity.user), began.elapsed());
    match found {
        Ok(identity) => {
            server.authenticator.strip_credentials(&mut parts.headers);
            Ok(identity.user)
        }
        Err(why) => {
            tracing::debug!(path = parts.uri.path(), %why, "unauthenticated");
            Err(Error::unauthorized("Unauthorized"))
        }
    }
}
