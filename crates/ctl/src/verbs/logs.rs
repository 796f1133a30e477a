//! `ctl logs`.

use futures::io::AsyncReadExt;
use serde_json::Value;
use std::io::Write;

use crate::error::{Error, Result};
use crate::session::{Session, with_query};
use crate::target::{self, Selection, Target};

/// Flags of `logs`.
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// POD or TYPE/NAME, then optionally the container
    arguments: Vec<String>,
    /// The container, when the pod has several.
    #[arg(long, short = 'c', default_value = "")]
    container: String,
    /// Go on with what is written from now on.
    #[arg(long, short = 'f')]
    follow: bool,
    /// Logs of the container's last run before this one.
    #[arg(long, short = 'p')]
    previous: bool,
    /// Show each line's time.
    #[arg(long)]
    timestamps: bool,
    /// Only the last lines; -1 for all.
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    tail: i64,
    /// Only lines newer than this.
    #[arg(long, value_parser = super::duration)]
    since: Option<std::time::Duration>,
    /// Pods with these labels.
    #[arg(long, short = 'l', default_value = "")]
    selector: String,
    /// Logs of all containers.
    #[arg(long)]
    all_containers: bool,
    /// Begin each line with the pod and the container.
    #[arg(long)]
    prefix: bool,
}

/// Runs the command.
pub async fn run(session: &Session, flags: &Flags) -> Result<()> {
    let (pods, container) = pods(session, flags).await?;
    let mut streams = Vec::new();
    for pod in &pods {
        for container in containers(flags, pod, &container)? {
            streams.push(stream(session, flags, pod, container));
        }
    }
    if flags.follow {
        futures::future::try_join_all(streams).await.map(drop)
    } else {
        for stream in streams {
            stream.await?;
        }
        Ok(())
    }
}

async fn pods(session: &Session, flags: &Flags) -> Result<(Vec<Value>, String)> {
    let resource = session.resources().await?.find("pods")?.clone();
    let namespace = Some(session.namespace().to_owned());
    if !flags.selector.is_empty() {
        let collection = Target { resource, name: None, namespace };
        let selection = Selection { selector: flags.selector.clone(), ..Selection::default() };
        let found = target::list(session, &collection, &selection).await?;
        if found.is_empty() {
            return Err(Error::Usage(format!(
                "no pod in namespace {} has the labels {}",
                session.namespace(),
                flags.selector
            )));
        }
        return Ok((found.into_iter().map(|(_, pod)| pod).collect(), flags.container.clone()));
    }
    let (name, container) = match flags.arguments.as_slice() {
        [name] => (name, flags.container.clone()),
        [name, container] => (name, container.clone()),
        _ => {
            return Err(Error::Usage(
                "'logs (POD | TYPE/NAME) [CONTAINER_NAME]' expects one or two arguments".into(),
            ));
        }
    };
    Ok((vec![pod_of(session, name).await?], container))
}

/// The pod that `POD` or `TYPE/NAME` means; of a workload, the first of its pods that runs.
///
/// # Errors
/// When there is none.
pub async fn pod_of(session: &Session, name: &str) -> Result<Value> {
    let resources = session.resources().await?;
    let pods = resources.find("pods")?;
    let Some((kind, name)) = name.split_once('/') else { return session.object(pods, name).await };
    let resource = resources.find(kind)?;
    let object = session.object(resource, name).await?;
    if resource.kind == "Pod" {
        return Ok(object);
    }
    let selector = &object["spec"]["selector"];
    let labels = selector.get("matchLabels").unwrap_or(selector);
    let selector = super::get::labels(labels);
    if selector == "<none>" {
        return Err(Error::Usage(format!("{}/{name} selects no pods", resource.label())));
    }
    let collection =
        Target { resource: pods.clone(), name: None, namespace: Some(session.namespace().to_owned()) };
    let found =
        target::list(session, &collection, &Selection { selector: selector.clone(), ..Selection::default() })
            .await?;
    let mut found: Vec<Value> = found.into_iter().map(|(_, pod)| pod).collect();
    found.sort_by_key(|pod| pod["status"]["phase"] != "Running");
    found.into_iter().next().ok_or_else(|| {
        Error::Usage(format!("{}/{name} has no pods now (labels {selector})", resource.label()))
    })
}

fn containers(flags: &Flags, pod: &Value, container: &str) -> Result<Vec<String>> {
    let names = |field: &str| {
        let list = pod["spec"][field].as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|container| container["name"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    if flags.all_containers {
        return Ok(names("initContainers").into_iter().chain(names("containers")).collect());
    }
    if !container.is_empty() {
        return Ok(vec![container.to_owned()]);
    }
    let main = names("containers");
    let annotated = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str();
    if let Some(name) = annotated {
        return Ok(vec![name.to_owned()]);
    }
    if main.len() > 1 {
        eprintln!("Defaulted container {:?} out of: {}", main[0], main.join(", "));
    }
    Ok(main.into_iter().take(1).collect())
}

async fn stream(session: &Session, flags: &Flags, pod: &Value, container: String) -> Result<()> {
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
    let flag = |set: bool| if set { "true" } else { "" };
    let tail = if flags.tail >= 0 { flags.tail.to_string() } else { String::new() };
    let since = flags.since.map_or_else(String::new, |since| since.as_secs().to_string());
    let path = with_query(
        format!("/api/v1/namespaces/{}/pods/{}/log", text("namespace"), text("name")),
        &[
            ("container", &container),
            ("follow", flag(flags.follow)),
            ("previous", flag(flags.previous)),
            ("timestamps", flag(flags.timestamps)),
            ("tailLines", &tail),
            ("sinceSeconds", &since),
        ],
    );
    let request = http::Request::get(&path).body(Vec::new());
    let request =
        request.map_err(|error| session.failure("read the log", client::kube::Error::HttpError(error)))?;
    let mut stream = session
        .client()
        .request_stream(request)
        .await
        .map_err(|error| session.failure("read the log", error))?;
    let prefix = if flags.prefix { format!("[pod/{}/{container}] ", text("name")) } else { String::new() };
    copy(&mut stream, &prefix).await.map_err(|source| Error::Io { attempted: "read the log", source })
}

/// Copies a stream to standard output as it comes, each line behind `prefix`.
async fn copy(stream: &mut (impl futures::io::AsyncRead + Unpin), prefix: &str) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    let mut line_start = true;
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        if prefix.is_empty() {
            out.write_all(&buffer[..count])?;
        } else {
            for piece in buffer[..count].split_inclusive(|byte| *byte == b'\n') {
                if line_start {
                    out.write_all(prefix.as_bytes())?;
                }
                out.write_all(piece)?;
                line_start = piece.ends_with(b"\n");
            }
        }
        out.flush()?;
    }
}
