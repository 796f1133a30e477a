//! `persistentvolume-binder-controller`: brings claims and volumes together, and gives volumes back when their claim goes.
//!
//! A binding is complete when the volume's `claimRef` and the claim's `volumeName` point at each other. It is written in four
//! steps (volume, its status, claim, its status), each of which can be the last before a crash: whoever looks next goes on.
//! Volumes that a provisioner outside makes are only asked for, through annotations on the claim.

mod bind;
mod claim;
mod controller;
mod volume;

#[cfg(test)]
mod tests;

use client::events::Kind;

pub(crate) use controller::run;

/// Something to tell the user about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Note {
    kind: Kind,
    reason: &'static str,
    message: String,
}

impl Note {
    fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind: Kind::Normal, reason, message: message.into() }
    }

    fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind: Kind::Warning, reason, message: message.into() }
    }
}
