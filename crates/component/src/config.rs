//! Configuration files: YAML or JSON with `apiVersion` and `kind`, every unknown key reported at once.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Why a configuration file cannot be used. `Display` names the file; the cause is the source or in the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not YAML, or a value has the wrong type.
    #[error("cannot parse configuration file {}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_yaml::Error,
    },
    /// It is some other document.
    #[error("configuration file {} is {found}, expected one of {expected}", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// `apiVersion, kind` found.
        found: String,
        /// What would do.
        expected: String,
    },
    /// Keys that nobody reads.
    #[error("configuration file {} has unknown keys: {}; remove or correct them", path.display(), .keys.join(", "))]
    UnknownKeys {
        /// The file.
        path: PathBuf,
        /// Their paths.
        keys: Vec<String>,
    },
}

/// Reads `path` as `T`, whose document must be one of `accepted` (`(apiVersion, kind)`). `T` has no fields for
/// `apiVersion` and `kind`, and does not use `deny_unknown_fields` or `flatten`: unknown keys are noticed here.
///
/// # Errors
/// See [`Error`].
pub fn load<T: DeserializeOwned>(path: &Path, accepted: &[(&str, &str)]) -> Result<T, Error> {
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    parse(path, &text, accepted)
}

/// As [`load`], for a text already read; `path` is for messages.
///
/// # Errors
/// See [`Error`].
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str, accepted: &[(&str, &str)]) -> Result<T, Error> {
    let failed = |source| Error::Parse { path: path.to_owned(), source };
    let mut document: serde_yaml::Value = serde_yaml::from_str(text).map_err(failed)?;
    let word = |key: &str| document.get(key).and_then(|v| v.as_str()).unwrap_or("").to_owned();
    let (api_version, kind) = (word("apiVersion"), word("kind"));
    if !accepted.contains(&(api_version.as_str(), kind.as_str())) {
        let expected: Vec<String> = accepted.iter().map(|(a, k)| format!("{a}, {k}")).collect();
        return Err(Error::Kind {
            path: path.to_owned(),
            found: format!("{api_version:?}, {kind:?}"),
            expected: expected.join("; "),
        });
    }
    if let Some(map) = document.as_mapping_mut() {
        map.remove("apiVersion");
        map.remove("kind");
    }
    let mut keys = Vec::new();
    let value = serde_ignored::deserialize(document, |key| keys.push(key.to_string())).map_err(failed)?;
    keys.sort();
    if keys.is_empty() { Ok(value) } else { Err(Error::UnknownKeys { path: path.to_owned(), keys }) }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Outer {
        inner: Inner,
    }
    #[derive(Debug, Deserialize)]
    struct Inner {
        size: u32,
    }

    const ACCEPTED: &[(&str, &str)] = &[("example.io/v1", "Sample")];

    fn read(text: &str) -> Result<Outer, Error> {
        parse(Path::new("/c.yaml"), text, ACCEPTED)
    }

    #[test]
    fn reports_unknown_keys_together() {
        let text = "apiVersion: example.io/v1\nkind: Sample\nfoo: 1\ninner: {size: 3, bar: 2, baz: 1}\n";
        let Err(Error::UnknownKeys { keys, .. }) = read(text) else { panic!("expected unknown keys") };
        assert_eq!(keys, ["foo", "inner.bar", "inner.baz"]);
        assert_eq!(read("apiVersion: example.io/v1\nkind: Sample\ninner: {size: 3}").unwrap().inner.size, 3);
    }

    #[test]
    fn refuses_other_kinds_and_bad_types() {
        assert!(matches!(read("kind: Other"), Err(Error::Kind { .. })));
        let text = "apiVersion: example.io/v1\nkind: Sample\ninner: {size: big}\n";
        assert!(matches!(read(text), Err(Error::Parse { .. })));
    }
}
