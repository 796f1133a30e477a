//! Security contexts of sandboxes and containers.

use std::path::Path;

use api_types::k8s::api::core::v1::{Container, Pod, SeccompProfile};

use super::PodExt;
use crate::cri::v1;
use v1::NamespaceMode;
use v1::security_profile::ProfileType;

/// Parts of /proc that a container does not see (what container runtimes hide by default).
const MASKED: [&str; 10] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
];
/// As above, outside /proc.
const MASKED_SYS: [&str; 2] = ["/sys/firmware", "/sys/devices/virtual/powercap"];
/// Parts of /proc that a container may only read.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Why a security context cannot be honoured. Shown to users as CreateContainerConfigError.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// runAsNonRoot with user 0.
    #[error("container's runAsUser breaks non-root policy (pod: \"{pod}\", container: {container})")]
    RunsAsRoot {
        /// namespace/name.
        pod: String,
        /// Container name.
        container: String,
    },
    /// runAsNonRoot and the image says root.
    #[error("container has runAsNonRoot and image will run as root (pod: \"{pod}\", container: {container})")]
    ImageRunsAsRoot {
        /// namespace/name.
        pod: String,
        /// Container name.
        container: String,
    },
    /// runAsNonRoot and the image has a user name.
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root (pod: \"{pod}\", container: {container})"
    )]
    NamedUser {
        /// namespace/name.
        pod: String,
        /// Container name.
        container: String,
        /// The image's user.
        user: String,
    },
}

/// Namespaces that a pod's sandbox and containers use.
pub fn namespaces(pod: &Pod) -> v1::NamespaceOption {
    let spec = pod.spec();
    let node_or = |host: Option<bool>, other: NamespaceMode| {
        if host == Some(true) { NamespaceMode::Node as i32 } else { other as i32 }
    };
    let shared = spec.share_process_namespace == Some(true);
    v1::NamespaceOption {
        network: node_or(spec.host_network, NamespaceMode::Pod),
        ipc: node_or(spec.host_ipc, NamespaceMode::Pod),
        pid: node_or(spec.host_pid, if shared { NamespaceMode::Pod } else { NamespaceMode::Container }),
        ..Default::default()
    }
}

/// The sandbox's security context.
pub fn sandbox(pod: &Pod, seccomp_root: &Path) -> v1::LinuxSandboxSecurityContext {
    let context = pod.spec().security_context.clone().unwrap_or_default();
    v1::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod)),
        run_as_user: context.run_as_user.map(|value| v1::Int64Value { value }),
        run_as_group: context
            .run_as_group
            .filter(|_| context.run_as_user.is_some())
            .map(|value| v1::Int64Value { value }),
        supplemental_groups: groups(pod),
        privileged: super::containers::all(pod).iter().any(|(_, container)| privileged(container)),
        // The sandbox runs nothing of the user's, so it gets the runtime's profile unless the pod says otherwise.
        seccomp: Some(match &context.seccomp_profile {
            Some(profile) => seccomp(Some(profile), seccomp_root, false),
            None => profile(ProfileType::RuntimeDefault, String::new()),
        }),
        selinux_options: context.se_linux_options.map(selinux),
        ..Default::default()
    }
}

/// A container's security context.
pub fn container(
    pod: &Pod,
    container: &Container,
    target: Option<String>,
    seccomp_root: &Path,
    seccomp_default: bool,
) -> v1::LinuxContainerSecurityContext {
    let of_pod = pod.spec().security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let privileged = own.privileged == Some(true);
    let mut namespaces = namespaces(pod);
    if let Some(target) = target {
        namespaces.pid = NamespaceMode::Target as i32;
        namespaces.target_id = target;
    }
    let unmasked = own.proc_mount.as_deref() == Some("Unmasked") || privileged;
    let masked = MASKED.iter().chain(&MASKED_SYS).map(|path| (*path).to_owned());
    let capabilities = own.capabilities.unwrap_or_default();
    let seccomp_profile = own.seccomp_profile.or(of_pod.seccomp_profile);
    v1::LinuxContainerSecurityContext {
        capabilities: Some(v1::Capability {
            add_capabilities: capabilities.add.unwrap_or_default(),
            drop_capabilities: capabilities.drop.unwrap_or_default(),
            ..Default::default()
        }),
        privileged,
        namespace_options: Some(namespaces),
        selinux_options: own.se_linux_options.or(of_pod.se_linux_options).map(selinux),
        run_as_user: own.run_as_user.or(of_pod.run_as_user).map(|value| v1::Int64Value { value }),
        run_as_group: own.run_as_group.or(of_pod.run_as_group).map(|value| v1::Int64Value { value }),
        readonly_rootfs: own.read_only_root_filesystem == Some(true),
        supplemental_groups: groups(pod),
        supplemental_groups_policy: match of_pod.supplemental_groups_policy.as_deref() {
            Some("Strict") => v1::SupplementalGroupsPolicy::Strict as i32,
            _ => v1::SupplementalGroupsPolicy::Merge as i32,
        },
        no_new_privs: own.allow_privilege_escalation == Some(false),
        masked_paths: if unmasked { Vec::new() } else { masked.collect() },
        readonly_paths: if unmasked { Vec::new() } else { READ_ONLY.map(str::to_owned).to_vec() },
        seccomp: (!privileged).then(|| seccomp(seccomp_profile.as_ref(), seccomp_root, seccomp_default)),
        apparmor: own.app_armor_profile.or(of_pod.app_armor_profile).map(|apparmor| {
            match apparmor.type_.as_str() {
                "Localhost" => {
                    profile(ProfileType::Localhost, apparmor.localhost_profile.unwrap_or_default())
                }
                "Unconfined" => profile(ProfileType::Unconfined, String::new()),
                _ => profile(ProfileType::RuntimeDefault, String::new()),
            }
        }),
        ..Default::default()
    }
}

/// Checks runAsNonRoot; `image` gives the image's own user.
pub fn verify_non_root(pod: &Pod, container: &Container, image: &v1::Image) -> Result<(), Error> {
    let of_pod = pod.spec().security_context.as_ref();
    let own = container.security_context.as_ref();
    let required =
        own.and_then(|own| own.run_as_non_root).or(of_pod.and_then(|context| context.run_as_non_root));
    if required != Some(true) {
        return Ok(());
    }
    let (pod_name, name) = (pod.display(), container.name.clone());
    let user = own.and_then(|own| own.run_as_user).or(of_pod.and_then(|context| context.run_as_user));
    match (user, &image.uid) {
        (Some(0), _) => Err(Error::RunsAsRoot { pod: pod_name, container: name }),
        (Some(_), _) => Ok(()),
        (None, Some(uid)) if uid.value == 0 => Err(Error::ImageRunsAsRoot { pod: pod_name, container: name }),
        (None, Some(_)) => Ok(()),
        (None, None) if image.username.is_empty() || image.username == "root" => {
            Err(Error::ImageRunsAsRoot { pod: pod_name, container: name })
        }
        (None, None) => {
            Err(Error::NamedUser { pod: pod_name, container: name, user: image.username.clone() })
        }
    }
}

fn privileged(container: &Container) -> bool {
    container.security_context.as_ref().and_then(|context| context.privileged) == Some(true)
}

fn groups(pod: &Pod) -> Vec<i64> {
    let Some(context) = &pod.spec().security_context else { return Vec::new() };
    let mut groups: Vec<i64> = context.supplemental_groups.clone().unwrap_or_default();
    groups.extend(context.fs_group);
    groups
}

fn seccomp(wanted: Option<&SeccompProfile>, root: &Path, default: bool) -> v1::SecurityProfile {
    match wanted.map(|wanted| wanted.type_.as_str()) {
        Some("RuntimeDefault") => profile(ProfileType::RuntimeDefault, String::new()),
        Some("Localhost") => {
            let file = wanted.and_then(|wanted| wanted.localhost_profile.clone()).unwrap_or_default();
            profile(ProfileType::Localhost, root.join(file).display().to_string())
        }
        None if default => profile(ProfileType::RuntimeDefault, String::new()),
        _ => profile(ProfileType::Unconfined, String::new()),
    }
}

fn profile(kind: ProfileType, localhost_ref: String) -> v1::SecurityProfile {
    v1::SecurityProfile { profile_type: kind as i32, localhost_ref }
}

fn selinux(options: api_types::k8s::api::core::v1::SELinuxOptions) -> v1::SeLinuxOption {
    v1::SeLinuxOption {
        user: options.user.unwrap_or_default(),
        role: options.role.unwrap_or_default(),
        r#type: options.type_.unwrap_or_default(),
        level: options.level.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_settings_win() {
        let pod: Pod = serde_yaml::from_str(
            "spec: {hostPID: true, securityContext: {runAsUser: 1, fsGroup: 7, seccompProfile: {type: RuntimeDefault}},
  containers: [{name: a, securityContext: {runAsUser: 2, allowPrivilegeEscalation: false}}, {name: b, securityContext: {privileged: true}}]}",
        )
        .unwrap();
        let a = container(&pod, &pod.spec().containers[0], None, Path::new("/s"), false);
        assert_eq!(
            (a.run_as_user.map(|user| user.value), a.supplemental_groups.as_slice()),
            (Some(2), [7].as_slice())
        );
        assert!(a.no_new_privs && !a.masked_paths.is_empty());
        assert_eq!(a.namespace_options.map(|options| options.pid), Some(NamespaceMode::Node as i32));
        let b = container(&pod, &pod.spec().containers[1], None, Path::new("/s"), false);
        assert!(b.privileged && b.masked_paths.is_empty() && b.seccomp.is_none());
        assert!(sandbox(&pod, Path::new("/s")).privileged);
    }

    #[test]
    fn non_root_is_verified_against_the_image() {
        let pod: Pod = serde_yaml::from_str(
            "{metadata: {name: p}, spec: {containers: [{name: a, securityContext: {runAsNonRoot: true}}]}}",
        )
        .unwrap();
        let check = |uid: Option<i64>, username: &str| {
            let image = v1::Image {
                uid: uid.map(|value| v1::Int64Value { value }),
                username: username.into(),
                ..Default::default()
            };
            verify_non_root(&pod, &pod.spec().containers[0], &image)
        };
        assert!(check(Some(1000), "").is_ok());
        assert!(matches!(check(Some(0), ""), Err(Error::ImageRunsAsRoot { .. })));
        assert!(matches!(check(None, "web"), Err(Error::NamedUser { .. })));
    }
}
