//! `ctl run`: a pod from an image.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::output::outcome::Outcome;
use crate::session::Session;

/// Flags of `run`.
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// Name of the pod.
    name: String,
    /// Image of its container.
    #[arg(long, required = true)]
    image: String,
    /// Port that the container listens on.
    #[arg(long)]
    port: Option<u16>,
    /// Environment variable, as NAME=VALUE. May be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Labels; by default run=NAME.
    #[arg(long, short = 'l', value_name = "KEY=VALUE", value_delimiter = ',')]
    labels: Vec<String>,
    /// Annotation. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    annotations: Vec<String>,
    /// Always, OnFailure or Never.
    #[arg(long, default_value = "Always", value_parser = ["Always", "OnFailure", "Never"])]
    restart: String,
    /// When the image is fetched: Always, IfNotPresent or Never.
    #[arg(long)]
    image_pull_policy: Option<String>,
    /// What stands after `--` is the command, not its arguments.
    #[arg(long)]
    command: bool,
    /// Connect to the program's standard input.
    #[arg(long, short = 'i')]
    stdin: bool,
    /// Give the program a terminal.
    #[arg(long, short = 't')]
    tty: bool,
    /// Connect to the program's output.
    #[arg(long)]
    attach: bool,
    /// Delete the pod when the program has ended.
    #[arg(long)]
    rm: bool,
    /// How long the pod may take to start, when it is connected to.
    #[arg(long, default_value = "60s", value_parser = super::duration)]
    pod_running_timeout: Duration,
    #[command(flatten)]
    outcome: Outcome,
    /// Arguments of the program, after `--`.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Runs the command.
pub async fn run(session: &Session, flags: &Flags) -> Result<()> {
    let attached = flags.attach || flags.stdin;
    if flags.rm && !attached {
        return Err(Error::Usage("--rm should only be used for attached containers".into()));
    }
    if flags.tty && !flags.stdin {
        return Err(Error::Usage("-i/--stdin is required for containers with -t/--tty=true".into()));
    }
    let pod = pod(flags)?;
    if !attached || !flags.outcome.is_real() {
        return super::create::make(session, pod, &flags.outcome, "ctl-run", "created").await;
    }
    let collection = format!("/api/v1/namespaces/{}/pods", session.namespace());
    session.create(&format!("{collection}?fieldManager=ctl-run"), &pod).await?;
    let path = format!("{collection}/{}", flags.name);
    let outcome = match started(session, &path, flags.pod_running_timeout).await {
        Ok(()) => super::exec::attach_to(session, &flags.name, flags.stdin, flags.tty).await,
        Err(error) => Err(error),
    };
    if flags.rm {
        session.delete(&path, &json!({})).await?;
        println!("pod {:?} deleted from {} namespace", flags.name, session.namespace());
    }
    outcome
}

/// Waits until the container runs, or has run.
async fn started(session: &Session, path: &str, limit: Duration) -> Result<()> {
    let begun = Instant::now();
    loop {
        let pod = session.get(path).await?;
        if matches!(pod["status"]["phase"].as_str(), Some("Running" | "Succeeded" | "Failed")) {
            return Ok(());
        }
        if begun.elapsed() > limit {
            let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
            return Err(Error::Usage(format!(
                "timed out waiting for the condition: the pod does not run after {} s: {} {}",
                limit.as_secs(),
                waiting["reason"].as_str().unwrap_or("it has no node yet"),
                waiting["message"].as_str().unwrap_or_default(),
            )));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn pod(flags: &Flags) -> Result<Value> {
    let mut container = json!({"name": flags.name, "image": flags.image});
    if let Some(port) = flags.port {
        container["ports"] = json!([{"containerPort": port}]);
    }
    if let Some(policy) = &flags.image_pull_policy {
        container["imagePullPolicy"] = json!(policy);
    }
    if !flags.arguments.is_empty() {
        container[if flags.command { "command" } else { "args" }] = json!(flags.arguments);
    }
    if flags.stdin {
        container["stdin"] = json!(true);
        container["stdinOnce"] = json!(true);
    }
    if flags.tty {
        container["tty"] = json!(true);
    }
    let env: Vec<Value> = pairs(&flags.env, "env")?
        .into_iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    if !env.is_empty() {
        container["env"] = json!(env);
    }
    let mut metadata = json!({"name": flags.name, "labels": {"run": flags.name}});
    if !flags.labels.is_empty() {
        metadata["labels"] = pairs(&flags.labels, "label")?.into_iter().map(field).collect();
    }
    if !flags.annotations.is_empty() {
        metadata["annotations"] = pairs(&flags.annotations, "annotation")?.into_iter().map(field).collect();
    }
    Ok(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": {"containers": [container], "restartPolicy": flags.restart},
    }))
}

fn field((key, value): (&str, &str)) -> (String, Value) {
    (key.to_owned(), json!(value))
}

fn pairs<'a>(arguments: &'a [String], what: &str) -> Result<Vec<(&'a str, &'a str)>> {
    let pair = |argument: &'a String| {
        argument
            .split_once('=')
            .ok_or_else(|| Error::Usage(format!("invalid {what}: {argument}, expected KEY=VALUE")))
    };
    arguments.iter().map(pair).collect()
}
