//! `ctl config`: the kubeconfig file.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::kubeconfig::GlobalFlags;
use crate::output::table::Table;
use crate::output::yaml;

/// What to do with it.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Show the kubeconfig, secrets left out
    View {
        /// Show secrets too.
        #[arg(long)]
        raw: bool,
        /// Show only what the current context uses.
        #[arg(long)]
        minify: bool,
    },
    /// Show the name of the current context
    CurrentContext,
    /// Show the contexts
    GetContexts {
        /// name: only their names.
        #[arg(long, short = 'o', value_parser = ["name"], value_name = "name")]
        output: Option<String>,
        /// Leave out the heading.
        #[arg(long)]
        no_headers: bool,
    },
    /// Make a context the current one
    UseContext {
        /// The context.
        name: String,
    },
    /// Change or make a context: its --namespace, --cluster and --user
    SetContext {
        /// The context.
        #[arg(required_unless_present = "current")]
        name: Option<String>,
        /// The current context.
        #[arg(long)]
        current: bool,
    },
}

/// Runs the command; it needs no server.
pub fn run(global: &GlobalFlags, command: &Command) -> Result<()> {
    let merged = merged(global)?;
    let current = merged["current-context"].as_str().unwrap_or_default();
    match command {
        Command::View { raw, minify } => {
            let mut shown = if *minify { minified(&merged, current) } else { merged.clone() };
            if !raw {
                redact(&mut shown);
            }
            print!("{}", yaml::to_string(&shown));
            Ok(())
        }
        Command::CurrentContext if current.is_empty() => {
            Err(Error::Usage("current-context is not set".into()))
        }
        Command::CurrentContext => {
            println!("{current}");
            Ok(())
        }
        Command::GetContexts { output, no_headers } => {
            contexts(&merged, output.is_some(), *no_headers);
            Ok(())
        }
        Command::UseContext { name } => {
            if entry(&merged, "contexts", name).is_none() {
                return Err(Error::Usage(format!("no context exists with the name: {name:?}")));
            }
            change(global, None, |file| file["current-context"] = json!(name))?;
            println!("Switched to context {name:?}.");
            Ok(())
        }
        Command::SetContext { name, .. } => {
            let name = name.as_deref().unwrap_or(current);
            if name.is_empty() {
                return Err(Error::Usage("no current context is set".into()));
            }
            let known = entry(&merged, "contexts", name).is_some();
            change(global, Some(name), |file| set_context(file, name, global))?;
            println!("Context {name:?} {}.", if known { "modified" } else { "created" });
            Ok(())
        }
    }
}

fn contexts(merged: &Value, names_only: bool, no_headers: bool) {
    let current = merged["current-context"].as_str().unwrap_or_default();
    let mut table = Table::default();
    if !no_headers {
        let heading = ["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"];
        table.heading = heading.map(str::to_owned).to_vec();
    }
    for entry in merged["contexts"].as_array().into_iter().flatten() {
        let name = entry["name"].as_str().unwrap_or_default();
        if names_only {
            println!("{name}");
            continue;
        }
        let field = |field: &str| entry["context"][field].as_str().unwrap_or_default().to_owned();
        let mark = if name == current { "*" } else { "" };
        table.rows.push(vec![mark.into(), name.into(), field("cluster"), field("user"), field("namespace")]);
    }
    if !names_only {
        print!("{}", table.render());
    }
}

fn read(path: &PathBuf) -> Result<Value> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::file(path.display(), source))?;
    serde_yaml::from_str(&text).map_err(Error::yaml(&path.display().to_string()))
}

/// All files as one: of entries with one name, the first counts.
fn merged(global: &GlobalFlags) -> Result<Value> {
    let mut merged = json!({
        "apiVersion": "v1", "kind": "Config", "clusters": [], "contexts": [], "users": [], "current-context": "",
    });
    for path in global.files().iter().filter(|path| global.kubeconfig.is_some() || path.exists()) {
        let file = read(path)?;
        for list in ["clusters", "contexts", "users"] {
            for item in file[list].as_array().into_iter().flatten() {
                let known = entry(&merged, list, item["name"].as_str().unwrap_or_default()).is_some();
                if let Some(items) = merged[list].as_array_mut().filter(|_| !known) {
                    items.push(item.clone());
                }
            }
        }
        if merged["current-context"] == "" && file["current-context"].is_string() {
            merged["current-context"] = file["current-context"].clone();
        }
    }
    if let Some(context) = &global.context {
        merged["current-context"] = json!(context);
    }
    Ok(merged)
}

fn entry<'a>(file: &'a Value, list: &str, name: &str) -> Option<&'a Value> {
    file[list].as_array()?.iter().find(|item| item["name"] == name)
}

fn minified(merged: &Value, current: &str) -> Value {
    let mut shown = merged.clone();
    let context =
        entry(merged, "contexts", current).map(|entry| entry["context"].clone()).unwrap_or_default();
    let kept = [
        ("contexts", current),
        ("clusters", context["cluster"].as_str().unwrap_or_default()),
        ("users", context["user"].as_str().unwrap_or_default()),
    ];
    for (list, name) in kept {
        shown[list] = entry(merged, list, name).map_or(json!([]), |entry| json!([entry]));
    }
    shown
}

fn redact(shown: &mut Value) {
    const SECRETS: [(&str, &str, &str, &str); 5] = [
        ("users", "user", "token", "REDACTED"),
        ("users", "user", "password", "REDACTED"),
        ("users", "user", "client-key-data", "DATA+OMITTED"),
        ("users", "user", "client-certificate-data", "DATA+OMITTED"),
        ("clusters", "cluster", "certificate-authority-data", "DATA+OMITTED"),
    ];
    for (list, object, field, instead) in SECRETS {
        for item in shown[list].as_array_mut().into_iter().flatten() {
            if let Some(value) = item[object].get_mut(field) {
                *value = json!(instead);
            }
        }
    }
}

/// Changes the file that holds a context, or else the first one, and replaces it whole.
fn change(global: &GlobalFlags, context: Option<&str>, edit: impl FnOnce(&mut Value)) -> Result<()> {
    let files = global.files();
    let holds = |path: &&PathBuf| {
        let file = read(path).unwrap_or_default();
        context.is_some_and(|name| entry(&file, "contexts", name).is_some())
    };
    let path = files.iter().find(holds).or(files.first());
    let path =
        path.ok_or_else(|| Error::Usage("there is no kubeconfig to change; set $KUBECONFIG".into()))?;
    let mut file = if path.exists() { read(path)? } else { json!({"apiVersion": "v1", "kind": "Config"}) };
    edit(&mut file);
    let failed = |source| Error::file(path.display(), source);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.map_or_else(|| PathBuf::from("."), PathBuf::from);
    std::fs::create_dir_all(&folder).map_err(failed)?;
    // Written beside it and renamed, readable for its owner only: it holds credentials.
    let new = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    std::fs::write(new.path(), yaml::to_string(&file)).map_err(failed)?;
    new.persist(path).map_err(|error| failed(error.error)).map(drop)
}

fn set_context(file: &mut Value, name: &str, global: &GlobalFlags) {
    if !file["contexts"].is_array() {
        file["contexts"] = json!([]);
    }
    let Some(contexts) = file["contexts"].as_array_mut() else { return };
    let index = contexts.iter().position(|entry| entry["name"] == name).unwrap_or_else(|| {
        contexts.push(json!({"name": name, "context": Map::new()}));
        contexts.len() - 1
    });
    let context = &mut contexts[index]["context"];
    for (field, value) in
        [("namespace", &global.namespace), ("cluster", &global.cluster), ("user", &global.user)]
    {
        if let Some(value) = value {
            context[field] = json!(value);
        }
    }
}
