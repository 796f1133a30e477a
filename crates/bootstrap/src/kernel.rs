//! Kernel modules that pods need, loaded now and at every boot (modules-load.d(5)).

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::failure::{Failure, Result};
use crate::files::{self, Mode};
use crate::host::Host;
use crate::progress;

/// A module, and how to see that the kernel has what it brings, built in or loaded.
struct Module {
    name: &'static str,
    purpose: &'static str,
    present: fn() -> bool,
}

const MODULES: [Module; 2] = [
    Module {
        name: "overlay",
        purpose: "images are mounted with it",
        present: || fs::read_to_string("/proc/filesystems").is_ok_and(|list| list.contains("\toverlay\n")),
    },
    Module {
        name: "br_netfilter",
        purpose: "without it Services are not reached from pods of the same node",
        present: || Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables").exists(),
    },
];

/// Makes sure that the kernel has them.
///
/// # Errors
/// When a module cannot be loaded.
pub fn prepare(host: &Host) -> Result<()> {
    let missing: Vec<&Module> = MODULES.iter().filter(|module| !(module.present)()).collect();
    for module in &missing {
        progress::note(format!("loading the kernel module {}: {}", module.name, module.purpose));
        load(module)?;
    }
    if !missing.is_empty() {
        let names: Vec<&str> = MODULES.iter().map(|module| module.name).collect();
        files::write(&host.modules_at_boot(), format!("{}\n", names.join("\n")), Mode::Public)?;
    }
    Ok(())
}

fn load(module: &Module) -> Result<()> {
    let failed = |cause: String| {
        Failure::new(format!("load the kernel module {} ({})", module.name, module.purpose), cause).cure(
            "install the modules of the running kernel (Debian: linux-image-amd64 and a reboot), or in a container \
             load them on its host",
        )
    };
    let output =
        Command::new("modprobe").arg(module.name).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() && (module.present)() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
