//! The Common Expression Language as the Kubernetes API has it.
//!
//! ```text
//!  text ──parse──► tree ──check against an Environment──► Program ──evaluate over Variables, with a Meter──► Value
//!                                                            └──estimate over Sizes──► Estimate
//! ```
//!
//! The grammar is the `cel` crate's. Checking and evaluation are ours, for the API's clients read their outcome: unknown
//! fields are compile errors, types come from schemas, every step costs what upstream says it costs, and errors are
//! worded as upstream words them.
//!
//! An evaluation ends: it does nothing asynchronous, its depth is bounded, and its [`Meter`] stops it.
//!
//! This crate knows what a request looks like to an expression ([`admission`]) and nothing else of requests, policies or
//! custom resources; authorization is asked through
//! [`Authorizer`].

pub mod admission;
mod ast;
mod check;
mod cost;
mod environment;
mod error;
mod estimate;
mod eval;
mod library;
mod meter;
mod parse;
mod program;
mod shape;
mod signature;
mod ty;
mod value;

pub use environment::Environment;
pub use error::{CompileError, Error, Issue};
pub use estimate::{Estimate, Sizes};
pub use library::{AccessCheck, Authorizer, AuthorizerDecision, Opaque};
pub use meter::{
    CALL_LIMIT, MATCH_CONDITIONS_BUDGET, Meter, REQUEST_BUDGET, RULE_ESTIMATE_LIMIT, SCHEMA_ESTIMATE_LIMIT,
};
pub use program::{Program, Variables};
pub use shape::{escape as escape_field, max_size};
pub use ty::{Object, Type};
pub use value::{Fields, Key, List, Map, Text, Value};

#[cfg(test)]
mod tests;
