//! kube-apiserver: the Kubernetes API over HTTPS, backed by etcd.

use std::process::ExitCode;

use component::Daemon;

fn main() -> ExitCode {
    component::run(Daemon::new("kube-apiserver", "Serves the Kubernetes API"), apiserver::server::run)
}
