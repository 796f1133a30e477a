//! `ctl set`: images and environment variables of workloads' containers.

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::output::outcome::Outcome;
use crate::session::{PatchKind, Session, with_query};
use crate::target::{self, Files, Selection, Target};

/// What to set.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Set images: CONTAINER=IMAGE, *=IMAGE for all containers
    Image(Flags),
    /// Set environment variables: NAME=VALUE, NAME- removes
    Env(EnvFlags),
}

/// Flags of `set image`.
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// TYPE NAME or TYPE/NAME, then what to set.
    arguments: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    selection: Selection,
    /// All objects of the type.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    outcome: Outcome,
}

/// Flags of `set env`.
#[derive(clap::Args, Debug)]
pub struct EnvFlags {
    #[command(flatten)]
    common: Flags,
    /// Only of this container; * for all.
    #[arg(long, short = 'c', default_value = "*")]
    containers: String,
    /// Show them instead of changing them.
    #[arg(long)]
    list: bool,
}

/// Runs the command.
pub async fn run(session: &Session, command: &Command) -> Result<()> {
    match command {
        Command::Image(flags) => {
            let images = flags.changes("=");
            if images.is_empty() {
                return Err(Error::Usage("one or more resources and image updates are required".into()));
            }
            flags.change(session, "image updated", |containers| set_images(containers, &images)).await
        }
        Command::Env(flags) if flags.list => list(session, flags).await,
        Command::Env(flags) => {
            let changes = flags.common.changes("=-");
            if changes.is_empty() {
                return Err(Error::Usage("at least one environment variable must be provided".into()));
            }
            let wanted = |containers: &mut [Value]| set_env(containers, &flags.containers, &changes);
            flags.common.change(session, "env updated", wanted).await
        }
    }
}

impl Flags {
    /// The arguments with `=` in them, or, when `marks` has it, `-` behind them.
    fn changes(&self, marks: &str) -> Vec<&str> {
        self.arguments.iter().map(String::as_str).filter(|argument| is_change(argument, marks)).collect()
    }

    async fn objects(&self, session: &Session, marks: &str) -> Result<Vec<(Target, Value)>> {
        let names: Vec<String> =
            self.arguments.iter().filter(|argument| !is_change(argument, marks)).cloned().collect();
        target::objects(session, &names, &self.files, &self.selection, self.all).await
    }

    /// Lets `edit` change the containers of every object, and sends what came out.
    async fn change(
        &self,
        session: &Session,
        done: &str,
        edit: impl Fn(&mut [Value]) -> Result<()>,
    ) -> Result<()> {
        for (target, object) in self.objects(session, "=-").await? {
            let mut changed = object.clone();
            let spec = pod_spec(&mut changed)
                .ok_or_else(|| Error::Usage(format!("{} has no containers", target.label())))?;
            let mut all: Vec<Value> = Vec::new();
            let lists = ["initContainers", "containers"];
            let counts = lists.map(|list| spec[list].as_array().map_or(0, Vec::len));
            for list in lists {
                all.extend(spec[list].as_array().into_iter().flatten().cloned());
            }
            edit(&mut all)?;
            let rest = all.split_off(counts[0]);
            for (list, containers) in lists.into_iter().zip([all, rest]) {
                if !containers.is_empty() {
                    spec[list] = json!(containers);
                }
            }
            if changed == object {
                continue;
            }
            if !self.outcome.is_client_side() {
                let path = with_query(target.path(), &self.outcome.query("ctl-set"));
                changed = session
                    .patch(&path, PatchKind::Merge, &super::edit::merge_patch(&object, &changed))
                    .await?;
            }
            self.outcome.print(&target.resource, changed, done)?;
        }
        Ok(())
    }
}

fn is_change(argument: &str, marks: &str) -> bool {
    argument.contains('=') || (marks.contains('-') && argument.ends_with('-'))
}

/// The pod's spec in a pod, a workload or a CronJob.
fn pod_spec(object: &mut Value) -> Option<&mut Value> {
    let place = ["/spec/jobTemplate/spec/template/spec", "/spec/template/spec", "/spec"];
    let place =
        place.iter().find(|place| object.pointer(place).is_some_and(|spec| spec["containers"].is_array()))?;
    object.pointer_mut(place)
}

fn set_images(containers: &mut [Value], images: &[&str]) -> Result<()> {
    for change in images {
        let (name, image) = change.split_once('=').unwrap_or((change, ""));
        let mut found = false;
        for container in containers.iter_mut().filter(|container| name == "*" || container["name"] == name) {
            container["image"] = json!(image);
            found = true;
        }
        if !found {
            return Err(Error::Usage(format!("unable to find container named {name:?}")));
        }
    }
    Ok(())
}

fn set_env(containers: &mut [Value], only: &str, changes: &[&str]) -> Result<()> {
    let mut found = false;
    for container in containers.iter_mut().filter(|container| only == "*" || container["name"] == only) {
        found = true;
        let mut env = container["env"].as_array().cloned().unwrap_or_default();
        for change in changes {
            let (name, value) = match change.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (change.trim_end_matches('-'), None),
            };
            match (env.iter_mut().find(|variable| variable["name"] == name), value) {
                (Some(variable), Some(value)) => *variable = json!({"name": name, "value": value}),
                (None, Some(value)) => env.push(json!({"name": name, "value": value})),
                (_, None) => env.retain(|variable| variable["name"] != name),
            }
        }
        if !env.is_empty() || !container["env"].is_null() {
            container["env"] = json!(env);
        }
    }
    if found { Ok(()) } else { Err(Error::Usage(format!("unable to find container named {only:?}"))) }
}

async fn list(session: &Session, flags: &EnvFlags) -> Result<()> {
    for (target, mut object) in flags.common.objects(session, "=-").await? {
        let kind = &target.resource.kind;
        let Some(spec) = pod_spec(&mut object) else { continue };
        for container in spec["containers"].as_array().into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default();
            println!("# {kind} {}, container {name}", target.name.as_deref().unwrap_or_default());
            for variable in container["env"].as_array().into_iter().flatten() {
                let name = variable["name"].as_str().unwrap_or_default();
                match variable["valueFrom"].is_null() {
                    true => println!("{name}={}", variable["value"].as_str().unwrap_or_default()),
                    false => println!("# {name} from {}", variable["valueFrom"]),
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_change_by_name() {
        let mut containers = [json!({"name": "a", "image": "x"}), json!({"name": "b", "image": "y"})];
        set_images(&mut containers, &["a=z"]).unwrap();
        assert_eq!((&containers[0]["image"], &containers[1]["image"]), (&json!("z"), &json!("y")));
        set_images(&mut containers, &["*=w"]).unwrap();
        assert_eq!(containers[1]["image"], "w");
        assert!(set_images(&mut containers, &["c=w"]).is_err());
        set_env(&mut containers, "b", &["A=1", "B=2", "A-"]).unwrap();
        assert_eq!(containers[1]["env"], json!([{"name": "B", "value": "2"}]));
        assert!(containers[0]["env"].is_null());
    }
}
