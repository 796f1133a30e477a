//! Kubernetes client: connection set-up, shared informers, work queue, events, leader election.
