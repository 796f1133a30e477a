//! The node itself: what it has, how it is, and how the API learns of it.

pub mod machine;
pub mod preflight;
pub mod runtime_state;
