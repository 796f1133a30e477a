//! A private etcd and kube-apiserver, for as long as the value lives.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Both processes, started by `hack/run-apiserver`.
pub struct Server {
    script: Child,
    url: String,
    kubeconfig: String,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts them and waits until the apiserver is ready.
    pub fn start() -> Self {
        let binary = apiserver();
        let folder = tempfile::tempdir().unwrap();
        let (port, etcd_port) = (free_port(), free_port());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hack/run-apiserver");
        let mut script = Command::new(script)
            .args(["--port", &port.to_string(), "--etcd-port", &etcd_port.to_string()])
            .arg("--dir")
            .arg(folder.path())
            .arg("--binary")
            .arg(&binary)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(script.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        if !ready.starts_with("ready:") {
            let mut why = String::new();
            script.stderr.take().unwrap().read_to_string(&mut why).unwrap();
            panic!("{} does not start:\n{why}", binary.display());
        }
        let kubeconfig = std::fs::read_to_string(folder.path().join("kubeconfig")).unwrap();
        Self { script, url: format!("https://127.0.0.1:{port}"), kubeconfig, _folder: folder }
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("https://")
    }

    /// Writes a kubeconfig for the administrator, whose commands are about `namespace`.
    pub fn write_kubeconfig(&self, path: &Path, namespace: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let context = format!("user: admin, namespace: {namespace}");
        std::fs::write(path, self.kubeconfig.replace("user: admin}", &format!("{context}}}"))).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The script ends both processes when it is told to end.
        let pid = Pid::from_raw(i32::try_from(self.script.id()).unwrap());
        kill(pid, Signal::SIGTERM).ok();
        self.script.wait().ok();
    }
}

/// In the folder of $COXSWAIN_BIN, else beside the ctl under test.
fn apiserver() -> PathBuf {
    let folder = std::env::var_os("COXSWAIN_BIN").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_BIN_EXE_ctl")).parent().unwrap().to_owned());
    let binary = folder.join("kube-apiserver");
    assert!(
        binary.is_file(),
        "{} is missing: 'cargo build -p apiserver' makes it, or set COXSWAIN_BIN to the folder that has it",
        binary.display()
    );
    binary
}

/// A port that is free, and the next one too: etcd takes two.
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}
