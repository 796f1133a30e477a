//! Step: what the runtime is told about a container.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use api_types::k8s::api::core::v1::{Container, Pod};

use super::Settings;
use crate::api::Objects;
use crate::cri::{labels, v1};
use crate::host::Host;
use crate::paths::Paths;
use crate::pod::env::{self, Inputs, Reference};
use crate::pod::{PodExt, expand, resources, security};
use crate::volumes::{self, Mounted};

/// Builds container configurations.
pub struct Builder {
    pub(super) objects: Arc<dyn Objects>,
    pub(super) host: Arc<Host>,
    pub(super) paths: Arc<Paths>,
    pub(super) settings: Arc<Settings>,
}

/// What a container is built from.
pub struct Job<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container in it.
    pub container: &'a Container,
    /// How many attempts came before.
    pub attempt: u32,
    /// The pod's addresses.
    pub ips: &'a [String],
    /// The pod's volumes.
    pub volumes: &'a Mounted,
    /// For an ephemeral container: the container whose processes it shall see.
    pub target: Option<String>,
}

/// Why a container cannot be configured. Shown to users as CreateContainerConfigError.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment.
    #[error(transparent)]
    Environment(#[from] env::Error),
    /// An object of the environment cannot be read.
    #[error(transparent)]
    Api(#[from] crate::api::Error),
    /// The services are not known yet, so their variables cannot be set.
    #[error("services have not yet been read at least once, cannot construct envvars")]
    ServicesUnknown,
    /// The security context.
    #[error(transparent)]
    Security(#[from] security::Error),
    /// The mounts.
    #[error(transparent)]
    Volume(#[from] volumes::Error),
    /// The termination message file.
    #[error("create termination message file {path}: {source}")]
    TerminationLog {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl Builder {
    /// The configuration of one attempt of a container from `image`.
    pub async fn build(&self, job: &Job<'_>, image: &v1::Image) -> Result<v1::ContainerConfig, Error> {
        let Job { pod, container, attempt, .. } = *job;
        security::verify_non_root(pod, container, image)?;
        let environment = self.environment(job).await?;
        let mut mounts = volumes::container_mounts(&self.paths, pod, container, job.volumes, &environment)?;
        self.add_own_mounts(pod, container, &mut mounts)?;
        let lookup =
            |name: &str| environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let expanded = |words: &Option<Vec<String>>| -> Vec<String> {
            words.iter().flatten().map(|word| expand::expand(word, lookup)).collect()
        };
        let memory = self.host.memory();
        let linux = v1::LinuxContainerConfig {
            resources: Some(resources::container_resources(pod, container, memory, self.settings.cfs_period)),
            security_context: Some(security::container(
                pod,
                container,
                job.target.clone(),
                &self.paths.seccomp(),
                self.settings.seccomp_default,
            )),
        };
        Ok(v1::ContainerConfig {
            metadata: Some(v1::ContainerMetadata { name: container.name.clone(), attempt }),
            image: Some(v1::ImageSpec {
                image: image.id.clone(),
                user_specified_image: container.image.clone().unwrap_or_default(),
                ..Default::default()
            }),
            command: expanded(&container.command),
            args: expanded(&container.args),
            working_dir: container.working_dir.clone().unwrap_or_default(),
            envs: environment
                .iter()
                .map(|(key, value)| v1::KeyValue { key: key.clone(), value: value.clone().into_bytes() })
                .collect(),
            mounts,
            labels: labels::container_labels(pod, &container.name),
            annotations: labels::container_annotations(pod, container, attempt),
            log_path: Paths::log_file(&container.name, attempt),
            stdin: container.stdin == Some(true),
            stdin_once: container.stdin_once == Some(true),
            tty: container.tty == Some(true),
            linux: Some(linux),
            ..Default::default()
        })
    }

    async fn environment(&self, job: &Job<'_>) -> Result<Vec<(String, String)>, Error> {
        let pod = job.pod;
        if !self.objects.services_known() && !pod.is_static() {
            return Err(Error::ServicesUnknown);
        }
        let services = self.objects.services();
        let mut inputs = Inputs {
            services: env::service_variables(pod, services.iter().map(Arc::as_ref)),
            runtime: self.host.facts(pod.host_network(), job.ips),
            ..Inputs::default()
        };
        for reference in env::references(job.container) {
            match reference {
                Reference::ConfigMap(name) => {
                    if let Some(map) = self.objects.config_map(pod.namespace(), &name).await? {
                        inputs.config_maps.insert(name, map);
                    }
                }
                Reference::Secret(name) => {
                    if let Some(secret) = self.objects.secret(pod.namespace(), &name).await? {
                        inputs.secrets.insert(name, secret);
                    }
                }
            }
        }
        Ok(env::build(pod, job.container, &inputs)?)
    }

    /// /etc/hosts and the termination message, unless the user has mounted something there.
    fn add_own_mounts(
        &self,
        pod: &Pod,
        container: &Container,
        mounts: &mut Vec<v1::Mount>,
    ) -> Result<(), Error> {
        let mut add = |container_path: &str, host_path: String| {
            if !mounts.iter().any(|mount| mount.container_path.trim_end_matches('/') == container_path) {
                let container_path = container_path.to_owned();
                mounts.push(v1::Mount { container_path, host_path, ..Default::default() });
            }
        };
        let hosts = self.paths.hosts(pod.uid());
        if hosts.exists() {
            add("/etc/hosts", hosts.display().to_string());
        }
        let message = container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
        if !message.is_empty() {
            let directory = self.paths.container(pod.uid(), &container.name);
            let path = directory.join(format!("{:08x}", rand::random::<u32>()));
            let failed = |source| Error::TerminationLog { path: path.display().to_string(), source };
            fs::create_dir_all(&directory).map_err(failed)?;
            File::create(&path).map_err(failed)?;
            // Every user that the container may run as must be able to write.
            fs::set_permissions(&path, Permissions::from_mode(0o666)).map_err(failed)?;
            add(message, path.display().to_string());
        }
        Ok(())
    }
}
