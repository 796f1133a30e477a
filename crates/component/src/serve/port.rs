//! The listening socket, and who holds a port that is taken.

use std::net::SocketAddr;
use std::path::Path;

use tokio::net::{TcpListener, TcpSocket};

use super::{Config, Error};

pub(super) fn listen(config: &Config) -> Result<TcpListener, Error> {
    let address = config.address;
    let bound = (|| {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        if config.reuse_port {
            socket.set_reuseport(true)?;
        }
        socket.bind(address)?;
        socket.listen(1024)
    })();
    bound.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => Error::PortInUse { address, holder: holder(address) },
        _ => Error::Listen { address, source },
    })
}

/// The process listening on the port, as far as /proc lets us see.
fn holder(address: SocketAddr) -> String {
    find(address.port()).unwrap_or_else(|| "another process".to_owned())
}

fn find(port: u16) -> Option<String> {
    let inodes: Vec<String> =
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().flat_map(|table| inodes(table, port)).collect();
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let pid = process.file_name().to_string_lossy().into_owned();
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        for file in files.flatten() {
            let Ok(target) = std::fs::read_link(file.path()) else { continue };
            let target = target.to_string_lossy();
            if inodes.iter().any(|inode| *target == format!("socket:[{inode}]")) {
                return Some(format!("process {pid} ({})", name(&process.path())));
            }
        }
    }
    None
}

/// Inodes of sockets that listen (state 0A) on `port`; columns as in proc_net_tcp(5).
fn inodes(table: &str, port: u16) -> Vec<String> {
    let text = std::fs::read_to_string(table).unwrap_or_default();
    let suffix = format!(":{port:04X}");
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            (columns.get(1)?.ends_with(&suffix) && *columns.get(3)? == "0A")
                .then(|| columns.get(9).map(|s| (*s).to_owned()))?
        })
        .collect()
}

fn name(process: &Path) -> String {
    std::fs::read_to_string(process.join("comm"))
        .map(|text| text.trim().to_owned())
        .unwrap_or_else(|_| "?".to_owned())
}
