//! `create`, `apply`, `replace`, `patch` and `delete`: verbs that take objects from files and send them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::manifest;
use crate::output::Format;
use crate::session::{PatchKind, Session, with_query};
use crate::target::{self, Files, Selection, Target};

/// What `create`, `apply` and `replace` share.
#[derive(clap::Args, Debug)]
pub struct Flags {
    #[command(flatten)]
    files: Files,
    /// Print the result: yaml, json, name, jsonpath=...
    #[arg(long, short = 'o', value_name = "FORMAT")]
    output: Option<String>,
    /// `server`: check everything, store nothing.
    #[arg(long, value_name = "none|server", default_value = "none")]
    dry_run: String,
    /// How the server treats unknown fields.
    #[arg(long, value_name = "strict|warn|ignore", default_value = "strict")]
    validate: String,
    /// apply: take over fields that others own. replace: delete and create again.
    #[arg(long)]
    force: bool,
    /// The name that the server remembers these fields' owner by.
    #[arg(long, default_value = "ctl")]
    field_manager: String,
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
    let objects = manifest::read_all(&flags.files)?;
    if objects.is_empty() {
        return Err(Error::Usage("must specify one of -f and -k: nothing to read objects from".into()));
    }
    let mut failed = Vec::new();
    for object in objects {
        match one(session, verb, flags, object).await {
            Ok((target, outcome, answer)) => print_outcome(flags, &target, outcome, answer)?,
            Err(error) => failed.push(error),
        }
    }
    several(failed)
}

/// Prints all failures; the command fails with the only one, or with their number.
fn several(mut failed: Vec<Error>) -> Result<()> {
    match failed.len() {
        0 => Ok(()),
        1 => Err(failed.remove(0)),
        count => {
            for error in failed {
                eprintln!("{error}");
            }
            Err(Error::Several(count))
        }
    }
}

fn print_outcome(flags: &Flags, target: &Target, outcome: &str, mut answer: Value) -> Result<()> {
    match Format::parse(flags.output.as_deref())? {
        Format::Table { .. } => {
            let suffix = if flags.dry_run == "none" { "" } else { " (server dry run)" };
            println!("{} {outcome}{suffix}", target.resource.describe(&answer));
        }
        format => {
            super::get::hide_managed_fields(&mut answer);
            print!("{}", format.render(&[(answer, target.resource.clone())], false)?);
        }
    }
    Ok(())
}

async fn one(
    session: &Session,
    verb: Verb,
    flags: &Flags,
    object: Value,
) -> Result<(Target, &'static str, Value)> {
    let target = target::of_object(session, &object).await?;
    let validation = match flags.validate.as_str() {
        "strict" | "true" => "Strict",
        "warn" => "Warn",
        "ignore" | "false" => "Ignore",
        other => {
            return Err(Error::Usage(format!("--validate={other}: allowed are strict, warn and ignore")));
        }
    };
    let dry_run = match flags.dry_run.as_str() {
        "none" => "",
        "server" => "All",
        other => return Err(Error::Usage(format!("--dry-run={other}: allowed are none and server"))),
    };
    let query = |force: &str| {
        [
            ("fieldManager", flags.field_manager.clone()),
            ("fieldValidation", validation.into()),
            ("dryRun", dry_run.into()),
            ("force", force.into()),
        ]
    };
    let with = |path: String, force: &str| {
        let query = query(force);
        let pairs: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        with_query(path, &pairs)
    };
    let collection = target.resource.path(target.namespace.as_deref(), None);
    match verb {
        Verb::Create => {
            let answer = session.create(&with(collection, ""), &object).await?;
            Ok((target, "created", answer))
        }
        Verb::Apply => {
            let before = match session.get(&target.path()).await {
                Ok(before) => Some(before),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error),
            };
            let force = if flags.force { "true" } else { "" };
            let answer = session.patch(&with(target.path(), force), PatchKind::Apply, &object).await?;
            let outcome = match before {
                None => "created",
                Some(before)
                    if before["metadata"]["resourceVersion"] == answer["metadata"]["resourceVersion"] =>
                {
                    "unchanged"
                }
                Some(_) => "configured",
            };
            Ok((target, outcome, answer))
        }
        Verb::Replace if flags.force => {
            remove_and_wait(session, &target, Duration::from_secs(60)).await?;
            let answer = session.create(&with(collection, ""), &object).await?;
            Ok((target, "replaced", answer))
        }
        Verb::Replace => {
            let answer = session.replace(&with(target.path(), ""), &object).await?;
            Ok((target, "replaced", answer))
        }
    }
}

async fn remove_and_wait(session: &Session, target: &Target, limit: Duration) -> Result<()> {
    match session.delete(&target.path(), &json!({"gracePeriodSeconds": 0})).await {
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
        Ok(_) => wait_gone(session, target, None, limit).await,
    }
}

/// Waits until an object is gone, or one of the same name with another uid stands in its place.
pub async fn wait_gone(session: &Session, target: &Target, uid: Option<&str>, limit: Duration) -> Result<()> {
    let started = std::time::Instant::now();
    loop {
        let object = match session.get(&target.path()).await {
            Err(error) if error.is_not_found() => return Ok(()),
            other => other?,
        };
        if uid.is_some_and(|uid| object["metadata"]["uid"] != uid) {
            return Ok(());
        }
        if started.elapsed() > limit {
            let finalizers = &object["metadata"]["finalizers"];
            let holds = if finalizers.is_null() {
                "its containers are still ending".into()
            } else {
                format!("finalizers hold it: {finalizers}")
            };
            return Err(Error::Usage(format!(
                "{} still exists after {} s; {holds}",
                target.label(),
                limit.as_secs()
            )));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Flags of `patch`.
#[derive(clap::Args, Debug)]
pub struct PatchFlags {
    /// TYPE NAME or TYPE/NAME
    arguments: Vec<String>,
    /// The patch, as JSON or YAML.
    #[arg(long, short = 'p', required = true)]
    patch: String,
    /// strategic, merge or json.
    #[arg(long = "type", default_value = "strategic")]
    kind: String,
    /// Patch this subresource instead: status, scale.
    #[arg(long, default_value = "")]
    subresource: String,
}

/// Runs `patch`.
pub async fn patch(session: &Session, flags: &PatchFlags) -> Result<()> {
    let kind = match flags.kind.as_str() {
        "strategic" => PatchKind::Strategic,
        "merge" => PatchKind::Merge,
        "json" => PatchKind::Json,
        other => {
            return Err(Error::Usage(format!("--type must be one of [json merge strategic], not {other:?}")));
        }
    };
    let patch: Value = serde_yaml::from_str(&flags.patch).map_err(Error::Yaml)?;
    for target in named(target::parse(session, &flags.arguments, false).await?)? {
        let mut path = target.path();
        if !flags.subresource.is_empty() {
            path = format!("{path}/{}", flags.subresource);
        }
        session.patch(&path, kind, &patch).await?;
        println!("{} patched", target.label());
    }
    Ok(())
}

/// Refuses targets without a name.
pub fn named(targets: Vec<Target>) -> Result<Vec<Target>> {
    if targets.is_empty() || targets.iter().any(|target| target.name.is_none()) {
        return Err(Error::Usage("resource name may not be empty".into()));
    }
    Ok(targets)
}

/// Flags of `delete`.
#[derive(clap::Args, Debug)]
pub struct DeleteFlags {
    /// TYPE [NAME...] or TYPE/NAME...
    arguments: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    selection: Selection,
    /// All objects of the type.
    #[arg(long)]
    all: bool,
    /// Seconds that pods get to end; -1 for what they ask for themselves.
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    grace_period: i64,
    /// With a grace period of 0: delete at once, without waiting for the node's word.
    #[arg(long)]
    force: bool,
    /// Delete at once, with a grace period of 1.
    #[arg(long)]
    now: bool,
    /// Don't wait until they are gone.
    #[arg(long, num_args = 0..=1, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    wait: bool,
    /// What becomes of dependents: background, foreground or orphan.
    #[arg(long, num_args = 0..=1, default_value = "background", default_missing_value = "background")]
    cascade: String,
    /// Don't fail on objects that don't exist.
    #[arg(long)]
    ignore_not_found: bool,
    /// How long to wait; 0 for as long as it takes.
    #[arg(long, default_value = "0s", value_parser = super::duration)]
    timeout: Duration,
}

/// Runs `delete`.
pub async fn delete(session: &Session, flags: &DeleteFlags) -> Result<()> {
    let propagation = match flags.cascade.as_str() {
        "background" | "true" => "Background",
        "foreground" => "Foreground",
        "orphan" | "false" => "Orphan",
        other => {
            return Err(Error::Usage(format!(
                "--cascade={other}: allowed are background, foreground and orphan"
            )));
        }
    };
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation});
    let grace = if flags.force && flags.grace_period < 0 {
        0
    } else if flags.now {
        1
    } else {
        flags.grace_period
    };
    if grace >= 0 {
        options["gracePeriodSeconds"] = json!(grace);
    }
    let mut targets = Vec::new();
    for object in manifest::read_all(&flags.files)? {
        targets.push(target::of_object(session, &object).await?);
    }
    for target in target::parse(session, &flags.arguments, flags.selection.all_namespaces).await? {
        if target.name.is_some() {
            targets.push(target);
        } else if flags.all
            || !flags.selection.selector.is_empty()
            || !flags.selection.field_selector.is_empty()
        {
            targets.extend(
                target::list(session, &target, &flags.selection).await?.into_iter().map(|(target, _)| target),
            );
        } else {
            return Err(Error::Usage("resource(s) were provided, but no name was specified".into()));
        }
    }
    let mut gone = Vec::new();
    let mut failed = Vec::new();
    for target in targets {
        match session.delete(&target.path(), &options).await {
            Ok(answer) => {
                println!(
                    "{} {:?} {}deleted{}",
                    target.resource.label(),
                    target.name.as_deref().unwrap_or_default(),
                    if flags.force { "force " } else { "" },
                    target
                        .namespace
                        .as_deref()
                        .map(|namespace| format!(" from {namespace} namespace"))
                        .unwrap_or_default()
                );
                let uid = answer["metadata"]["uid"]
                    .as_str()
                    .or(answer["details"]["uid"].as_str())
                    .map(str::to_owned);
                gone.push((target, uid));
            }
            Err(error) if error.is_not_found() && flags.ignore_not_found => {}
            Err(error) => failed.push(error),
        }
    }
    if flags.wait && grace != 0 {
        let limit = if flags.timeout.is_zero() { Duration::MAX } else { flags.timeout };
        for (target, uid) in gone {
            wait_gone(session, &target, uid.as_deref(), limit).await?;
        }
    }
    several(failed)
}
