//! Custom resources: what a CustomResourceDefinition makes of this server.
//!
//! A definition becomes rows in the registry, the same that built-in resources have; from then on the one generic engine
//! serves its objects. What is here is the way from the definition to the rows, and the definition's own life: its
//! names, conditions, and the deletion of its objects.

mod cleanup;
mod conditions;
mod controller;
mod conversion;
mod definition;
mod names;
mod rows;
mod rules;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use controller::Definitions;
pub use definition::CLEANUP;
pub use rules::{Rules, validate_definition as validate_rules};

use serde_json::Value;

use crate::feeds;
use crate::registry::meta;
use crate::server::Server;

/// Writes a condition into the status of a definition.
pub fn set_condition(object: &mut Value, type_: &str, holds: bool, reason: &str, message: &str) {
    conditions::set(object, &conditions::condition(type_, holds, reason, message), &meta::now());
}

/// Starts serving what is defined.
pub fn start(server: &Arc<Server>) {
    let definitions: Arc<dyn feeds::Follower> = server.definitions.clone();
    tokio::spawn(feeds::follow(Arc::clone(server), controller::GROUP, controller::PLURAL, definitions));
    tokio::spawn(controller::run(Arc::clone(server)));
}
