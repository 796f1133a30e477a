//! Objects in files.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::target::Files;

/// Every object of the files, Lists taken apart, in the order of files and documents.
///
/// # Errors
/// When a file is missing, not YAML, or an object has no kind.
pub fn read_all(files: &Files) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for name in &files.files {
        if name == "-" {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|source| Error::file("standard input", source))?;
            parse(&text, "standard input", &mut objects)?;
            continue;
        }
        if name.starts_with("http://") || name.starts_with("https://") {
            return Err(Error::Usage(format!(
                "ctl reads no URLs; fetch it first: curl -L {name} | ctl ... -f -"
            )));
        }
        for path in expand(Path::new(name), files.recursive)? {
            let text =
                std::fs::read_to_string(&path).map_err(|source| Error::file(path.display(), source))?;
            parse(&text, &path.display().to_string(), &mut objects)?;
        }
    }
    Ok(objects)
}

/// Every object of a text.
///
/// # Errors
/// When it is not YAML, or an object has no kind.
pub fn parse(text: &str, origin: &str, objects: &mut Vec<Value>) -> Result<()> {
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = Value::deserialize(document).map_err(Error::Yaml)?;
        flatten(value, origin, objects)?;
    }
    Ok(())
}

fn flatten(mut value: Value, origin: &str, objects: &mut Vec<Value>) -> Result<()> {
    if value.is_null() {
        return Ok(());
    }
    let kind = value["kind"].as_str().unwrap_or_default();
    if kind.is_empty() || !value["apiVersion"].is_string() {
        let missing = if kind.is_empty() { "kind" } else { "apiVersion" };
        return Err(Error::Usage(format!("error validating {origin:?}: an object in it has no {missing}")));
    }
    if kind.ends_with("List") && value["items"].is_array() {
        let items = value["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
        return items.into_iter().try_for_each(|item| flatten(item, origin, objects));
    }
    objects.push(value);
    Ok(())
}

fn expand(path: &Path, recursive: bool) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let entries = std::fs::read_dir(path).map_err(|source| Error::file(path.display(), source))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let known = path
            .extension()
            .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known));
        if path.is_dir() && recursive {
            found.extend(expand(&path, true)?);
        } else if path.is_file() && known {
            found.push(path);
        }
    }
    Ok(found)
}
