//! The commands, each a list of phases that may be run again.

pub mod addons;
pub mod init;
pub mod join;
pub mod reset;
pub mod upgrade;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::failure::{Attempt, Failure, Result};
use crate::host::Host;
use crate::runtime::containerd::{self, Settings};
use crate::runtime::images::Bundle;
use crate::runtime::service::Manager;
use crate::{kernel, progress};

/// What every command that sets a node up needs to know about its host.
#[derive(Args, Clone, Debug)]
pub struct NodeFlags {
    /// Folder with the image bundle that `bootstrap images build` made.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/coxswain/images")]
    pub images: PathBuf,
    /// Address of this node; by default the one that outgoing traffic leaves from.
    #[arg(long, value_name = "IP")]
    pub node_ip: Option<IpAddr>,
    /// Turn failed preflight checks into warnings.
    #[arg(long)]
    pub ignore_preflight_errors: bool,
    /// Resolver configuration for pods with dnsPolicy Default; by default the host's.
    #[arg(long, value_name = "FILE")]
    pub resolv_conf: Option<String>,
    /// Where the node is laid out.
    #[command(flatten)]
    pub place: Place,
}

/// Where on this host a node lives.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// Folder below which all of the node's files live: for a further node on a host that already is one.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub host_prefix: PathBuf,
    /// Network namespace that the node's processes run in, for a further node on the same host. `bootstrap` itself must
    /// be started inside it: nsenter --net=PATH bootstrap ...
    #[arg(long, value_name = "PATH")]
    pub netns: Option<PathBuf>,
}

impl Place {
    /// The layout.
    pub fn host(&self) -> Host {
        Host::new(&self.host_prefix, self.netns.clone())
    }
}

/// The kubelet's program: beside this one.
fn kubelet_program() -> Result<PathBuf> {
    let own = std::env::current_exe().attempt(|| "find this program's own file")?;
    let kubelet = own.with_file_name("kubelet");
    if kubelet.exists() {
        return Ok(kubelet);
    }
    Err(Failure::new("find the kubelet", format!("there is no {}", kubelet.display()))
        .cure("put all of Coxswain's programs into one folder, for example /usr/local/bin"))
}

/// Starts the node's containerd and imports the bundle's images.
async fn start_runtime(host: &Host, services: &Manager, images: &Path) -> Result<Bundle> {
    kernel::prepare(host)?;
    let bundle = Bundle::open(images)?;
    let settings = Settings::detect(bundle.reference("pause")?);
    if settings.restrict_oom_score_adj {
        progress::note("root lacks CAP_SYS_RESOURCE here, so containers keep containerd's oom_score_adj");
    }
    let command = containerd::configure(host, &settings)?;
    services.ensure(host, "containerd", command)?;
    let socket = host.cri_socket();
    let probe = || async {
        let connected = tokio::net::UnixStream::connect(&socket).await;
        connected.map(drop).map_err(|error| format!("{}: {error}", socket.display()))
    };
    progress::wait_for("containerd's socket", Duration::from_secs(30), Duration::from_millis(100), probe)
        .await
        .map_err(|failure| {
            let log = services.log_tail(host, "containerd", 15);
            failure
                .during("start containerd")
                .evidence(&log)
                .cure(format!("mend what its log names: {}", services.log_hint(host, "containerd")))
        })?;
    bundle.import(&socket, &host.state().join("imported"))?;
    Ok(bundle)
}
