//! The gRPC client of the container runtime.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use super::v1;
use v1::image_service_client::ImageServiceClient;
use v1::runtime_service_client::RuntimeServiceClient;

/// Speaks CRI v1 to one runtime over its unix socket. Cheap to clone; reconnects by itself.
#[derive(Clone)]
pub struct Runtime {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
    endpoint: Arc<str>,
    /// Limit of an ordinary call (`runtimeRequestTimeout`). Pulls, events and stops have their own.
    timeout: Duration,
}

/// Why a call to the runtime failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configured endpoint is not a unix socket.
    #[error(
        "container runtime endpoint {endpoint:?} is not a unix socket; use unix:///path/to/socket in --container-runtime-endpoint"
    )]
    Endpoint {
        /// As configured.
        endpoint: String,
    },
    /// The runtime cannot be reached: not running, or another socket.
    #[error(
        "CRI {call}: cannot reach the container runtime at {endpoint}: {message}; is it running, and is --container-runtime-endpoint right?"
    )]
    Unreachable {
        /// The CRI call.
        call: &'static str,
        /// The socket.
        endpoint: Arc<str>,
        /// What the transport said.
        message: String,
    },
    /// The runtime answered with an error.
    #[error("CRI {call}: {message}")]
    Call {
        /// The CRI call.
        call: &'static str,
        /// gRPC status code.
        code: Code,
        /// The runtime's own words.
        message: String,
    },
    /// The runtime did not answer in time.
    #[error("CRI {call}: no answer within {} s; the runtime may be stuck (see its log)", after.as_secs())]
    Timeout {
        /// The CRI call.
        call: &'static str,
        /// The limit.
        after: Duration,
    },
}

impl Error {
    /// Whether the object is simply not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Call { code: Code::NotFound, .. })
    }

    /// Whether the runtime does not know the call.
    pub fn is_unimplemented(&self) -> bool {
        matches!(self, Self::Call { code: Code::Unimplemented, .. })
    }

    /// The runtime's own words, without our context.
    pub fn message(&self) -> String {
        match self {
            Self::Call { message, .. } => message.clone(),
            other => other.to_string(),
        }
    }
}

/// Calls of one shape: send a request, take one field of the answer.
macro_rules! calls {
    ($($(#[$doc:meta])* $client:ident.$method:ident as $name:literal, $request:ident -> $response:ident;)*) => {
        impl Runtime {
            $($(#[$doc])*
            pub async fn $method(&self, request: v1::$request) -> Result<v1::$response, Error> {
                self.limited($name, self.timeout, self.$client.clone().$method(request)).await
            })*
        }
    };
}

calls! {
    /// The runtime's name and version.
    runtime.version as "Version", VersionRequest -> VersionResponse;
    /// Runtime and network readiness.
    runtime.status as "Status", StatusRequest -> StatusResponse;
    /// One sandbox with its addresses.
    runtime.pod_sandbox_status as "PodSandboxStatus", PodSandboxStatusRequest -> PodSandboxStatusResponse;
    /// Ends a sandbox's processes and its network.
    runtime.stop_pod_sandbox as "StopPodSandbox", StopPodSandboxRequest -> StopPodSandboxResponse;
    /// Deletes a sandbox and what is in it.
    runtime.remove_pod_sandbox as "RemovePodSandbox", RemovePodSandboxRequest -> RemovePodSandboxResponse;
    /// Creates a container in a sandbox.
    runtime.create_container as "CreateContainer", CreateContainerRequest -> CreateContainerResponse;
    /// Starts a created container.
    runtime.start_container as "StartContainer", StartContainerRequest -> StartContainerResponse;
    /// Deletes a stopped container.
    runtime.remove_container as "RemoveContainer", RemoveContainerRequest -> RemoveContainerResponse;
    /// One container in full.
    runtime.container_status as "ContainerStatus", ContainerStatusRequest -> ContainerStatusResponse;
    /// Changes a running container's limits.
    runtime.update_container_resources as "UpdateContainerResources",
        UpdateContainerResourcesRequest -> UpdateContainerResourcesResponse;
    /// Makes the runtime open the log file anew after a rotation.
    runtime.reopen_container_log as "ReopenContainerLog", ReopenContainerLogRequest -> ReopenContainerLogResponse;
    /// Where to stream a command's input and output.
    runtime.exec as "Exec", ExecRequest -> ExecResponse;
    /// Where to stream the main process's input and output.
    runtime.attach as "Attach", AttachRequest -> AttachResponse;
    /// Where to stream ports.
    runtime.port_forward as "PortForward", PortForwardRequest -> PortForwardResponse;
    /// CPU, memory and disk of containers.
    runtime.list_container_stats as "ListContainerStats", ListContainerStatsRequest -> ListContainerStatsResponse;
    /// The cgroup driver that the runtime uses (containerd 2, CRI-O).
    runtime.runtime_config as "RuntimeConfig", RuntimeConfigRequest -> RuntimeConfigResponse;
    /// Tells the runtime the node's pod range.
    runtime.update_runtime_config as "UpdateRuntimeConfig", UpdateRuntimeConfigRequest -> UpdateRuntimeConfigResponse;
    /// One image, if present.
    images.image_status as "ImageStatus", ImageStatusRequest -> ImageStatusResponse;
    /// All images.
    images.list_images as "ListImages", ListImagesRequest -> ListImagesResponse;
    /// Deletes an image.
    images.remove_image as "RemoveImage", RemoveImageRequest -> RemoveImageResponse;
    /// Disk use of the image store.
    images.image_fs_info as "ImageFsInfo", ImageFsInfoRequest -> ImageFsInfoResponse;
}

impl Runtime {
    /// A client of the runtime at `endpoint` (`unix:///…` or a plain path). Connects with the first call.
    pub fn new(endpoint: &str, timeout: Duration) -> Result<Self, Error> {
        let path = match endpoint.strip_prefix("unix://") {
            Some(path) if path.starts_with('/') => PathBuf::from(path),
            None if endpoint.starts_with('/') => PathBuf::from(endpoint),
            _ => return Err(Error::Endpoint { endpoint: endpoint.into() }),
        };
        let connect = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        // The authority is never resolved: the connector above ignores it.
        let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(connect);
        let limit = 64 << 20;
        Ok(Self {
            runtime: RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(limit),
            images: ImageServiceClient::new(channel).max_decoding_message_size(limit),
            endpoint: endpoint.into(),
            timeout,
        })
    }

    /// The endpoint, for messages.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Sandboxes; of one pod when `uid` is given.
    pub async fn list_sandboxes(&self, uid: Option<&str>) -> Result<Vec<v1::PodSandbox>, Error> {
        let filter = v1::PodSandboxFilter { label_selector: uid_selector(uid), ..Default::default() };
        let request = v1::ListPodSandboxRequest { filter: Some(filter) };
        let call = self.runtime.clone();
        let mut call = call;
        Ok(self.limited("ListPodSandbox", self.timeout, call.list_pod_sandbox(request)).await?.items)
    }

    /// Containers, running or not; of one pod when `uid` is given.
    pub async fn list_containers(&self, uid: Option<&str>) -> Result<Vec<v1::Container>, Error> {
        let filter = v1::ContainerFilter { label_selector: uid_selector(uid), ..Default::default() };
        let request = v1::ListContainersRequest { filter: Some(filter) };
        let mut call = self.runtime.clone();
        Ok(self.limited("ListContainers", self.timeout, call.list_containers(request)).await?.containers)
    }

    /// Creates and starts a sandbox. Network set-up may be slow, so the limit is at least four minutes.
    pub async fn run_pod_sandbox(
        &self,
        config: v1::PodSandboxConfig,
        handler: &str,
    ) -> Result<String, Error> {
        let request = v1::RunPodSandboxRequest { config: Some(config), runtime_handler: handler.into() };
        let limit = self.timeout.max(Duration::from_secs(240));
        let mut call = self.runtime.clone();
        Ok(self.limited("RunPodSandbox", limit, call.run_pod_sandbox(request)).await?.pod_sandbox_id)
    }

    /// Stops a container: its stop signal, then SIGKILL after `grace`.
    pub async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), Error> {
        let timeout = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        let request = v1::StopContainerRequest { container_id: id.into(), timeout };
        let mut call = self.runtime.clone();
        self.limited("StopContainer", grace + self.timeout, call.stop_container(request)).await.map(drop)
    }

    /// Runs a command in a container and waits for its end. `limit` zero means none.
    pub async fn exec_sync(
        &self,
        id: &str,
        command: Vec<String>,
        limit: Duration,
    ) -> Result<v1::ExecSyncResponse, Error> {
        let timeout = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        let request = v1::ExecSyncRequest { container_id: id.into(), cmd: command, timeout };
        let wait = if limit.is_zero() { Duration::from_secs(24 * 3600) } else { limit + self.timeout };
        let mut call = self.runtime.clone();
        self.limited("ExecSync", wait, call.exec_sync(request)).await
    }

    /// Pulls an image; returns the reference by which it is known on this node. Has no time limit of its own: the
    /// caller gives up when the pod goes away.
    pub async fn pull_image(&self, request: v1::PullImageRequest) -> Result<String, Error> {
        let mut call = self.images.clone();
        let answer = call.pull_image(request).await.map_err(|status| self.error("PullImage", status))?;
        Ok(answer.into_inner().image_ref)
    }

    /// Container events as the runtime sends them. Fails with "unimplemented" on runtimes without events.
    pub async fn container_events(&self) -> Result<tonic::Streaming<v1::ContainerEventResponse>, Error> {
        let mut call = self.runtime.clone();
        let answer = call.get_container_events(Request::new(v1::GetEventsRequest {})).await;
        answer.map(Response::into_inner).map_err(|status| self.error("GetContainerEvents", status))
    }

    async fn limited<T>(
        &self,
        call: &'static str,
        limit: Duration,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.error(call, status)),
            Err(_) => Err(Error::Timeout { call, after: limit }),
        }
    }

    fn error(&self, call: &'static str, status: Status) -> Error {
        // Only the transport sets a source; an answer of the runtime never has one.
        match std::error::Error::source(&status) {
            Some(source) if status.code() != Code::NotFound => {
                let mut cause = source;
                while let Some(deeper) = cause.source() {
                    cause = deeper;
                }
                Error::Unreachable { call, endpoint: self.endpoint.clone(), message: cause.to_string() }
            }
            _ => Error::Call { call, code: status.code(), message: status.message().to_owned() },
        }
    }
}

fn uid_selector(uid: Option<&str>) -> HashMap<String, String> {
    uid.map(|uid| (super::labels::POD_UID.to_owned(), uid.to_owned())).into_iter().collect()
}
