//! Where pods come from: files on this node and the API server.

pub mod api;
pub mod files;
pub mod manifest;
pub mod mirror;
