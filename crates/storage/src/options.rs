//! How to reach etcd, and how to behave there.

use std::path::PathBuf;
use std::time::Duration;

/// Settings of a [`crate::Store`], one per etcd cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// `scheme://host:port` of each member (`--etcd-servers`).
    pub endpoints: Vec<String>,
    /// CA bundle that signed the members' certificates (`--etcd-cafile`). Without it the platform's roots are used.
    pub ca_file: Option<PathBuf>,
    /// Our client certificate (`--etcd-certfile`).
    pub cert_file: Option<PathBuf>,
    /// The key of our client certificate (`--etcd-keyfile`).
    pub key_file: Option<PathBuf>,
    /// Everything we store lies under this prefix (`--etcd-prefix`).
    pub prefix: String,
    /// How often history is compacted (`--etcd-compaction-interval`); zero leaves that to others.
    pub compaction_interval: Duration,
    /// How long a read waits for a revision before it fails with [`crate::Error::TooLargeRevision`].
    pub freshness_timeout: Duration,
    /// How long one request to etcd may take.
    pub request_timeout: Duration,
    /// How often an idle watch that asked for bookmarks gets one.
    pub bookmark_interval: Duration,
    /// How long recent events and list snapshots are kept, memory permitting.
    pub history_window: Duration,
    /// Upper bound of the bytes of superseded objects that the history of one resource may hold.
    pub history_bytes: usize,
    /// How many events a watcher may lag behind before it is ended.
    pub watch_queue: usize,
    /// How long one lease collects new keys with a time to live (`--lease-reuse-duration-seconds`).
    pub lease_reuse: Duration,
    /// How many keys one lease may collect.
    pub lease_keys: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            endpoints: vec!["http://127.0.0.1:2379".to_owned()],
            ca_file: None,
            cert_file: None,
            key_file: None,
            prefix: "/registry".to_owned(),
            compaction_interval: Duration::from_secs(300),
            freshness_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(30),
            bookmark_interval: Duration::from_secs(60),
            history_window: Duration::from_secs(75),
            history_bytes: 16 << 20,
            watch_queue: 4096,
            lease_reuse: Duration::from_secs(60),
            lease_keys: 1000,
        }
    }
}
