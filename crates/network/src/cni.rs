//! The CNI configuration of this node, and the plug-ins that it names.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde_json::{Value, json};

/// Plug-ins that a pod's network takes. The runtime runs `loopback` by itself.
pub const PLUGINS: [&str; 4] = ["bridge", "host-local", "loopback", "portmap"];

/// Why the configuration is not in place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A plug-in is nowhere.
    #[error("the CNI plug-ins {} are neither in {} nor in {}; install package containernetworking-plugins (Debian puts them into /usr/lib/cni), or name their directory with --cni-bin-source", names.join(", "), directory.display(), source_directory.display())]
    NoPlugin {
        /// Which.
        names: Vec<String>,
        /// Where the runtime looks.
        directory: PathBuf,
        /// Where else they were looked for.
        source_directory: PathBuf,
    },
}

/// What the configuration says.
#[derive(Clone, Debug)]
pub struct Network<'a> {
    /// Bridge of the pods.
    pub bridge: &'a str,
    /// MTU, 0 for the kernel's default.
    pub mtu: u32,
    /// Ranges of this node's pods, at most one per family.
    pub ranges: &'a [IpNet],
    /// Where host-local keeps its notes, as the host sees it.
    pub data_dir: &'a Path,
}

impl Network<'_> {
    /// The configuration list (CNI specification 1.0.0).
    ///
    /// The bridge is the pods' gateway; a pod reaches itself through a Service by hairpin mode; masquerading is not the
    /// plug-in's, which would do it with a rule per pod, but ours.
    pub fn conflist(&self) -> Value {
        let ranges: Vec<Value> =
            self.ranges.iter().map(|range| json!([{"subnet": range.to_string()}])).collect();
        let ipam =
            json!({"type": "host-local", "ranges": ranges, "dataDir": self.data_dir.display().to_string()});
        let mut bridge = json!({
            "type": "bridge",
            "bridge": self.bridge,
            "isGateway": true,
            "isDefaultGateway": true,
            "forceAddress": true,
            "hairpinMode": true,
            "ipMasq": false,
            "ipam": ipam,
        });
        if self.mtu > 0 {
            bridge["mtu"] = self.mtu.into();
        }
        let portmap = json!({"type": "portmap", "capabilities": {"portMappings": true}, "snat": true});
        json!({"cniVersion": "1.0.0", "name": "coxswain", "plugins": [bridge, portmap]})
    }

    /// Writes the configuration unless it is there already; says whether it wrote. The runtime never sees half of it.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn install(&self, directory: &Path, name: &str) -> Result<bool, Error> {
        let path = directory.join(name);
        let text = format!("{:#}\n", self.conflist());
        if std::fs::read_to_string(&path).is_ok_and(|present| present == text) {
            return Ok(false);
        }
        place(&path, text.as_bytes(), 0o644).map_err(|source| Error::Write { path, source })?;
        Ok(true)
    }
}

/// Copies the plug-ins that are missing in `directory` from `source`; gives the names of those copied.
///
/// # Errors
/// [`Error::NoPlugin`] names all that are in neither; [`Error::Write`].
pub fn install_plugins(directory: &Path, source: &Path) -> Result<Vec<&'static str>, Error> {
    let (mut copied, mut missing) = (Vec::new(), Vec::new());
    for name in PLUGINS {
        let path = directory.join(name);
        if path.exists() {
            continue;
        }
        match std::fs::read(source.join(name)) {
            Ok(bytes) => {
                place(&path, &bytes, 0o755).map_err(|source| Error::Write { path, source })?;
                copied.push(name);
            }
            Err(_) => missing.push(name.to_owned()),
        }
    }
    if missing.is_empty() {
        return Ok(copied);
    }
    Err(Error::NoPlugin {
        names: missing,
        directory: directory.to_owned(),
        source_directory: source.to_owned(),
    })
}

/// Writes a file under another name and renames it.
fn place(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let mut file = tempfile::Builder::new().prefix(".coxswain-").tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_written_once() {
        let directory = tempfile::tempdir().unwrap();
        let mut network = Network {
            bridge: "cni0",
            mtu: 0,
            ranges: &["10.244.1.0/24".parse().unwrap()],
            data_dir: Path::new("/var/lib/cni"),
        };
        assert!(network.install(directory.path(), "10-coxswain.conflist").unwrap());
        assert!(!network.install(directory.path(), "10-coxswain.conflist").unwrap());
        network.mtu = 1400;
        network.data_dir = Path::new("/var/lib/cni/a");
        assert!(network.install(directory.path(), "10-coxswain.conflist").unwrap());
        let text = std::fs::read_to_string(directory.path().join("10-coxswain.conflist")).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["plugins"][0]["ipam"]["ranges"][0][0]["subnet"], "10.244.1.0/24");
        assert_eq!(read["plugins"][0]["mtu"], 1400);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn plugins_are_copied_where_missing() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["bridge", "host-local", "loopback"] {
            std::fs::write(from.path().join(name), "theirs").unwrap();
        }
        std::fs::write(to.path().join("bridge"), "present").unwrap();
        let error = install_plugins(to.path(), from.path()).unwrap_err();
        assert!(error.to_string().contains("plug-ins portmap are neither"), "{error}");
        std::fs::write(from.path().join("portmap"), "theirs").unwrap();
        assert_eq!(install_plugins(to.path(), from.path()).unwrap(), ["portmap"]);
        assert!(install_plugins(to.path(), from.path()).unwrap().is_empty());
        assert_eq!(std::fs::read_to_string(to.path().join("bridge")).unwrap(), "present");
        let mode = std::fs::metadata(to.path().join("portmap")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }
}
