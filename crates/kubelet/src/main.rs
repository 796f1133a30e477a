//! kubelet: runs the pods of one node through CRI.

use std::process::ExitCode;

fn main() -> ExitCode {
    component::run(component::Daemon::new("kubelet", "Runs the pods of one node"), kubelet::kubelet::run)
}
