//! HTTP as the handlers see it: bodies, queries, media types, responses.

pub mod body;
pub mod media;
pub mod query;
pub mod respond;
pub mod watch;
