//! The cgroups in which pods run: one for all pods, one per burstable and best-effort class, one per pod.
//!
//! A cgroup is named by its path of plain words ([`Name`]); the driver decides how that becomes a directory and what the
//! runtime is told: `cgroupfs` joins the words, `systemd` makes slices (`kubepods-burstable-pod1234.slice`, systemd.slice(5)).
//! Both cgroup versions are written directly; with the systemd driver systemd adopts a slice's directory when the runtime
//! starts the first scope in it.

pub mod qos;
mod usage;
mod v1;
mod v2;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use usage::Usage;

use crate::pod::resources::{PodResources, cpu_quota, cpu_shares};
use crate::pod::{PodExt, Qos, SharedPod};

/// A cgroup as words from the root, such as `kubepods`, `burstable`, `pod1234`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(Vec<String>);

/// How names become directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// Plain directories.
    Cgroupfs,
    /// systemd slices.
    Systemd,
}

/// Values of one cgroup; `None` leaves the kernel's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// cgroup v1 `cpu.shares`; converted for v2.
    pub cpu_shares: Option<u64>,
    /// CFS quota and period in microseconds.
    pub cpu_quota: Option<(i64, u64)>,
    /// Bytes.
    pub memory: Option<i64>,
    /// Number of tasks.
    pub pids: Option<i64>,
}

/// Why a cgroup operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable hierarchy.
    #[error(
        "no cgroup hierarchy with the {controller} controller is mounted under /sys/fs/cgroup; mount cgroup v1 controllers or cgroup2"
    )]
    NotMounted {
        /// What is missing.
        controller: &'static str,
    },
    /// A file operation failed.
    #[error("{attempt} {}", path.display())]
    Io {
        /// What was tried.
        attempt: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// The node's cgroup tree below the kubelet's root.
#[derive(Debug, Clone)]
pub struct Cgroups {
    hierarchy: Hierarchy,
    driver: Driver,
    root: Name,
}

#[derive(Debug, Clone)]
enum Hierarchy {
    /// cgroup v1: every mounted hierarchy.
    V1(Vec<v1::Mount>),
    /// cgroup v2: the one mount point.
    V2(PathBuf),
}

impl Name {
    /// The words of a `/`-separated path; empty ones are dropped.
    pub fn from_path(path: &str) -> Self {
        Self(path.split('/').filter(|word| !word.is_empty()).map(str::to_owned).collect())
    }

    /// A cgroup inside this one.
    pub fn child(&self, word: impl Into<String>) -> Self {
        let mut words = self.0.clone();
        words.push(word.into());
        Self(words)
    }

    /// Directory relative to the hierarchy's mount point.
    fn directory(&self, driver: Driver) -> PathBuf {
        match driver {
            Driver::Cgroupfs => self.0.iter().collect(),
            Driver::Systemd => {
                (1..=self.0.len()).map(|depth| Self(self.0[..depth].to_vec()).slice()).collect()
            }
        }
    }

    /// The slice's unit name: words are joined by dashes, so dashes inside a word become underscores.
    fn slice(&self) -> String {
        let words: Vec<String> = self.0.iter().map(|word| word.replace('-', "_")).collect();
        if words.is_empty() { "-.slice".into() } else { format!("{}.slice", words.join("-")) }
    }
}

impl Cgroups {
    /// Finds out what is mounted. `root` is the configured `cgroupRoot`.
    pub fn detect(driver: Driver, root: &str) -> Result<Self, Error> {
        let path = Path::new("/proc/self/mountinfo");
        let mounts = fs::read_to_string(path).map_err(io_error("read", path))?;
        Self::from_mountinfo(&mounts, driver, root)
    }

    fn from_mountinfo(mounts: &str, driver: Driver, root: &str) -> Result<Self, Error> {
        let v1_mounts = v1::mounts(mounts);
        let hierarchy = if v1_mounts.iter().any(|mount| mount.has("memory")) {
            if !v1_mounts.iter().any(|mount| mount.has("cpu")) {
                return Err(Error::NotMounted { controller: "cpu" });
            }
            Hierarchy::V1(v1_mounts)
        } else {
            Hierarchy::V2(v2::mount(mounts).ok_or(Error::NotMounted { controller: "memory" })?)
        };
        Ok(Self { hierarchy, driver, root: Name::from_path(root) })
    }

    /// How names become directories.
    pub fn driver(&self) -> Driver {
        self.driver
    }

    /// 1 or 2.
    pub fn version(&self) -> u8 {
        match self.hierarchy {
            Hierarchy::V1(_) => 1,
            Hierarchy::V2(_) => 2,
        }
    }

    /// The cgroup of all pods.
    pub fn pods(&self) -> Name {
        self.root.child("kubepods")
    }

    /// The cgroup of a QoS class; guaranteed pods are directly below [`Self::pods`].
    pub fn class(&self, qos: Qos) -> Name {
        match qos {
            Qos::Guaranteed => self.pods(),
            Qos::Burstable => self.pods().child("burstable"),
            Qos::BestEffort => self.pods().child("besteffort"),
        }
    }

    /// A pod's cgroup.
    pub fn pod(&self, qos: Qos, uid: &str) -> Name {
        self.class(qos).child(format!("pod{uid}"))
    }

    /// What the runtime is told as a sandbox's cgroup parent.
    pub fn parent(&self, name: &Name) -> String {
        match self.driver {
            Driver::Cgroupfs => format!("/{}", name.directory(Driver::Cgroupfs).display()),
            Driver::Systemd => name.slice(),
        }
    }

    /// Creates a cgroup in every hierarchy, or finds it, and sets its values.
    pub fn ensure(&self, name: &Name, limits: &Limits) -> Result<(), Error> {
        let directory = name.directory(self.driver);
        match &self.hierarchy {
            Hierarchy::V1(mounts) => v1::ensure(mounts, &directory, limits),
            Hierarchy::V2(mount) => v2::ensure(mount, &directory, limits),
        }
    }

    /// Removes a cgroup and what is below it. Fails while processes are in it.
    pub fn remove(&self, name: &Name) -> Result<(), Error> {
        self.directories(name).iter().try_for_each(|directory| remove_tree(directory))
    }

    /// UIDs of pods that have a cgroup, with their class.
    pub fn existing_pods(&self) -> Vec<(Qos, String)> {
        let mut found = Vec::new();
        for qos in [Qos::Guaranteed, Qos::Burstable, Qos::BestEffort] {
            let class = self.class(qos);
            for directory in self.directories(&class) {
                for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                    let file = entry.file_name();
                    let Some(uid) = self.uid_of(&class, &file.to_string_lossy()) else { continue };
                    if !found.contains(&(qos, uid.clone())) {
                        found.push((qos, uid));
                    }
                }
            }
        }
        found
    }

    /// CPU and memory used by a cgroup.
    pub fn usage(&self, name: &Name) -> Usage {
        let directory = name.directory(self.driver);
        match &self.hierarchy {
            Hierarchy::V1(mounts) => v1::usage(mounts, &directory),
            Hierarchy::V2(mount) => v2::usage(&mount.join(directory)),
        }
    }

    /// CPU and memory used by the whole node.
    pub fn node_usage(&self) -> Usage {
        match &self.hierarchy {
            Hierarchy::V1(mounts) => v1::usage(mounts, Path::new("")),
            Hierarchy::V2(_) => usage::node(),
        }
    }

    fn directories(&self, name: &Name) -> Vec<PathBuf> {
        let directory = name.directory(self.driver);
        match &self.hierarchy {
            Hierarchy::V1(mounts) => mounts.iter().map(|mount| mount.point.join(&directory)).collect(),
            Hierarchy::V2(mount) => vec![mount.join(directory)],
        }
    }

    fn uid_of(&self, class: &Name, file: &str) -> Option<String> {
        match self.driver {
            Driver::Cgroupfs => file.strip_prefix("pod").map(str::to_owned),
            Driver::Systemd => {
                let prefix = class.slice().replace(".slice", "-pod");
                Some(file.strip_prefix(&prefix)?.strip_suffix(".slice")?.replace('_', "-"))
            }
        }
    }
}

/// Values of a pod's cgroup. `cfs_period` in microseconds, `None` with cpuCFSQuota off; `pids` from podPidsLimit.
pub fn pod_limits(resources: &PodResources, cfs_period: Option<u64>, pids: Option<i64>) -> Limits {
    Limits {
        cpu_shares: Some(cpu_shares(resources.requests.milli_cpu)),
        cpu_quota: resources
            .limit_milli_cpu
            .zip(cfs_period)
            .map(|(cpu, period)| (cpu_quota(cpu, period), period)),
        memory: resources.limit_memory,
        pids,
    }
}

/// CPU shares of the burstable class: what its pods ask for together.
pub fn burstable_shares(pods: &[SharedPod]) -> u64 {
    let burstable = pods.iter().filter(|pod| pod.qos() == Qos::Burstable);
    cpu_shares(burstable.map(|pod| crate::pod::resources::pod_request(pod, "cpu")).sum())
}

fn remove_tree(directory: &Path) -> Result<(), Error> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_tree(&entry.path())?;
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove cgroup", directory)(error))
        }
        _ => Ok(()),
    }
}

fn io_error(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Io { attempt, path, source }
}

fn write(path: &Path, value: &str) -> Result<(), Error> {
    fs::write(path, value).map_err(io_error("write", path))
}

#[cfg(test)]
mod tests;
