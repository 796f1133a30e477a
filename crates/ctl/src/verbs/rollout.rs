//! `ctl rollout status|history|undo|pause|resume|restart` of Deployments, DaemonSets and StatefulSets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::session::{PatchKind, Session, with_query};
use crate::target::{self, Files, Selection, Target};

const REVISION: &str = "deployment.kubernetes.io/revision";
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

/// What to do with the rollout.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Wait until it is done, saying how far it is.
    Status {
        /// The workloads.
        #[command(flatten)]
        what: What,
        /// How long to wait; 0 for as long as it takes.
        #[arg(long, default_value = "0s", value_parser = super::duration)]
        timeout: Duration,
        /// Say how far it is and end.
        #[arg(long, num_args = 0..=1, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
        watch: bool,
    },
    /// Show the revisions.
    History {
        /// The workloads.
        #[command(flatten)]
        what: What,
        /// Show this revision's pod template.
        #[arg(long, default_value_t = 0)]
        revision: i64,
    },
    /// Go back to an earlier revision.
    Undo {
        /// The workloads.
        #[command(flatten)]
        what: What,
        /// Which; 0 for the one before.
        #[arg(long, default_value_t = 0)]
        to_revision: i64,
    },
    /// Let changes wait.
    Pause {
        /// The workloads.
        #[command(flatten)]
        what: What,
    },
    /// Roll out what has waited.
    Resume {
        /// The workloads.
        #[command(flatten)]
        what: What,
    },
    /// Replace all pods.
    Restart {
        /// The workloads.
        #[command(flatten)]
        what: What,
    },
}

/// The workloads.
#[derive(clap::Args, Debug)]
pub struct What {
    /// TYPE NAME or TYPE/NAME
    arguments: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    selection: Selection,
}

/// Runs the command.
pub async fn run(session: &Session, command: &Command) -> Result<()> {
    let what = match command {
        Command::Status { what, .. }
        | Command::History { what, .. }
        | Command::Undo { what, .. }
        | Command::Pause { what }
        | Command::Resume { what }
        | Command::Restart { what } => what,
    };
    for (target, object) in
        target::objects(session, &what.arguments, &what.files, &what.selection, false).await?
    {
        match command {
            Command::Status { timeout, watch, .. } => status(session, &target, *timeout, *watch).await?,
            Command::History { revision, .. } => history(session, &target, &object, *revision).await?,
            Command::Undo { to_revision, .. } => undo(session, &target, &object, *to_revision).await?,
            Command::Pause { .. } => pause(session, &target, &object, true).await?,
            Command::Resume { .. } => pause(session, &target, &object, false).await?,
            Command::Restart { .. } => restart(session, &target).await?,
        }
    }
    Ok(())
}

async fn status(session: &Session, target: &Target, timeout: Duration, watch: bool) -> Result<()> {
    let started = Instant::now();
    let mut said = String::new();
    loop {
        let object = session.get(&target.path()).await?;
        let (line, done) = progress(target, &object)?;
        if line != said {
            println!("{line}");
            said = line;
        }
        if done || !watch {
            return Ok(());
        }
        if !timeout.is_zero() && started.elapsed() > timeout {
            return Err(Error::Usage(format!(
                "timed out waiting for the condition\n(why: ctl describe {}, ctl get pods)",
                target.label()
            )));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// How far a rollout is, and whether it is done.
fn progress(target: &Target, object: &Value) -> Result<(String, bool)> {
    let name = target.name.as_deref().unwrap_or_default();
    let (spec, status) = (&object["spec"], &object["status"]);
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let kind = target.resource.kind.as_str();
    if number(&status["observedGeneration"]) < number(&object["metadata"]["generation"]) {
        return Ok((format!("Waiting for {} spec update to be observed...", kind.to_lowercase()), false));
    }
    match kind {
        "Deployment" => {
            let conditions = status["conditions"].as_array();
            let stalled = conditions
                .into_iter()
                .flatten()
                .any(|condition| condition["reason"] == "ProgressDeadlineExceeded");
            if stalled {
                return Err(Error::Usage(format!(
                    "deployment {name:?} exceeded its progress deadline; why: ctl describe {}",
                    target.label()
                )));
            }
            let wanted = number(&spec["replicas"]);
            let (updated, all, available) = (
                number(&status["updatedReplicas"]),
                number(&status["replicas"]),
                number(&status["availableReplicas"]),
            );
            let waiting = |what: String| {
                (format!("Waiting for deployment {name:?} rollout to finish: {what}..."), false)
            };
            Ok(if updated < wanted {
                waiting(format!("{updated} out of {wanted} new replicas have been updated"))
            } else if all > updated {
                waiting(format!("{} old replicas are pending termination", all - updated))
            } else if available < updated {
                waiting(format!("{available} of {updated} updated replicas are available"))
            } else {
                (format!("deployment {name:?} successfully rolled out"), true)
            })
        }
        "DaemonSet" => {
            let wanted = number(&status["desiredNumberScheduled"]);
            let (updated, available) =
                (number(&status["updatedNumberScheduled"]), number(&status["numberAvailable"]));
            let waiting = |what: String| {
                (format!("Waiting for daemon set {name:?} rollout to finish: {what}..."), false)
            };
            Ok(if updated < wanted {
                waiting(format!("{updated} out of {wanted} new pods have been updated"))
            } else if available < wanted {
                waiting(format!("{available} of {wanted} updated pods are available"))
            } else {
                (format!("daemon set {name:?} successfully rolled out"), true)
            })
        }
        "StatefulSet" => {
            let (wanted, ready) = (number(&spec["replicas"]), number(&status["readyReplicas"]));
            let updated = number(&status["updatedReplicas"]);
            let rolled = status["updateRevision"] == status["currentRevision"] || updated >= wanted;
            Ok(if ready < wanted {
                (format!("Waiting for {} pods to be ready...", wanted - ready), false)
            } else if !rolled {
                (
                    format!(
                        "waiting for statefulset rolling update to complete {updated} pods at revision {}...",
                        status["updateRevision"]
                    ),
                    false,
                )
            } else {
                (
                    format!(
                        "statefulset rolling update complete {ready} pods at revision {}...",
                        status["currentRevision"].as_str().unwrap_or("")
                    ),
                    true,
                )
            })
        }
        _ => Err(Error::Usage(format!("no status viewer has been implemented for {kind}"))),
    }
}

/// Pod templates of a workload by revision, oldest first, with why each was made.
async fn revisions(
    session: &Session,
    target: &Target,
    object: &Value,
) -> Result<BTreeMap<i64, (Value, String)>> {
    let uid = &object["metadata"]["uid"];
    let deployment = target.resource.kind == "Deployment";
    let plural = if deployment { "replicasets" } else { "controllerrevisions" };
    let selector = super::get::labels(&object["spec"]["selector"]["matchLabels"]);
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let path =
        with_query(format!("/apis/apps/v1/namespaces/{namespace}/{plural}"), &[("labelSelector", &selector)]);
    let list = session.get(&path).await?;
    let mut found = BTreeMap::new();
    for item in list["items"].as_array().into_iter().flatten() {
        let owners = item["metadata"]["ownerReferences"].as_array();
        if !owners.into_iter().flatten().any(|owner| owner["uid"] == *uid && owner["controller"] == true) {
            continue;
        }
        let cause = item["metadata"]["annotations"][CHANGE_CAUSE].as_str().unwrap_or("<none>").to_owned();
        let (number, template) = if deployment {
            let revision =
                item["metadata"]["annotations"][REVISION].as_str().and_then(|text| text.parse().ok());
            (revision.unwrap_or(0), item["spec"]["template"].clone())
        } else {
            (item["revision"].as_i64().unwrap_or(0), item["data"]["spec"]["template"].clone())
        };
        found.insert(number, (template, cause));
    }
    Ok(found)
}

async fn history(session: &Session, target: &Target, object: &Value, revision: i64) -> Result<()> {
    let revisions = revisions(session, target, object).await?;
    if revision > 0 {
        let (template, _) = revisions
            .get(&revision)
            .ok_or_else(|| Error::Usage(format!("unable to find the specified revision {revision}")))?;
        println!("{} with revision #{revision}", target.label());
        print!("Pod Template:\n{}", crate::output::yaml::to_string(template));
        return Ok(());
    }
    println!("{} ", target.label());
    if revisions.is_empty() {
        println!("No rollout history found.");
        return Ok(());
    }
    let mut table = crate::output::table::Table {
        heading: vec!["REVISION".into(), "CHANGE-CAUSE".into()],
        rows: Vec::new(),
    };
    table.rows.extend(revisions.iter().map(|(number, (_, cause))| vec![number.to_string(), cause.clone()]));
    print!("{}", table.render());
    Ok(())
}

async fn undo(session: &Session, target: &Target, object: &Value, to: i64) -> Result<()> {
    if object["spec"]["paused"] == true {
        return Err(Error::Usage(format!(
            "you cannot rollback a paused deployment; resume it first with 'ctl rollout resume {}' and try again",
            target.label()
        )));
    }
    let revisions = revisions(session, target, object).await?;
    if revisions.is_empty() {
        let name = target.name.as_deref().unwrap_or_default();
        return Err(Error::Usage(format!(
            "no rollout history found for {} {name:?}",
            target.resource.singular
        )));
    }
    let chosen = if to > 0 { revisions.get(&to) } else { revisions.values().rev().nth(1) };
    let Some((template, _)) = chosen else {
        let missing = if to > 0 {
            format!("unable to find specified revision {to} in history")
        } else {
            "no last revision to roll back to".into()
        };
        return Err(Error::Usage(missing));
    };
    let mut template = template.clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        // The hash belongs to the ReplicaSet, not to the template.
        labels.remove("pod-template-hash");
    }
    let current = &object["spec"]["template"];
    if *current == template {
        println!("{} skipped rollback (current template already matches revision {to})", target.label());
        return Ok(());
    }
    let patch = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
    session.patch(&target.path(), PatchKind::Json, &patch).await?;
    println!("{} rolled back", target.label());
    Ok(())
}

async fn pause(session: &Session, target: &Target, object: &Value, paused: bool) -> Result<()> {
    if target.resource.kind != "Deployment" {
        return Err(Error::Usage(format!("{} pausing is not supported", target.resource.plural)));
    }
    let word = if paused { "paused" } else { "resumed" };
    if (object["spec"]["paused"] == true) == paused {
        let name = target.name.as_deref().unwrap_or_default();
        return Err(Error::Usage(format!("{}.apps {name:?} is already {word}", target.resource.plural)));
    }
    session.patch(&target.path(), PatchKind::Merge, &json!({"spec": {"paused": paused}})).await?;
    println!("{} {word}", target.label());
    Ok(())
}

async fn restart(session: &Session, target: &Target) -> Result<()> {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": now}}}}});
    session.patch(&target.path(), PatchKind::Merge, &patch).await?;
    println!("{} restarted", target.label());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::ApiResource;

    fn deployment(status: Value) -> (String, bool) {
        let resource = ApiResource {
            group: "apps".into(),
            singular: "deployment".into(),
            kind: "Deployment".into(),
            ..ApiResource::default()
        };
        let target = Target { resource, name: Some("web".into()), namespace: None };
        let object = json!({"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": status});
        progress(&target, &object).unwrap()
    }

    #[test]
    fn a_rollout_tells_how_far_it_is() {
        let waiting =
            |what: &str| (format!("Waiting for deployment \"web\" rollout to finish: {what}..."), false);
        assert_eq!(
            deployment(json!({"observedGeneration": 1})),
            ("Waiting for deployment spec update to be observed...".into(), false)
        );
        assert_eq!(
            deployment(json!({"observedGeneration": 2, "updatedReplicas": 1})),
            waiting("1 out of 3 new replicas have been updated")
        );
        assert_eq!(
            deployment(json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 4})),
            waiting("1 old replicas are pending termination")
        );
        assert_eq!(
            deployment(
                json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 2})
            ),
            waiting("2 of 3 updated replicas are available")
        );
        assert_eq!(
            deployment(
                json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 3})
            ),
            ("deployment \"web\" successfully rolled out".into(), true)
        );
    }
}
