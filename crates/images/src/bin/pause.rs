//! The program of a pod's sandbox: it holds the pod's namespaces open and, when the pod shares a PID namespace, reaps
//! the orphans that are handed to it as process 1. SIGINT and SIGTERM end it.

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

fn main() -> Result<(), Errno> {
    let mut awaited = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGCHLD] {
        awaited.add(signal);
    }
    awaited.thread_block()?;
    loop {
        match awaited.wait()? {
            Signal::SIGCHLD => reap(),
            _ => return Ok(()),
        }
    }
}

/// Collects every child that has ended; one SIGCHLD may stand for several.
fn reap() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}
