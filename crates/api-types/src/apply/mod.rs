//! Server-side apply and the tracking of who owns which field (KEP-555).
//!
//! ```text
//!  create, update, patch ──► FieldManager::update: compare(live, new) ──► entries of metadata.managedFields
//!  apply ──► FieldManager::apply: merge(live, config) ─► prune what the applier dropped ─► conflicts or new entries
//! ```
//!
//! Everything here is pure and generic over (Schema, Value): lists are maps, sets or atoms as the schema says. Times
//! come from the caller.

mod compare;
mod conflict;
mod managed;
mod manager;
mod merge;
mod node;
mod path;
mod prune;
mod reset;
mod scale;
mod set;
#[cfg(test)]
mod tests;
mod to_set;
mod typed;

pub use compare::{Comparison, compare};
pub use managed::{Entry, Managed, Operation};
pub use manager::{FieldManager, keep_timestamps_if_unchanged, zero_value};
pub use merge::merge;
pub use path::{PathElement, path_text};
pub use prune::remove;
pub use reset::reset_fields;
pub use scale::ScaleOwners;
pub use set::Set;
pub use to_set::field_set;
pub use typed::check;
