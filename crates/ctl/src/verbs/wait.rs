//! `ctl wait`: until a condition holds, a field has a value, or an object is gone.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::output::jsonpath::Template;
use crate::session::Session;
use crate::target::{self, Files, Selection, Target};
use crate::verbs::delete::wait_gone;

/// Flags of `wait`.
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// TYPE NAME, TYPE/NAME, or TYPE with -l or --all
    arguments: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    selection: Selection,
    /// delete, create, condition=TYPE[=VALUE] or jsonpath='{PATH}'[=VALUE]
    #[arg(long = "for", required = true, value_name = "WHAT")]
    what: String,
    /// How long to wait at most; negative for a week.
    #[arg(long, default_value = "30s", value_parser = super::duration)]
    timeout: Duration,
    /// All objects of the type.
    #[arg(long)]
    all: bool,
}

enum Goal {
    Deleted,
    Created,
    Condition(String, String),
    Path(Template, Option<String>, String),
}

/// Runs the command.
pub async fn run(session: &Session, flags: &Flags) -> Result<()> {
    let goal = Goal::parse(&flags.what)?;
    let started = Instant::now();
    let left = || flags.timeout.saturating_sub(started.elapsed());
    if matches!(goal, Goal::Created) {
        for target in target::named(target::parse(session, &flags.arguments, false).await?)? {
            until(session, &target, &goal, left()).await?;
            println!("{} condition met", target.label());
        }
        return Ok(());
    }
    let objects = target::objects(session, &flags.arguments, &flags.files, &flags.selection, flags.all).await;
    let objects = match objects {
        Err(error) if error.is_not_found() && matches!(goal, Goal::Deleted) => return Ok(()),
        other => other?,
    };
    if objects.is_empty() {
        return Err(Error::Usage("no matching resources found".into()));
    }
    for (target, object) in objects {
        if matches!(goal, Goal::Deleted) {
            wait_gone(session, &target, object["metadata"]["uid"].as_str(), left()).await?;
        } else {
            until(session, &target, &goal, left()).await?;
        }
        println!("{} condition met", target.label());
    }
    Ok(())
}

/// Looks at one object until the goal is reached; when it is not, says how far it came.
async fn until(session: &Session, target: &Target, goal: &Goal, limit: Duration) -> Result<()> {
    let started = Instant::now();
    loop {
        let reason = match session.get(&target.path()).await {
            Ok(object) => match goal.reached(&object) {
                Ok(()) => return Ok(()),
                Err(reason) => reason,
            },
            Err(error) if error.is_not_found() && matches!(goal, Goal::Created) => {
                "it does not exist".to_owned()
            }
            Err(error) => return Err(error),
        };
        if started.elapsed() >= limit {
            return Err(Error::Usage(format!(
                "timed out waiting for the condition on {}/{}\n({}: {reason})",
                target.resource.plural,
                target.name.as_deref().unwrap_or_default(),
                goal.name(),
            )));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

impl Goal {
    fn parse(what: &str) -> Result<Self> {
        match what.to_lowercase().as_str() {
            "delete" => return Ok(Self::Deleted),
            "create" => return Ok(Self::Created),
            _ => {}
        }
        if let Some(condition) = what.strip_prefix("condition=") {
            let (kind, value) = condition.split_once('=').unwrap_or((condition, "True"));
            return Ok(Self::Condition(kind.to_owned(), value.to_owned()));
        }
        if let Some(path) = what.strip_prefix("jsonpath=") {
            let end = path.rfind('}').map_or(path.len(), |index| index + 1);
            let value = path[end..].strip_prefix('=').map(|value| value.trim_matches(['"', '\'']).to_owned());
            let template = Template::parse(&path[..end]).map_err(|error| Error::Usage(error.to_string()))?;
            return Ok(Self::Path(template, value, path[..end].to_owned()));
        }
        Err(Error::Usage(format!(
            "unrecognized condition: {what:?}; use delete, create, condition=TYPE or jsonpath='{{PATH}}'=VALUE"
        )))
    }

    fn name(&self) -> String {
        match self {
            Self::Deleted => "the deletion".into(),
            Self::Created => "the creation".into(),
            Self::Condition(kind, value) => format!("condition {kind}={value}"),
            Self::Path(_, _, path) => format!("the value at {path}"),
        }
    }

    /// Whether an object fulfils it; the error says what it looks like instead.
    fn reached(&self, object: &Value) -> std::result::Result<(), String> {
        match self {
            Self::Deleted => Err("it exists".into()),
            Self::Created => Ok(()),
            Self::Condition(kind, value) => {
                let conditions = object["status"]["conditions"].as_array();
                let found = conditions.into_iter().flatten().find(|condition| {
                    condition["type"].as_str().is_some_and(|have| have.eq_ignore_ascii_case(kind))
                });
                let Some(condition) = found else { return Err(format!("it has no condition {kind} yet")) };
                let status = condition["status"].as_str().unwrap_or_default();
                if status.eq_ignore_ascii_case(value) {
                    return Ok(());
                }
                let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
                Err(format!("it is {status}: {} {}", text("reason"), text("message")))
            }
            Self::Path(template, wanted, _) => {
                let values = template.values(object);
                let [value] = values.as_slice() else {
                    return Err(format!("the path gives {} values", values.len()));
                };
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                match wanted {
                    None => Ok(()),
                    Some(wanted) if *wanted == text => Ok(()),
                    Some(wanted) => Err(format!("it is {text}, not {wanted}")),
                }
            }
        }
    }
}
