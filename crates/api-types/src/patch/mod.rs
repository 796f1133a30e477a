//! The three kinds of patch: JSON Patch (RFC 6902), JSON Merge Patch (RFC 7386) and strategic merge patch.

mod json;
mod merge;
mod opened;
mod strategic;
#[cfg(test)]
mod tests;

pub use json::{json_patch, unreadable};
pub use merge::merge_patch;
pub use opened::{opened_by_json, opened_by_merge};
pub use strategic::strategic_merge;

use crate::status::ApiError;

/// The result of a patch; failures are ready to be answered.
pub type Result<T> = std::result::Result<T, ApiError>;
