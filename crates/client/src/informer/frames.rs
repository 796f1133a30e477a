//! The lines of a watch response.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::{Client, Error};

use crate::fetch;

/// An open watch; each frame is one JSON event without its line end.
pub(super) struct Frames {
    body: Body,
    buffer: BytesMut,
    /// How much of `buffer` holds no line end.
    searched: usize,
}

impl Frames {
    /// Sends the request; an answer other than 2xx becomes [`Error::Api`].
    pub(super) async fn open(client: &Client, request: http::Request<Vec<u8>>) -> Result<Self, Error> {
        let body = fetch::open(client, request).await?.into_body();
        Ok(Self { body, buffer: BytesMut::new(), searched: 0 })
    }

    /// The next event; `None` when the server has ended the stream. A stream that breaks in the middle ends too:
    /// whatever was cut off is sent again when the watch resumes.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let mut line = self.buffer.split_to(self.searched + at + 1);
                line.truncate(line.len() - 1);
                self.searched = 0;
                if line.is_empty() {
                    continue;
                }
                return Some(Ok(line.freeze()));
            }
            self.searched = self.buffer.len();
            match self.body.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "watch stream broke off");
                    return None;
                }
            }
        }
    }
}
