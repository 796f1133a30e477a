//! The APIServices that name a service, kept by a watch and found by group and version.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use access::authz::{ObjectKey, Replica};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

use super::Remote;
use super::remote::{Identity, is_available};
use crate::outbound::Resolve;

/// The remote group versions.
pub struct Aggregator {
    remotes: ArcSwap<Vec<Arc<Remote>>>,
    by_name: Mutex<BTreeMap<String, Arc<Remote>>>,
    /// Local APIServices whose status has to be written.
    new_locals: Mutex<HashSet<String>>,
    files: Option<(PathBuf, PathBuf)>,
    identity: ArcSwap<Identity>,
    resolver: Arc<dyn Resolve>,
    changes: watch::Sender<u64>,
}

impl Aggregator {
    /// An aggregator that knows no APIService. `files` are `--proxy-client-cert-file` and `--proxy-client-key-file`.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn new(files: Option<(PathBuf, PathBuf)>, resolver: Arc<dyn Resolve>) -> std::io::Result<Self> {
        let identity = read(files.as_ref())?;
        Ok(Self {
            remotes: ArcSwap::default(),
            by_name: Mutex::default(),
            new_locals: Mutex::default(),
            files,
            identity: ArcSwap::from_pointee(identity),
            resolver,
            changes: watch::Sender::new(0),
        })
    }

    /// The remote that serves a group version.
    pub fn find(&self, group: &str, version: &str) -> Option<Arc<Remote>> {
        let remotes = self.remotes.load();
        remotes.iter().find(|remote| remote.group == group && remote.version == version).cloned()
    }

    /// The remote that serves a path below `/apis/GROUP/VERSION` (or `/api/VERSION`).
    pub fn find_path(&self, path: &str) -> Option<Arc<Remote>> {
        if self.remotes.load().is_empty() {
            return None;
        }
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        match parts.next()? {
            "apis" => self.find(parts.next()?, parts.next()?),
            "api" => self.find("", parts.next()?),
            _ => None,
        }
    }

    /// All remotes, by name.
    pub fn remotes(&self) -> Arc<Vec<Arc<Remote>>> {
        self.remotes.load_full()
    }

    /// Tells of every change of the remotes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The names of local APIServices that have come without status.
    pub fn take_new_locals(&self) -> Vec<String> {
        std::mem::take(&mut *self.new_locals.lock()).into_iter().collect()
    }

    /// Reads this server's certificate again; whether it has changed.
    ///
    /// # Errors
    /// A file cannot be read; what was used before stays.
    pub fn reload(&self) -> std::io::Result<bool> {
        let identity = read(self.files.as_ref())?;
        if **self.identity.load() == identity {
            return Ok(false);
        }
        for remote in &**self.remotes.load() {
            remote.identify(&identity, &self.resolver);
        }
        self.identity.store(Arc::new(identity));
        Ok(true)
    }

    fn publish(&self, by_name: &BTreeMap<String, Arc<Remote>>) {
        self.remotes.store(Arc::new(by_name.values().cloned().collect()));
        self.changes.send_modify(|count| *count += 1);
    }
}

fn read(files: Option<&(PathBuf, PathBuf)>) -> std::io::Result<Identity> {
    files.map(|(certificate, key)| Ok((std::fs::read(certificate)?, std::fs::read(key)?))).transpose()
}

impl Replica for Aggregator {
    fn upsert(&self, _: &str, _: &str, name: &str, json: &[u8]) -> Result<(), serde_json::Error> {
        let object: Value = serde_json::from_slice(json)?;
        let mut by_name = self.by_name.lock();
        if let Some(known) = by_name.get(name)
            && known.spec == object["spec"]
        {
            known.take_status(&object);
            return Ok(());
        }
        match Remote::read(&object, &self.identity.load(), &self.resolver) {
            Some(remote) => drop(by_name.insert(name.to_owned(), Arc::new(remote))),
            None => {
                let was_remote = by_name.remove(name).is_some();
                if is_available(&object) && !was_remote {
                    return Ok(());
                }
                self.new_locals.lock().insert(name.to_owned());
            }
        }
        self.publish(&by_name);
        Ok(())
    }

    fn remove(&self, _: &str, _: &str, name: &str) {
        let mut by_name = self.by_name.lock();
        if by_name.remove(name).is_some() {
            self.publish(&by_name);
        }
    }

    fn retain(&self, _: &str, present: &HashSet<ObjectKey>) {
        let mut by_name = self.by_name.lock();
        by_name.retain(|name, _| present.contains(&(String::new(), name.clone())));
        self.publish(&by_name);
    }
}
