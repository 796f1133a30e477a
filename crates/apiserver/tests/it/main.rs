//! The real kube-apiserver over a real etcd (Debian's `etcd-server`), everything else absent.

// Helpers outside test functions unwrap too; a panic is how a test fails.
#![allow(clippy::unwrap_used)]

mod access;
mod aggregation;
mod hook_server;
mod server;
mod several;
mod webhooks;
