//! `ctl describe`: all that is known about an object, and what happened to it.
//!
//! ```text
//! object ─► <kind>.rs, else generic.rs ─► Page (lines with tabs) ─► output::tabs aligns it
//! ```

mod containers;
mod data;
mod events;
mod generic;
mod node;
mod page;
mod pod;
mod service;
mod volumes;
mod workloads;

use serde_json::Value;

use self::page::{Page, items, text};
use crate::error::{Error, Result};
use crate::session::Session;
use crate::target::{self, Files, Selection, Target};

/// Flags of `describe`.
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// TYPE [NAME...] or TYPE/NAME...
    arguments: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    selection: Selection,
    /// Show events too.
    #[arg(long, num_args = 0..=1, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    show_events: bool,
}

/// Runs the command.
pub async fn run(session: &Session, flags: &Flags) -> Result<()> {
    if flags.arguments.is_empty() && flags.files.files.is_empty() {
        return Err(Error::Usage(
            "You must specify the type of resource to describe. Use \"ctl api-resources\" for a complete list of \
             supported resources."
                .into(),
        ));
    }
    let found = target::objects(session, &flags.arguments, &flags.files, &flags.selection, true).await?;
    if found.is_empty() {
        match flags.selection.all_namespaces {
            true => eprintln!("No resources found"),
            false => eprintln!("No resources found in {} namespace.", session.namespace()),
        }
    }
    for (index, (target, object)) in found.iter().enumerate() {
        if index > 0 {
            print!("\n\n");
        }
        let mut page = describe(session, target, object).await?;
        // Nothing happens to these: no component writes events about them.
        if flags.show_events && !matches!(target.resource.kind.as_str(), "Secret" | "Namespace") {
            page.append(events::events(session, target, object).await?);
        }
        print!("{}", page.finish());
    }
    Ok(())
}

/// Everything but the events.
async fn describe(session: &Session, target: &Target, object: &Value) -> Result<Page> {
    match (target.resource.group.as_str(), target.resource.kind.as_str()) {
        ("", "Pod") => Ok(pod::pod(object)),
        ("", "Node") => node::node(session, object).await,
        ("", "Service") => service::service(session, object).await,
        ("", "ConfigMap") => Ok(data::config_map(object)),
        ("", "Secret") => Ok(data::secret(object)),
        ("", "Namespace") => Ok(data::namespace(object)),
        ("", "ReplicationController") | ("apps", "ReplicaSet") => workloads::replicas(session, object).await,
        ("apps", "Deployment") => workloads::deployment(session, object).await,
        ("apps", "DaemonSet") => workloads::daemon_set(session, object).await,
        ("apps", "StatefulSet") => workloads::stateful_set(session, object).await,
        ("batch", "Job") => Ok(workloads::job(object)),
        ("batch", "CronJob") => Ok(workloads::cron_job(object)),
        _ => Ok(generic::object(object)),
    }
}

/// The owner that manages an object, if there is one.
fn controlled_by(page: &mut Page, metadata: &Value) {
    let owner = items(&metadata["ownerReferences"]).iter().find(|owner| owner["controller"] == true);
    if let Some(owner) = owner {
        page.field("Controlled By", format!("{}/{}", text(&owner["kind"]), text(&owner["name"])));
    }
}
