//! `bootstrap upgrade node`: new programs and images for a node that has joined already.

use std::path::PathBuf;

use clap::Args;

use super::{Place, start_runtime};
use crate::failure::{Failure, Result};
use crate::kubelet;
use crate::progress::{self, phase};
use crate::runtime::service::Manager;

/// Flags of `bootstrap upgrade node`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// Folder with the image bundle that `bootstrap images build` made.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/coxswain/images")]
    images: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Imports what the node's containerd lacks of the bundle, and restarts the kubelet if its program is a newer one. Containers go
/// on running.
pub async fn run(flags: &Flags) -> Result<()> {
    let host = flags.place.host();
    let kubeconfig = host.kubeconfig("kubelet.conf");
    if !kubeconfig.exists() {
        return Err(Failure::new("upgrade this node", format!("there is no {}", kubeconfig.display())).cure(
            "join it first: `bootstrap token create --print-join-command` on the control plane prints how",
        ));
    }
    let services = Manager::detect(&host);
    phase("runtime", start_runtime(&host, &services, &flags.images)).await?;
    phase("kubelet", async {
        if services.refresh(&host, "kubelet")? {
            progress::note("its program is a newer one: restarted");
        }
        kubelet::wait_healthy(&host, &services).await
    })
    .await
}
