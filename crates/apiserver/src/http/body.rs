//! Request bodies read up to a limit; response bodies of shared slices.

use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};

use crate::error::{Error, Result};

/// The body of every response.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The longest request body that is read, in bytes.
pub const REQUEST_LIMIT: usize = 3 * 1024 * 1024;

/// A body that is there already.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// No body.
pub fn empty() -> Body {
    full(Bytes::new())
}

/// A body that arrives over time; each item is one frame.
pub fn stream(items: impl Stream<Item = Bytes> + Send + 'static) -> Body {
    StreamBody::new(items.map(|bytes| Ok(Frame::data(bytes)))).boxed_unsync()
}

/// Reads a request body.
///
/// # Errors
/// `RequestEntityTooLarge` above [`REQUEST_LIMIT`]; `BadRequest` when the client breaks off.
pub async fn read(mut body: Incoming) -> Result<Bytes> {
    let mut all = BytesMut::new();
    let mut first: Option<Bytes> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|err| Error::bad_request(format!("reading the request's body: {err}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if all.len() + first.as_ref().map_or(0, Bytes::len) + data.len() > REQUEST_LIMIT {
            return Err(Error::request_entity_too_large(&format!("limit is {REQUEST_LIMIT}")));
        }
        // Most bodies are one frame, which is then used as it is.
        match first.take() {
            None if all.is_empty() => first = Some(data),
            None => all.extend_from_slice(&data),
            Some(head) => {
                all.extend_from_slice(&head);
                all.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}
