//! `ctl edit`: change an object in an editor.

use std::process::Command;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::session::{PatchKind, Session};
use crate::target::{self, Files, Selection};
use crate::verbs::get::hide_managed_fields;

/// Flags of `edit`.
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// TYPE NAME or TYPE/NAME
    arguments: Vec<String>,
    #[command(flatten)]
    files: Files,
}

const HELP: &str = "# Change the object below. Lines that begin with a '#' are ignored, and an empty file ends the\n\
                    # edit. If the server refuses the change, the file is opened again with its reasons.\n#\n";

/// Runs the command.
pub async fn run(session: &Session, flags: &Flags) -> Result<()> {
    for (target, mut object) in
        target::objects(session, &flags.arguments, &flags.files, &Selection::default(), false).await?
    {
        hide_managed_fields(&mut object);
        let original = crate::output::yaml::to_string(&object);
        let mut text = format!("{HELP}{original}");
        let mut refused = String::new();
        loop {
            let edited = edit(&text)?;
            let content: String = edited
                .lines()
                .filter(|line| !line.starts_with('#'))
                .map(|line| format!("{line}\n"))
                .collect();
            if content.trim().is_empty() {
                return Err(Error::Usage("Edit cancelled, saved file was empty.".into()));
            }
            if content == original {
                println!("Edit cancelled, no changes made.");
                break;
            }
            match submit(session, &target, &object, &content).await {
                Ok(()) => {
                    println!("{} edited", target.label());
                    break;
                }
                Err(error @ (Error::Server(_) | Error::Yaml { .. })) => {
                    if content == refused {
                        return Err(error);
                    }
                    refused.clone_from(&content);
                    let reasons: String =
                        error.to_string().lines().map(|line| format!("# {line}\n")).collect();
                    text = format!("{HELP}{reasons}#\n{content}");
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Sends the difference, so that what others changed meanwhile stays.
async fn submit(session: &Session, target: &target::Target, original: &Value, content: &str) -> Result<()> {
    let edited: Value = serde_yaml::from_str(content).map_err(Error::yaml("the edited text"))?;
    let patch = merge_patch(original, &edited);
    session.patch(&target.path(), PatchKind::Merge, &patch).await.map(drop)
}

/// The merge patch (RFC 7386) that turns one object into another.
pub fn merge_patch(from: &Value, to: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (from, to) else { return to.clone() };
    let mut patch = serde_json::Map::new();
    for (key, new) in after {
        match before.get(key) {
            Some(old) if old == new => {}
            Some(old) if old.is_object() && new.is_object() => {
                patch.insert(key.clone(), merge_patch(old, new));
            }
            _ => {
                patch.insert(key.clone(), new.clone());
            }
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}

fn edit(text: &str) -> Result<String> {
    let io = |source| Error::Io { attempted: "edit the object", source };
    let file = tempfile::Builder::new().prefix("ctl-edit-").suffix(".yaml").tempfile().map_err(io)?;
    std::fs::write(file.path(), text).map_err(io)?;
    let editor = ["KUBE_EDITOR", "EDITOR"].iter().find_map(|name| std::env::var(name).ok());
    let editor = editor.filter(|editor| !editor.is_empty()).unwrap_or_else(|| "vi".into());
    // The variable may hold a program with arguments.
    let status =
        Command::new("sh").args(["-c", &format!("{editor} \"$0\"")]).arg(file.path()).status().map_err(io)?;
    if !status.success() {
        return Err(Error::Usage(format!(
            "there was a problem with the editor {editor:?}: it ended with {status}"
        )));
    }
    std::fs::read_to_string(file.path()).map_err(io)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_changed_is_sent() {
        let before = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1]});
        let after = json!({"a": 1, "b": {"c": 5}, "e": [1, 2], "f": true});
        assert_eq!(merge_patch(&before, &after), json!({"b": {"c": 5, "d": null}, "e": [1, 2], "f": true}));
    }
}
