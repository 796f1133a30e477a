//! Responses.

use bytes::Bytes;
use futures::StreamExt;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// What every handler returns.
pub type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// A plain text.
pub fn text(status: StatusCode, text: impl Into<String>) -> Answer {
    let mut answer = boxed(Response::new(Full::from(text.into())));
    *answer.status_mut() = status;
    set_type(&mut answer, "text/plain; charset=utf-8");
    answer
}

/// A JSON document.
pub fn json_answer(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(bytes) => {
            let mut answer = boxed(Response::new(Full::from(bytes)));
            set_type(&mut answer, "application/json");
            answer
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// A body that is written while it is read; it ends when the sender is dropped.
pub fn streamed(content_type: &'static str, chunks: mpsc::Receiver<Bytes>) -> Answer {
    let frames = ReceiverStream::new(chunks).map(|chunk| Ok::<_, BoxError>(Frame::data(chunk)));
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    set_type(&mut answer, content_type);
    answer
}

/// Any response in the common type.
pub fn boxed<B>(response: Response<B>) -> Answer
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    response.map(|body| body.map_err(Into::into).boxed_unsync())
}

/// An answer without a body.
pub fn empty() -> Answer {
    boxed(Response::new(Full::<Bytes>::default()))
}

/// Sets the content type.
pub fn set_type(answer: &mut Answer, content_type: &'static str) {
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
}
