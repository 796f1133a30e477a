//! coxswain-network; see the library crate.

use std::process::ExitCode;

use component::Daemon;

fn main() -> ExitCode {
    component::run(
        Daemon::new("coxswain-network", "Connects the pods of this node with those of others"),
        network::run,
    )
}
