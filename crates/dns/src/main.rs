//! coxswain-dns; see the library crate.

use std::process::ExitCode;

use component::Daemon;

fn main() -> ExitCode {
    component::run(Daemon::new("coxswain-dns", "Answers DNS questions about Services and pods"), dns::run)
}
