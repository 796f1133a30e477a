//! kube-proxy; see the library crate.

use std::process::ExitCode;

use component::Daemon;

fn main() -> ExitCode {
    component::run(Daemon::new("kube-proxy", "Programs Services into the kernel of this node"), proxy::run)
}
