//! The apiserver's storage: etcd, one watch, per-resource caches, indexed watchers.
