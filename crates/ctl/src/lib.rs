//! `ctl`: the command line of a cluster.
//!
//! ```text
//! cli → verbs/<verb>.rs → target (which objects) → session (requests) → output (table, yaml, json, jsonpath)
//! ```
//!
//! It knows no kind of object by heart: what exists comes from discovery, columns come from the server's tables. Its
//! output is an interface: people's scripts read it, so a change of it is a change of the contract.

pub mod cli;
pub mod error;
pub mod manifest;
pub mod output;
pub mod resources;
pub mod session;
pub mod target;
pub mod verbs;
