//! `ctl label` and `ctl annotate`.

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::session::{PatchKind, Session};
use crate::target::{self, Files, Selection};

/// Flags of both verbs.
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// TYPE NAME or TYPE/NAME, then KEY=VALUE to set and KEY- to remove.
    arguments: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    selection: Selection,
    /// Change values that exist.
    #[arg(long)]
    overwrite: bool,
    /// All objects of the type.
    #[arg(long)]
    all: bool,
    /// Show them instead of changing them.
    #[arg(long)]
    list: bool,
}

/// Runs the verb on `metadata.labels` or `metadata.annotations`.
pub async fn run(session: &Session, flags: &Flags, field: &str) -> Result<()> {
    let is_change = |argument: &&String| argument.contains('=') || argument.ends_with('-');
    let changes: Vec<&String> = flags.arguments.iter().filter(is_change).collect();
    let names: Vec<String> =
        flags.arguments.iter().filter(|argument| !is_change(argument)).cloned().collect();
    if changes.is_empty() && !flags.list {
        return Err(Error::Usage(format!("at least one {} update is required", field.trim_end_matches('s'))));
    }
    for (target, object) in
        target::objects(session, &names, &flags.files, &flags.selection, flags.all).await?
    {
        let current = &object["metadata"][field];
        if flags.list {
            for (key, value) in current.as_object().into_iter().flatten() {
                println!("{key}={}", value.as_str().unwrap_or_default());
            }
            continue;
        }
        let patch = changed(current, &changes, flags.overwrite, field)?;
        let before = &object["metadata"]["resourceVersion"];
        let after =
            session.patch(&target.path(), PatchKind::Merge, &json!({"metadata": {field: patch}})).await?;
        let verb = match (field, *before == after["metadata"]["resourceVersion"]) {
            ("labels", true) => "not labeled",
            ("labels", false) if changes.iter().all(|change| change.ends_with('-')) => "unlabeled",
            ("labels", false) => "labeled",
            (_, true) => "not annotated",
            (_, false) => "annotated",
        };
        println!("{} {verb}", target.label());
    }
    Ok(())
}

/// The merge patch for some changes; refuses to change a value unless `overwrite`.
fn changed(current: &Value, changes: &[&String], overwrite: bool, field: &str) -> Result<Value> {
    let mut patch = Map::new();
    for change in changes {
        let Some((key, value)) = change.split_once('=') else {
            let key = change.trim_end_matches('-');
            if field == "labels" && current[key].is_null() {
                println!("label {key:?} not found.");
            }
            patch.insert(key.to_owned(), Value::Null);
            continue;
        };
        match current[key].as_str() {
            Some(old) if old != value && !overwrite => {
                return Err(Error::Usage(format!(
                    "'{key}' already has a value ({old}), and --overwrite is false"
                )));
            }
            _ => patch.insert(key.to_owned(), json!(value)),
        };
    }
    Ok(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_change_only_when_told_to() {
        let current = json!({"a": "1"});
        let change = |change: &str, overwrite| changed(&current, &[&change.to_owned()], overwrite, "labels");
        assert_eq!(change("b=2", false).unwrap(), json!({"b": "2"}));
        assert_eq!(change("a=1", false).unwrap(), json!({"a": "1"}));
        assert_eq!(change("a-", false).unwrap(), json!({"a": null}));
        assert_eq!(change("a=2", true).unwrap(), json!({"a": "2"}));
        assert!(change("a=2", false).unwrap_err().to_string().contains("already has a value (1)"));
    }
}
