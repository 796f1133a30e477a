//! The real kube-apiserver over a real etcd (Debian's `etcd-server`), everything else absent.

mod hook_server;
mod server;
mod webhooks;
