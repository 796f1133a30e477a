//! The real kube-apiserver over a real etcd (Debian's `etcd-server`), everything else absent.

mod access;
mod aggregation;
mod hook_server;
mod server;
mod webhooks;
