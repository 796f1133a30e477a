//! Logs of containers, and commands run in them without a stream.

use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::State;
use super::answer::{Answer, streamed, text};
use super::query::Query;
use crate::cri::v1;
use crate::logs::read::{Reader, Selection};
use crate::pod::{PodExt, containers};
use crate::pod_worker::registry::Entry;

/// Chunks of a log that may wait for a slow reader.
const CHUNKS: usize = 16;

/// A pod's container in the runtime.
pub struct Found {
    /// The pod.
    pub entry: Entry,
    /// The container's identifier.
    pub id: String,
}

/// Finds a container, `previous` its attempt before. The refusal names what is missing.
pub fn find(
    state: &State,
    namespace: &str,
    pod: &str,
    container: &str,
    previous: bool,
) -> Result<Found, Box<Answer>> {
    let refuse = |status, why: String| Err(Box::new(text(status, why)));
    let Some(entry) = state.registry.find(namespace, pod) else {
        return refuse(StatusCode::NOT_FOUND, format!("pod \"{pod}\" not found\n"));
    };
    if containers::find(&entry.pod, container).is_none() {
        return refuse(
            StatusCode::NOT_FOUND,
            format!("container \"{container}\" not found in pod \"{pod}\"\n"),
        );
    }
    let status = &entry.status;
    let lists =
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    let found = lists.into_iter().flatten().flatten().find(|status| status.name == container);
    let full = format!("container \"{container}\" in pod \"{pod}\"");
    let ended = |state: &Option<api_types::k8s::api::core::v1::ContainerState>| {
        state.as_ref()?.terminated.as_ref()?.container_id.clone()
    };
    let id = if previous {
        match found.and_then(|status| ended(&status.last_state)) {
            Some(id) => id,
            None => {
                let why = format!("previous terminated {full} not found\n");
                return refuse(StatusCode::BAD_REQUEST, why);
            }
        }
    } else {
        match found.and_then(|status| status.container_id.clone().or_else(|| ended(&status.last_state))) {
            Some(id) => id,
            None => {
                let waiting = found.and_then(|status| status.state.as_ref()?.waiting.clone());
                let reason =
                    waiting.and_then(|waiting| waiting.reason).unwrap_or_else(|| "ContainerCreating".into());
                let why = match reason.as_str() {
                    "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" => {
                        format!("{full} is waiting to start: trying and failing to pull image\n")
                    }
                    other => format!("{full} is waiting to start: {other}\n"),
                };
                return refuse(StatusCode::BAD_REQUEST, why);
            }
        }
    };
    let id = id.split_once("://").map_or(id.clone(), |(_, id)| id.to_owned());
    Ok(Found { entry, id })
}

/// `/containerLogs/<namespace>/<pod>/<container>`
pub async fn logs(state: &State, namespace: &str, pod: &str, container: &str, query: &Query) -> Answer {
    let selection = match selection(query) {
        Ok(selection) => selection,
        Err(why) => return text(StatusCode::UNPROCESSABLE_ENTITY, why),
    };
    let found = match find(state, namespace, pod, container, query.flag(&["previous"])) {
        Ok(found) => found,
        Err(refusal) => return *refusal,
    };
    let request = v1::ContainerStatusRequest { container_id: found.id.clone(), verbose: false };
    let path = match state.runtime.container_status(request).await {
        Ok(answer) => PathBuf::from(answer.status.map(|status| status.log_path).unwrap_or_default()),
        Err(error) => {
            let why = format!("unable to retrieve container logs for containerd://{}: {error}\n", found.id);
            return text(StatusCode::INTERNAL_SERVER_ERROR, why);
        }
    };
    let reader = match Reader::open(&path, selection).await {
        Ok(reader) => reader,
        Err(error) => {
            let why = format!(
                "failed to open the log of container \"{container}\" in pod \"{}\", {}: {error}\n",
                found.entry.pod.display(),
                path.display()
            );
            return text(StatusCode::INTERNAL_SERVER_ERROR, why);
        }
    };
    let (chunks, receiver) = mpsc::channel(CHUNKS);
    tokio::spawn(reader.run(chunks, state.runtime.clone(), found.id));
    streamed("text/plain", receiver)
}

fn selection(query: &Query) -> Result<Selection, String> {
    let number = |key: &str| -> Result<Option<u64>, String> {
        let parse = |text: &str| text.parse().map_err(|_| format!("{key}: {text:?} is not a number\n"));
        query.get(key).map(parse).transpose()
    };
    let mut since = None;
    if let Some(seconds) = number("sinceSeconds")? {
        let back = jiff::SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        since = Timestamp::now().checked_sub(back).ok();
    } else if let Some(time) = query.get("sinceTime") {
        since = Some(time.parse().map_err(|_| format!("sinceTime: {time:?} is not an RFC 3339 time\n"))?);
    }
    Ok(Selection {
        follow: query.flag(&["follow"]),
        timestamps: query.flag(&["timestamps"]),
        tail: number("tailLines")?,
        limit: number("limitBytes")?,
        since,
        stderr: match query.get("stream") {
            Some("Stdout") => Some(false),
            Some("Stderr") => Some(true),
            _ => None,
        },
    })
}

/// `/run/<namespace>/<pod>/<container>?cmd=…`: the output of a command.
pub async fn run(state: &State, namespace: &str, pod: &str, container: &str, query: &Query) -> Answer {
    let found = match find(state, namespace, pod, container, false) {
        Ok(found) => found,
        Err(refusal) => return *refusal,
    };
    let command: Vec<String> = query.get("cmd").unwrap_or_default().split(' ').map(str::to_owned).collect();
    match state.runtime.exec_sync(&found.id, command, Duration::ZERO).await {
        Ok(answer) => {
            let mut output = answer.stdout;
            output.extend(answer.stderr);
            text(StatusCode::OK, String::from_utf8_lossy(&output).into_owned())
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
