//! `ctl`: the command line of a cluster.
//!
//! ```text
//! cli → verbs/<verb>.rs → target (which objects) → session (requests) → output (table, yaml, json, jsonpath)
//! ```
//!
//! It knows no kind of object by heart: what exists comes from discovery, columns come from the server's tables. Its
//! output is an interface: people's scripts read it, so a change of it is a change of the contract.

pub mod cache;
pub mod cli;
pub mod error;
pub mod kubeconfig;
pub mod manifest;
pub mod output;
pub mod resources;
pub mod session;
pub mod target;
pub mod unreachable;
pub mod verbs;

/// Lets the process end silently when the reader of its output goes away (`ctl get pods | head -1`), as every Unix filter
/// does; Rust's runtime would make it a panic. Sockets are not affected: the standard library writes to them with
/// MSG_NOSIGNAL.
#[allow(unsafe_code)]
pub fn end_on_broken_pipe() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: setting the default action installs no handler, so nothing runs in signal context.
    let outcome = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    if let Err(error) = outcome {
        eprintln!("cannot restore the default action of SIGPIPE: {error}");
    }
}
