//! The node itself: what it has, how it is, and how the API learns of it.

pub mod credentials;
pub mod lease;
pub mod machine;
pub mod preflight;
pub mod registration;
pub mod runtime_check;
pub mod runtime_state;
pub mod status;
