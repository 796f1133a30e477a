//! Objects in files.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::target::Files;

/// An object, and where it was read.
#[derive(Debug)]
pub struct Document {
    /// The object.
    pub object: Value,
    /// The file; `STDIN` for standard input.
    pub origin: String,
}

/// Every object of the files, Lists taken apart, in the order of files and documents.
///
/// # Errors
/// When a file is missing, not YAML, or an object has no kind.
pub fn read_all(files: &Files) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for name in &files.files {
        if name == "-" {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|source| Error::file("standard input", source))?;
            parse(&text, "STDIN", &mut documents)?;
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
            parse(&text, &path.display().to_string(), &mut documents)?;
        }
    }
    Ok(documents)
}

/// Every object of a text.
///
/// # Errors
/// When it is not YAML, or an object has no kind.
pub fn parse(text: &str, origin: &str, documents: &mut Vec<Document>) -> Result<()> {
    for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let place = if index == 0 { origin.to_owned() } else { format!("{origin}, document {}", index + 1) };
        let mut value = Value::deserialize(document).map_err(Error::yaml(&place))?;
        octal_modes(&mut value);
        flatten(value, origin, &place, documents)?;
    }
    Ok(())
}

fn flatten(mut value: Value, origin: &str, place: &str, documents: &mut Vec<Document>) -> Result<()> {
    if value.is_null() {
        return Ok(());
    }
    let kind = value["kind"].as_str().unwrap_or_default();
    if kind.is_empty() || !value["apiVersion"].is_string() {
        let missing = if kind.is_empty() { "Kind" } else { "apiVersion" };
        return Err(Error::Usage(format!("unable to decode {place}: Object '{missing}' is missing")));
    }
    if kind.ends_with("List") && value["items"].is_array() {
        let items = value["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
        return items.into_iter().try_for_each(|item| flatten(item, origin, place, documents));
    }
    documents.push(Document { object: value, origin: origin.to_owned() });
    Ok(())
}

/// `defaultMode: 0644` is a number in YAML 1.1, which manifests are written in, and text in YAML 1.2, which is read here.
fn octal_modes(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(octal_modes),
        Value::Object(fields) => {
            let is_key_to_path = fields.contains_key("path");
            for (name, field) in fields {
                let octal = field.as_str().filter(|text| text.starts_with('0'));
                match octal.and_then(|text| u32::from_str_radix(text, 8).ok()) {
                    Some(mode) if name == "defaultMode" || (name == "mode" && is_key_to_path) => {
                        *field = mode.into();
                    }
                    _ => octal_modes(field),
                }
            }
        }
        _ => {}
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_lists_and_modes() {
        let mut found = Vec::new();
        let text = "kind: A\napiVersion: v1\ndefaultMode: 0644\nitems: [{path: x, mode: 0400}]\n---\n---\n\
                    kind: List\napiVersion: v1\nitems:\n- {kind: B, apiVersion: v1, data: {mode: '0644'}}\n";
        parse(text, "f", &mut found).unwrap();
        let objects: Vec<_> = found.into_iter().map(|document| document.object).collect();
        assert_eq!(objects[0]["defaultMode"], 0o644);
        assert_eq!(objects[0]["items"][0]["mode"], 0o400);
        assert_eq!(objects[1]["data"]["mode"], "0644");
        let error = parse("kind: A\napiVersion: v1\n---\na: 1\n", "f", &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "error: unable to decode f, document 2: Object 'Kind' is missing");
        let error = parse("kind: A\napiVersion: v1\n---\na: [\n", "f", &mut Vec::new()).unwrap_err();
        assert!(error.to_string().starts_with("error: error parsing f, document 2: "), "{error}");
    }
}
