//! `kube-controller-manager`: see the library for what it does.

use component::Daemon;

fn main() -> std::process::ExitCode {
    component::run(
        Daemon::new(
            "kube-controller-manager",
            "Runs the controllers that bring a cluster to its declared state",
        ),
        controller_manager::manager::start,
    )
}
