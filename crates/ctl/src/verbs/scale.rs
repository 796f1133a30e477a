//! `ctl scale`.

use serde_json::json;

use crate::error::{Error, Result};
use crate::session::{PatchKind, Session};
use crate::target::{self, Files, Selection};

/// Flags of `scale`.
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// TYPE NAME or TYPE/NAME
    arguments: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    selection: Selection,
    /// How many there shall be.
    #[arg(long, required = true)]
    replicas: u32,
    /// Only if there are this many now.
    #[arg(long)]
    current_replicas: Option<u32>,
    /// All objects of the type.
    #[arg(long)]
    all: bool,
}

/// Runs the command.
pub async fn run(session: &Session, flags: &Flags) -> Result<()> {
    for (target, _) in
        target::objects(session, &flags.arguments, &flags.files, &flags.selection, flags.all).await?
    {
        if !target.resource.subresources.iter().any(|name| name == "scale") {
            return Err(Error::Usage(format!(
                "{} cannot be scaled; it has no scale subresource",
                target.resource.plural
            )));
        }
        let path = format!("{}/scale", target.path());
        if let Some(expected) = flags.current_replicas {
            let now = session.get(&path).await?["spec"]["replicas"].as_u64().unwrap_or(0);
            if now != u64::from(expected) {
                return Err(Error::Usage(format!("Expected replicas to be {expected}, was {now}")));
            }
        }
        session.patch(&path, PatchKind::Merge, &json!({"spec": {"replicas": flags.replicas}})).await?;
        println!("{} scaled", target.label());
    }
    Ok(())
}
