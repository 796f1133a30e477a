//! HTTP as the handlers see it: bodies, queries, media types, responses.

pub mod body;
mod list;
pub mod media;
pub mod pretty;
pub mod query;
pub mod render;
pub mod respond;
pub mod watch;
