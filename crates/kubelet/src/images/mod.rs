//! Images on the node: pulling by policy, with back-off, and removing unused ones.

pub mod gc;
mod puller;
mod reference;

pub use puller::{Error, Puller};
pub use reference::with_default_tag;
