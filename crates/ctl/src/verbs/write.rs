//! `ctl create -f`, `ctl apply` and `ctl replace`: verbs that take objects from files and send them.

use std::time::Duration;

use serde_json::{Value, json};

use super::delete::remove_and_wait;
use crate::error::{Error, Result, report_all};
use crate::manifest::{self, Document};
use crate::output::outcome::Outcome;
use crate::session::{PatchKind, Session, with_query};
use crate::target::{self, Files, Target};

/// What the three verbs share.
#[derive(clap::Args, Debug)]
pub struct Flags {
    #[command(flatten)]
    files: Files,
    /// How the server treats unknown fields: strict refuses them.
    #[arg(long, value_name = "strict|warn|ignore", default_value = "strict", num_args = 0..=1, default_missing_value = "strict")]
    validate: String,
    /// replace: delete and create again.
    #[arg(long)]
    force: bool,
    /// apply: let another manager keep the fields that it owns, and fail where the file says something else.
    #[arg(long)]
    server_side: bool,
    /// apply: with --server-side, take over fields that others own.
    #[arg(long)]
    force_conflicts: bool,
    #[command(flatten)]
    pub(crate) outcome: Outcome,
}

/// Which of the three verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// POST.
    Create,
    /// Server-side apply.
    Apply,
    /// PUT.
    Replace,
}

/// Runs `create`, `apply` or `replace`.
pub async fn run(session: &Session, verb: Verb, flags: &Flags) -> Result<()> {
    let documents = manifest::read_all(&flags.files)?;
    if documents.is_empty() {
        return Err(Error::Usage(if flags.files.files.is_empty() {
            "must specify one of -f and -k".into()
        } else {
            format!("no objects passed to {}", verb.name())
        }));
    }
    let mut failed = Vec::new();
    for document in documents {
        match one(session, verb, flags, &document).await {
            Ok((target, done, answer)) => flags.outcome.print(&target.resource, answer, done)?,
            Err(error) => failed.push(error),
        }
    }
    report_all(failed)
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Apply => "apply",
            Self::Replace => "replace",
        }
    }

    /// What the server remembers as the owner of the fields.
    fn manager(self) -> &'static str {
        match self {
            Self::Create => "ctl-create",
            Self::Apply => "ctl",
            Self::Replace => "ctl-replace",
        }
    }
}

impl Flags {
    fn validation(&self) -> Result<&'static str> {
        match self.validate.as_str() {
            "strict" | "true" => Ok("Strict"),
            "warn" => Ok("Warn"),
            "ignore" | "false" => Ok("Ignore"),
            other => {
                Err(Error::Usage(format!("invalid validation mode {other:?}; use strict, warn or ignore")))
            }
        }
    }
}

async fn one(
    session: &Session,
    verb: Verb,
    flags: &Flags,
    document: &Document,
) -> Result<(Target, &'static str, Value)> {
    let Document { object, origin } = document;
    let target = target::of_object(session, object).await?;
    if flags.outcome.is_client_side() {
        let mut object = object.clone();
        if let Some(namespace) = &target.namespace {
            object["metadata"]["namespace"] = json!(namespace);
        }
        let done = if verb == Verb::Replace { "replaced" } else { "created" };
        return Ok((target, done, object));
    }
    let validation = [("fieldValidation", flags.validation()?)];
    let path = |path: String| with_query(with_query(path, &flags.outcome.query(verb.manager())), &validation);
    let collection = || path(target.resource.path(target.namespace.as_deref(), None));
    let (done, answer) = match verb {
        Verb::Create => {
            let answer = session.create(&collection(), object).await;
            ("created", answer.map_err(|error| error.when("creating", origin))?)
        }
        Verb::Apply => apply(session, flags, document, &target, path(target.path())).await?,
        Verb::Replace if flags.force => {
            remove_and_wait(session, &target, Duration::from_secs(60)).await?;
            let answer = session.create(&collection(), object).await;
            ("replaced", answer.map_err(|error| error.when("creating", origin))?)
        }
        Verb::Replace => {
            let answer = session.replace(&path(target.path()), object).await;
            ("replaced", answer.map_err(|error| error.when("replacing", origin))?)
        }
    };
    Ok((target, done, answer))
}

/// Server-side apply. Like kubectl's client-side apply, it takes the fields of the file over from whoever set them last,
/// unless `--server-side` asks for conflicts to be told.
async fn apply(
    session: &Session,
    flags: &Flags,
    Document { object, origin }: &Document,
    target: &Target,
    path: String,
) -> Result<(&'static str, Value)> {
    if target.name.is_none() {
        return Err(Error::Usage(format!("error when applying {origin:?}: resource name may not be empty")));
    }
    let before = match session.get(&target.path()).await {
        Ok(before) => Some(before),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error),
    };
    let force = if flags.server_side && !flags.force_conflicts { "false" } else { "true" };
    let path = with_query(path, &[("force", force)]);
    let doing = if before.is_some() { "applying patch from" } else { "creating" };
    let answer = session.patch(&path, PatchKind::Apply, object).await;
    let answer = answer.map_err(|error| error.when(doing, origin))?;
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    let done = match before {
        _ if flags.server_side => "serverside-applied",
        None => "created",
        Some(before) if version(&before) == version(&answer) => "unchanged",
        Some(_) => "configured",
    };
    Ok((done, answer))
}
