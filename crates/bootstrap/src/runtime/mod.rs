//! What runs below Kubernetes on a node: containerd, and whoever keeps it and the kubelet running.

pub mod containerd;
pub mod images;
pub mod service;
pub mod supervisor;
