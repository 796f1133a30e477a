//! Cluster DNS.

fn main() {}
