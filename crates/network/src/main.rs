//! Pod network: CNI configuration and routes between nodes.

fn main() {}
