//! `ctl patch`: change fields of objects.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::output::outcome::Outcome;
use crate::session::{PatchKind, Session, with_query};
use crate::target::{self, Files, Selection};

/// Flags of `patch`.
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// TYPE NAME or TYPE/NAME
    arguments: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// The patch, as JSON or YAML.
    #[arg(long, short = 'p', required_unless_present = "patch_file")]
    patch: Option<String>,
    /// A file with the patch.
    #[arg(long, value_name = "FILE", conflicts_with = "patch")]
    patch_file: Option<String>,
    /// strategic, merge or json.
    #[arg(long = "type", value_name = "TYPE", default_value = "strategic")]
    kind: String,
    /// Patch this subresource instead: status, scale.
    #[arg(long, default_value = "")]
    subresource: String,
    #[command(flatten)]
    outcome: Outcome,
}

/// Runs the command.
pub async fn run(session: &Session, flags: &Flags) -> Result<()> {
    let kind = match flags.kind.as_str() {
        "strategic" => PatchKind::Strategic,
        "merge" => PatchKind::Merge,
        "json" => PatchKind::Json,
        other => {
            return Err(Error::Usage(format!("--type must be one of [json merge strategic], not {other:?}")));
        }
    };
    let text = match &flags.patch_file {
        Some(path) => std::fs::read_to_string(path).map_err(|source| Error::file(path, source))?,
        None => flags.patch.clone().unwrap_or_default(),
    };
    let patch: Value = serde_yaml::from_str(&text).map_err(Error::yaml("the patch"))?;
    let targets =
        target::objects(session, &flags.arguments, &flags.files, &Selection::default(), false).await?;
    for (target, before) in targets {
        let mut path = target.path();
        if !flags.subresource.is_empty() {
            path = format!("{path}/{}", flags.subresource);
        }
        let path = with_query(path, &flags.outcome.query("ctl-patch"));
        let after = if flags.outcome.is_client_side() {
            before.clone()
        } else {
            session.patch(&path, kind, &patch).await?
        };
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        let done = if version(&before) == version(&after) && flags.outcome.is_real() {
            "patched (no change)"
        } else {
            "patched"
        };
        flags.outcome.print(&target.resource, after, done)?;
    }
    Ok(())
}
