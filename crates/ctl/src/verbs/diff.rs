//! `ctl diff`: what `apply` would change.

use serde_json::{Value, json};
use similar::TextDiff;

use super::get::hide_managed_fields;
use crate::error::{Error, Result, report};
use crate::manifest::{self, Document};
use crate::output::yaml;
use crate::session::{PatchKind, Session, with_query};
use crate::target::{self, Files, Target};

/// Flags of `diff`.
#[derive(clap::Args, Debug)]
pub struct Flags {
    #[command(flatten)]
    files: Files,
    /// Show field ownership too.
    #[arg(long)]
    show_managed_fields: bool,
    /// The name that the server remembers these fields' owner by.
    #[arg(long, value_name = "NAME", default_value = "ctl")]
    field_manager: String,
}

/// Runs the command: exit status 0 when nothing would change, 1 when something would, more when it failed.
pub async fn run(session: &Session, flags: &Flags) -> Result<()> {
    let failed = |error: Error| {
        report(&error);
        Error::Told(2)
    };
    let documents = manifest::read_all(&flags.files).map_err(failed)?;
    if documents.is_empty() {
        return Err(failed(Error::Usage("must specify one of -f and -k".into())));
    }
    let mut differs = false;
    for document in &documents {
        let difference = one(session, flags, document).await.map_err(failed)?;
        print!("{difference}");
        differs |= !difference.is_empty();
    }
    if differs { Err(Error::Told(1)) } else { Ok(()) }
}

async fn one(session: &Session, flags: &Flags, Document { object, origin }: &Document) -> Result<String> {
    let target = target::named(vec![target::of_object(session, object).await?])?.remove(0);
    let mut live = match session.get(&target.path()).await {
        Err(error) if error.is_not_found() => Value::Null,
        other => other?,
    };
    let query = [
        ("dryRun", "All"),
        ("force", "true"),
        ("fieldManager", &flags.field_manager),
        ("fieldValidation", "Strict"),
    ];
    let merged = session.patch(&with_query(target.path(), &query), PatchKind::Apply, object).await;
    let mut merged = merged.map_err(|error| error.when("applying patch from", origin))?;
    if live.is_null() {
        // A dry run makes these up anew each time.
        for field in ["uid", "creationTimestamp", "resourceVersion"] {
            merged["metadata"].as_object_mut().map(|metadata| metadata.remove(field));
        }
    } else {
        merged["metadata"]["resourceVersion"] = json!(live["metadata"]["resourceVersion"]);
    }
    if !flags.show_managed_fields {
        hide_managed_fields(&mut live);
        hide_managed_fields(&mut merged);
    }
    Ok(unified(&target, &live, &merged))
}

fn unified(target: &Target, live: &Value, merged: &Value) -> String {
    let name = format!(
        "{}.{}.{}.{}",
        target.resource.api_version().replace('/', "."),
        target.resource.kind,
        target.namespace.as_deref().unwrap_or_default(),
        target.name.as_deref().unwrap_or_default()
    );
    let text = |value: &Value| if value.is_null() { String::new() } else { yaml::to_string(value) };
    let (before, after) = (text(live), text(merged));
    let difference = TextDiff::from_lines(&before, &after);
    if before == after {
        return String::new();
    }
    let (old, new) = (format!("LIVE/{name}"), format!("MERGED/{name}"));
    difference.unified_diff().context_radius(3).header(&old, &new).to_string()
}
