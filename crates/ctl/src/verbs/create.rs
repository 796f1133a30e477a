//! `ctl create KIND NAME`: objects made from flags. `create -f` is in [`super::write`].

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::output::outcome::Outcome;
use crate::session::{Session, with_query};
use crate::target;

/// What to make.
#[derive(clap::Subcommand, Debug)]
pub enum Kind {
    /// A namespace.
    #[command(alias = "ns")]
    Namespace {
        /// Its name.
        name: String,
    },
    /// A service account.
    #[command(alias = "sa")]
    Serviceaccount {
        /// Its name.
        name: String,
    },
    /// A Deployment.
    #[command(alias = "deploy")]
    Deployment {
        /// Its name, and the value of its `app` label.
        name: String,
        /// Image of a container. May be repeated.
        #[arg(long, required = true)]
        image: Vec<String>,
        /// Number of pods.
        #[arg(long, short = 'r', default_value_t = 1)]
        replicas: i32,
        /// Port that the containers listen on.
        #[arg(long)]
        port: Option<u16>,
        /// What to run, after `--`.
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// A ConfigMap.
    #[command(alias = "cm")]
    Configmap {
        /// Its name.
        name: String,
        /// Its data.
        #[command(flatten)]
        data: Data,
    },
    /// A Secret: `create secret generic NAME ...`.
    Secret {
        /// `generic`.
        #[arg(value_parser = ["generic"])]
        variant: String,
        /// Its name.
        name: String,
        /// Its type.
        #[arg(long = "type", default_value = "Opaque")]
        kind: String,
        /// Its data.
        #[command(flatten)]
        data: Data,
    },
    /// A token for a service account, printed.
    Token {
        /// The service account.
        name: String,
        /// How long it is to be valid.
        #[arg(long, default_value = "0s", value_parser = super::duration)]
        duration: std::time::Duration,
        /// For whom it is. May be repeated.
        #[arg(long)]
        audience: Vec<String>,
    },
}

/// Key-value data from flags.
#[derive(clap::Args, Debug)]
pub struct Data {
    /// KEY=VALUE. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    from_literal: Vec<String>,
    /// FILE, KEY=FILE or FOLDER. May be repeated.
    #[arg(long, value_name = "[KEY=]FILE")]
    from_file: Vec<String>,
    /// File of KEY=VALUE lines. May be repeated.
    #[arg(long, value_name = "FILE")]
    from_env_file: Vec<String>,
}

/// Makes it.
pub async fn run(session: &Session, kind: &Kind, outcome: &Outcome) -> Result<()> {
    if let Kind::Token { name, duration, audience } = kind {
        return token(session, name, *duration, audience).await;
    }
    let object = object(kind)?;
    make(session, object, outcome, "ctl-create", "created").await
}

/// Creates an object that a verb made itself, and tells so: `deployment.apps/web created`.
///
/// # Errors
/// When the server refuses or is not reached.
pub async fn make(
    session: &Session,
    object: Value,
    outcome: &Outcome,
    manager: &str,
    done: &str,
) -> Result<()> {
    let target = target::of_object(session, &object).await?;
    let collection =
        with_query(target.resource.path(target.namespace.as_deref(), None), &outcome.query(manager));
    let created =
        if outcome.is_client_side() { object } else { session.create(&collection, &object).await? };
    outcome.print(&target.resource, created, done)
}

fn object(kind: &Kind) -> Result<Value> {
    let simple =
        |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
    Ok(match kind {
        Kind::Namespace { name } => simple("Namespace", name),
        Kind::Serviceaccount { name } => simple("ServiceAccount", name),
        Kind::Deployment { name, image, replicas, port, command } => {
            deployment(name, image, *replicas, *port, command)
        }
        Kind::Configmap { name, data } => {
            let mut object = simple("ConfigMap", name);
            let mut texts = Map::new();
            let mut binary = Map::new();
            for (key, bytes) in data.collect()? {
                match String::from_utf8(bytes) {
                    Ok(text) => texts.insert(key, json!(text)),
                    Err(error) => binary.insert(key, json!(STANDARD.encode(error.into_bytes()))),
                };
            }
            if !texts.is_empty() {
                object["data"] = Value::Object(texts);
            }
            if !binary.is_empty() {
                object["binaryData"] = Value::Object(binary);
            }
            object
        }
        Kind::Secret { name, kind, data, .. } => {
            let mut object = simple("Secret", name);
            let encoded =
                data.collect()?.into_iter().map(|(key, bytes)| (key, json!(STANDARD.encode(bytes))));
            object["data"] = Value::Object(encoded.collect());
            object["type"] = json!(kind);
            object
        }
        Kind::Token { .. } => return Err(Error::Usage("a token is not an object".into())),
    })
}

fn deployment(name: &str, images: &[String], replicas: i32, port: Option<u16>, command: &[String]) -> Value {
    let containers: Vec<Value> = images
        .iter()
        .map(|image| {
            // `registry/busybox:1.36@sha256:…` is called `busybox`.
            let base = image.rsplit('/').next().unwrap_or(image);
            let base = base.split(['@', ':']).next().unwrap_or(base);
            let mut container = json!({"name": base, "image": image});
            if let Some(port) = port {
                container["ports"] = json!([{"containerPort": port}]);
            }
            if !command.is_empty() {
                container["command"] = json!(command);
            }
            container
        })
        .collect();
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    })
}

impl Data {
    fn collect(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut data = BTreeMap::new();
        let mut add = |key: String, value: Vec<u8>| {
            if data.insert(key.clone(), value).is_some() {
                return Err(Error::Usage(format!(
                    "cannot add key {key:?}, another key by that name already exists"
                )));
            }
            Ok(())
        };
        for literal in &self.from_literal {
            let (key, value) = literal.split_once('=').ok_or_else(|| {
                Error::Usage(format!("invalid literal source {literal}, expected key=value"))
            })?;
            add(key.to_owned(), value.as_bytes().to_vec())?;
        }
        for source in &self.from_file {
            let (key, path) = match source.split_once('=') {
                Some((key, path)) => (Some(key), path),
                None => (None, source.as_str()),
            };
            let read = |path: &std::path::Path| {
                std::fs::read(path).map_err(|source| Error::file(path.display(), source))
            };
            let path = std::path::Path::new(path);
            let base =
                |path: &std::path::Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                let entries =
                    std::fs::read_dir(path).map_err(|source| Error::file(path.display(), source))?;
                for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
                    add(base(&entry.path()), read(&entry.path())?)?;
                }
            } else {
                add(key.map_or_else(|| base(path), str::to_owned), read(path)?)?;
            }
        }
        for path in &self.from_env_file {
            let text = std::fs::read_to_string(path).map_err(|source| Error::file(path, source))?;
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
            {
                let (key, value) = line.split_once('=').unwrap_or((line, ""));
                add(key.to_owned(), value.as_bytes().to_vec())?;
            }
        }
        Ok(data)
    }
}

async fn token(
    session: &Session,
    name: &str,
    duration: std::time::Duration,
    audiences: &[String],
) -> Result<()> {
    let mut request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": audiences}});
    if !duration.is_zero() {
        request["spec"]["expirationSeconds"] = json!(duration.as_secs());
    }
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{name}/token", session.namespace());
    let answer = session.create(&path, &request).await?;
    println!("{}", answer["status"]["token"].as_str().unwrap_or_default());
    Ok(())
}
