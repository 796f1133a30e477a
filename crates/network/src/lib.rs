//! Pod network: CNI configuration and routes between nodes.
