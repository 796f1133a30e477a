//! What several controllers share: pods, ownership, conditions, hashes, address ranges.

pub mod cidr;
pub mod claim;
pub mod hash;
pub mod history;
pub mod pods;
pub mod scheduling;
pub mod selector;
pub mod service;
pub mod slices;
