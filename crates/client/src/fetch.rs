//! Requests whose answers stay bytes, so that sending them is compiled once and not once per type.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::BodyExt;
use kube::client::Body;
use kube::core::Status;
use kube::{Client, Error};

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Sends a request; an answer other than 2xx becomes [`Error::Api`].
pub(crate) fn open(client: &Client, request: http::Request<Vec<u8>>) -> Answer<'_, http::Response<Body>> {
    Box::pin(async move {
        let response = client.send(request.map(Body::from)).await?;
        let code = response.status();
        if code.is_success() {
            return Ok(response);
        }
        let bytes = response.into_body().collect().await?.to_bytes();
        let status = serde_json::from_slice(&bytes).unwrap_or_else(|_| {
            let mut status =
                Status::failure(&String::from_utf8_lossy(&bytes), code.canonical_reason().unwrap_or(""));
            status.code = code.as_u16();
            status
        });
        Err(Error::Api(Box::new(status)))
    })
}

/// Sends a request and waits for the whole answer.
pub(crate) fn body(client: &Client, request: http::Request<Vec<u8>>) -> Answer<'_, Bytes> {
    Box::pin(async move { Ok(open(client, request).await?.into_body().collect().await?.to_bytes()) })
}
