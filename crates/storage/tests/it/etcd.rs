//! One etcd for one test.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running etcd; killed with the test.
pub struct Etcd {
    directory: TempDir,
    client: u16,
    peer: u16,
    secure: bool,
    process: Child,
}

impl Etcd {
    /// Starts an etcd with an empty database, and returns without waiting for it.
    pub fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), false)
    }

    /// Starts an etcd that speaks TLS only and wants client certificates. `ca.crt`, `server.crt` and `server.key` are in
    /// the directory.
    pub fn start_secure(directory: TempDir) -> Self {
        Self::start_in(directory, true)
    }

    fn start_in(directory: TempDir, secure: bool) -> Self {
        let (client, peer) = (free_port(), free_port());
        let process = spawn(&directory, client, peer, secure);
        Self { directory, client, peer, secure, process }
    }

    /// A file in its directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where clients reach it.
    pub fn endpoint(&self) -> String {
        url(self.client, self.secure)
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again over the same data.
    pub fn restart(&mut self) {
        self.process = spawn(&self.directory, self.client, self.peer, self.secure);
    }

    /// Starts it again where its clients do not look; returns the port that they know.
    pub fn restart_elsewhere(&mut self) -> u16 {
        let known = std::mem::replace(&mut self.client, free_port());
        self.restart();
        known
    }

    /// Starts it again at a port.
    pub fn restart_at(&mut self, port: u16) {
        self.client = port;
        self.restart();
    }

    /// Throws the data away, as a restore of an empty backup would.
    pub fn wipe(&self) {
        std::fs::remove_dir_all(self.directory.path().join("data")).unwrap();
    }

    /// A client beside the storage.
    pub async fn client(&self) -> etcd_client::KvClient {
        let started = Instant::now();
        loop {
            let client = etcd_client::Client::connect([self.endpoint()], None).await.unwrap();
            let mut kv = client.kv_client();
            match kv.get("x", None).await {
                Ok(_) => return kv,
                Err(error) => {
                    assert!(started.elapsed() < Duration::from_secs(30), "etcd does not start: {error}")
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // Gone already in tests that kill it.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn spawn(directory: &TempDir, client: u16, peer: u16, secure: bool) -> Child {
    let (client, peer) = (url(client, secure), url(peer, false));
    let file = |name: &str| directory.path().join(name);
    let log = std::fs::File::options().create(true).append(true).open(file("log")).unwrap();
    let mut command = Command::new("etcd");
    command
        .args(["--name", "test", "--data-dir"])
        .arg(file("data"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args([
            "--initial-cluster",
            &format!("test={peer}"),
            "--heartbeat-interval",
            "20",
            "--election-timeout",
            "100",
        ]);
    if secure {
        command.arg("--trusted-ca-file").arg(file("ca.crt")).arg("--client-cert-auth");
        command.arg("--cert-file").arg(file("server.crt")).arg("--key-file").arg(file("server.key"));
    }
    command.stdout(Stdio::null()).stderr(log).spawn().expect("etcd starts (package etcd-server)")
}

fn url(port: u16, secure: bool) -> String {
    format!("{}://127.0.0.1:{port}", if secure { "https" } else { "http" })
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
