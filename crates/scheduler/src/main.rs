//! kube-scheduler: assigns pods to nodes.

fn main() {}
