//! The version this build claims to be, in the words of `/version` and `--version`.

/// Upstream release whose API and behaviour this build offers.
pub const UPSTREAM: &str = "v1.36.2";
/// What is reported as `gitVersion` and as a node's `kubeletVersion`. Build metadata does not change semver precedence.
pub const GIT_VERSION: &str = "v1.36.2+coxswain";
/// Major version, as `/version` gives it.
pub const MAJOR: &str = "1";
/// Minor version, as `/version` gives it.
pub const MINOR: &str = "36";

/// The `User-Agent` a daemon sends, in the shape upstream uses: `name/version (os/arch) kubernetes/commit`.
pub fn user_agent(component: &str) -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{component}/{GIT_VERSION} ({}/{arch}) kubernetes/coxswain", std::env::consts::OS)
}
