//! kube-scheduler: assigns pods to nodes.
