//! `ctl delete`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::error::{Error, Result, report_all};
use crate::manifest;
use crate::session::Session;
use crate::target::{self, Files, Selection, Target};

/// Flags of `delete`.
#[derive(clap::Args, Debug)]
pub struct Flags {
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
    /// server: have it checked, but delete nothing.
    #[arg(long, value_parser = ["none", "client", "server"], default_value = "none", value_name = "none|client|server")]
    dry_run: String,
    /// name: print TYPE/NAME only.
    #[arg(long, short = 'o', value_parser = ["name"], value_name = "name")]
    output: Option<String>,
}

/// Runs `delete`.
pub async fn run(session: &Session, flags: &Flags) -> Result<()> {
    let (options, grace) = flags.options()?;
    let targets = targets(session, flags).await?;
    if targets.is_empty() {
        println!("No resources found");
        return Ok(());
    }
    if flags.force {
        eprintln!(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. \
             The resource may continue to run on the cluster indefinitely."
        );
    }
    let mut gone = Vec::new();
    let mut failed = Vec::new();
    for target in targets {
        let outcome = if flags.dry_run == "client" {
            session.get(&target.path()).await
        } else {
            session.delete(&target.path(), &options).await
        };
        match outcome {
            Ok(answer) => {
                println!("{}", flags.told(&target));
                gone.push((target, uid(&answer)));
            }
            Err(error) if error.is_not_found() && flags.ignore_not_found => {}
            Err(error) => failed.push(error),
        }
    }
    if flags.wait && grace != 0 && flags.dry_run == "none" {
        let limit = if flags.timeout.is_zero() { Duration::MAX } else { flags.timeout };
        for (target, uid) in gone {
            wait_gone(session, &target, uid.as_deref(), limit).await?;
        }
    }
    report_all(failed)
}

/// The uid of what is deleted: of the object, when it still exists, else as the server's last word says.
fn uid(answer: &Value) -> Option<String> {
    let uid = answer["metadata"]["uid"].as_str().or(answer["details"]["uid"].as_str());
    uid.map(str::to_owned)
}

impl Flags {
    /// The request's body, and the grace period in it; negative for the object's own.
    fn options(&self) -> Result<(Value, i64)> {
        let propagation = match self.cascade.as_str() {
            "background" | "true" => "Background",
            "foreground" => "Foreground",
            "orphan" | "false" => "Orphan",
            other => {
                return Err(Error::Usage(format!(
                    "invalid cascade value ({other}). Must be \"background\", \"foreground\", or \"orphan\""
                )));
            }
        };
        let grace = match self.grace_period {
            period if self.force && period < 0 => 0,
            _ if self.now => 1,
            // Only --force lets go of a pod that may still run.
            0 if !self.force => 1,
            period => period,
        };
        let mut options =
            json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation});
        if grace >= 0 {
            options["gracePeriodSeconds"] = json!(grace);
        }
        if self.dry_run == "server" {
            // In the body: the server reads options from there or from the query, never from both.
            options["dryRun"] = json!(["All"]);
        }
        Ok((options, grace))
    }

    /// The line about a deleted object.
    fn told(&self, target: &Target) -> String {
        if self.output.is_some() {
            return target.label();
        }
        let force = if self.force { "force " } else { "" };
        let place = target
            .namespace
            .as_ref()
            .map(|namespace| format!(" from {namespace} namespace"))
            .unwrap_or_default();
        let dry_run = match self.dry_run.as_str() {
            "client" => " (dry run)",
            "server" => " (server dry run)",
            _ => "",
        };
        let name = target.name.as_deref().unwrap_or_default();
        format!("{} {name:?} {force}deleted{place}{dry_run}", target.resource.label())
    }
}

async fn targets(session: &Session, flags: &Flags) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for document in manifest::read_all(&flags.files)? {
        targets.push(target::of_object(session, &document.object).await?);
    }
    let named = target::parse(session, &flags.arguments, flags.selection.all_namespaces).await?;
    if named.is_empty() && targets.is_empty() && flags.files.files.is_empty() {
        return Err(Error::Usage("You must provide one or more resources by argument or filename".into()));
    }
    let chosen = flags.all || !flags.selection.is_empty();
    for target in named {
        if target.name.is_some() {
            targets.push(target);
        } else if chosen {
            let found = target::list(session, &target, &flags.selection).await?;
            targets.extend(found.into_iter().map(|(target, _)| target));
        } else {
            return Err(Error::Usage("resource(s) were provided, but no name was specified".into()));
        }
    }
    Ok(targets)
}

/// Deletes an object at once, if it exists, and waits until it is gone.
///
/// # Errors
/// When the server refuses, or it still exists after `limit`.
pub async fn remove_and_wait(session: &Session, target: &Target, limit: Duration) -> Result<()> {
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
