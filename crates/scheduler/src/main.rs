//! `kube-scheduler`: see the library for what it does.

use component::Daemon;

fn main() -> std::process::ExitCode {
    component::run(Daemon::new("kube-scheduler", "Assigns pods to nodes"), scheduler::start)
}
