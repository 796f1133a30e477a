//! Writing the members of an object in canonical order, and putting the revision among them.

use serde_json::{Map, Value};

use super::position;

/// Where `"resourceVersion":"N"` belongs in a run of members, and which commas it needs there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Splice {
    pub at: usize,
    comma_before: bool,
    comma_after: bool,
}

const REVISION_KEY: &[u8] = br#""resourceVersion":""#;

impl Splice {
    /// How many bytes are inserted for a revision of so many digits.
    pub fn inserted_len(self, digits: usize) -> usize {
        REVISION_KEY.len() + digits + 1 + usize::from(self.comma_before) + usize::from(self.comma_after)
    }

    /// The canonical JSON of `{` and the tail with the revision in place, and where its digits begin.
    pub fn apply(self, tail: &[u8], revision: i64) -> (Vec<u8>, u32) {
        let text = revision.to_string();
        let mut json = Vec::with_capacity(1 + tail.len() + self.inserted_len(text.len()));
        json.push(b'{');
        json.extend_from_slice(&tail[..self.at]);
        if self.comma_before {
            json.push(b',');
        }
        json.extend_from_slice(REVISION_KEY);
        let revision_at = position(json.len());
        json.extend_from_slice(text.as_bytes());
        json.push(b'"');
        if self.comma_after {
            json.push(b',');
        }
        json.extend_from_slice(&tail[self.at..]);
        (json, revision_at)
    }
}

/// Serialises the members but kind and version in key order, noting where the revision goes.
pub(super) fn write_tail(
    members: &Map<String, Value>,
    metadata: &Map<String, Value>,
) -> serde_json::Result<(Vec<u8>, Splice)> {
    let mut names: Vec<&str> = members.keys().map(String::as_str).collect();
    names.retain(|name| !matches!(*name, "kind" | "apiVersion" | "metadata"));
    names.push("metadata");
    names.sort_unstable();
    let mut tail = Vec::with_capacity(1024);
    let mut splice = Splice::default();
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            tail.push(b',');
        }
        write_name(&mut tail, name)?;
        if *name != "metadata" {
            serde_json::to_writer(&mut tail, &members[*name])?;
            continue;
        }
        let mut inner: Vec<(&str, &Value)> =
            metadata.iter().map(|(name, value)| (name.as_str(), value)).collect();
        inner.sort_unstable_by_key(|(name, _)| *name);
        splice = write_metadata(&mut tail, &inner, |tail, value| serde_json::to_writer(tail, value))?;
    }
    tail.push(b'}');
    Ok((tail, splice))
}

/// Writes the metadata object without its revision; the members come in key order.
pub(super) fn write_metadata<V>(
    tail: &mut Vec<u8>,
    members: &[(&str, V)],
    write: impl Fn(&mut Vec<u8>, &V) -> serde_json::Result<()>,
) -> serde_json::Result<Splice> {
    tail.push(b'{');
    let mut splice = None;
    let mut first = true;
    for (name, value) in members.iter().filter(|(name, _)| *name != "resourceVersion") {
        if !first {
            tail.push(b',');
        }
        if splice.is_none() && *name > "resourceVersion" {
            splice = Some(Splice { at: tail.len(), comma_before: false, comma_after: true });
        }
        first = false;
        write_name(tail, name)?;
        write(tail, value)?;
    }
    let splice = splice.unwrap_or(Splice { at: tail.len(), comma_before: !first, comma_after: false });
    tail.push(b'}');
    Ok(splice)
}

pub(super) fn write_name(tail: &mut Vec<u8>, name: &str) -> serde_json::Result<()> {
    serde_json::to_writer(&mut *tail, name)?;
    tail.push(b':');
    Ok(())
}
