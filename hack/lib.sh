# What every script of hack/ shares. Source it; it defines functions and changes to the project's root.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Where programs, state and kubeconfigs of the development cluster live.
PREFIX=/usr/local/lib/coxswain
TARGET=${CARGO_TARGET_DIR:-target}/x86_64-unknown-linux-gnu

say() { printf '\n==> %s\n' "$*"; }
die() { printf '\n%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# step NAME COMMAND...: says what begins, and how long it took when it has ended.
step() {
    local name=$1 begin=$SECONDS
    shift
    say "$name"
    "$@"
    printf '    (%s: %d s)\n' "$name" $((SECONDS - begin))
}

need_root() { [ "$(id -u)" = 0 ] || die "needs root: it makes network interfaces and mounts. Run: sudo $0 $*"; }

# packages NAME...: installs the Debian packages that are missing.
packages() {
    local missing=() name
    for name in "$@"; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "    installing: ${missing[*]}"
    local log
    log=$(mktemp)
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -20 "$log"
        die "apt-get could not install: ${missing[*]}. Is a Debian mirror reachable? The whole log: $log"
    fi
    rm -f "$log"
    # The package starts an etcd of its own, on the port of the cluster's.
    if [[ " ${missing[*]} " == *" etcd-server "* ]] && [ -d /run/systemd/system ]; then
        systemctl disable --quiet --now etcd
    fi
}

# Packages that a node needs, and those that building needs.
NODE_PACKAGES=(etcd-server containerd runc containernetworking-plugins nftables iproute2 util-linux mount busybox-static)
BUILD_PACKAGES=(gcc libc6-dev ca-certificates)

# need_cargo: the toolchain of rust-toolchain.toml, or how to get it.
need_cargo() {
    [ -x "$HOME/.cargo/bin/cargo" ] && PATH=$HOME/.cargo/bin:$PATH
    if [ -n "${SUDO_USER:-}" ] && ! command -v cargo >/dev/null; then
        PATH=$(getent passwd "$SUDO_USER" | cut -d: -f6)/.cargo/bin:$PATH
    fi
    command -v cargo >/dev/null || die "cargo is missing. Install Rust $(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml) with rustup (https://rustup.rs), then run this again."
}

# Every program that a cluster runs.
PROGRAMS=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy coxswain-dns coxswain-network ctl bootstrap pause testserver fetch)

build_programs() {
    need_cargo
    local flags=() name
    for name in "${PROGRAMS[@]}"; do flags+=(--bin "$name"); done
    cargo build --release --quiet "${flags[@]}" || die "the build failed; its output is above"
}
