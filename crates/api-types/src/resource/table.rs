//! The embedded rows of built-in resources.

use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use super::{Column, Group, GroupVersion, ResourceInfo, SelectableField, Subresource, Text};
use crate::schema;

static ROWS: &str = include_str!("../../schema/resources.jsonl");
static GROUPS: &str = include_str!("../../schema/groups.txt");

/// A row as `hack/codegen` writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    singular: &'static str,
    kind: &'static str,
    namespaced: bool,
    verbs: Vec<&'static str>,
    #[serde(rename = "type")]
    type_: &'static str,
    served: bool,
    #[serde(default)]
    short_names: Vec<&'static str>,
    #[serde(default)]
    categories: Vec<&'static str>,
    #[serde(default)]
    hash: &'static str,
    #[serde(default)]
    key: &'static str,
    #[serde(default)]
    stored_as: Option<(&'static str, &'static str)>,
    /// Name, body's group/version when not ours, body's kind, verbs.
    #[serde(default)]
    subresources: Vec<(&'static str, &'static str, &'static str, Vec<&'static str>)>,
    /// Label, path.
    #[serde(default)]
    fields: Vec<(&'static str, &'static str)>,
    /// Name, type, format, priority.
    #[serde(default)]
    columns: Vec<(&'static str, &'static str, &'static str, i32)>,
}

/// Rows of all built-in resources, sorted by group, version, plural.
pub fn builtin() -> &'static [Arc<ResourceInfo>] {
    static TABLE: OnceLock<Vec<Arc<ResourceInfo>>> = OnceLock::new();
    TABLE.get_or_init(|| {
        // The table is checked in and a test reads all of it; a row that does not parse cannot be built into a binary.
        ROWS.lines()
            .filter_map(|line| serde_json::from_str::<Row>(line).ok())
            .map(|row| Arc::new(info(row)))
            .collect()
    })
}

/// The row of a built-in resource; the core group is `""`.
pub fn find(group: &str, version: &str, plural: &str) -> Option<Arc<ResourceInfo>> {
    let rows = builtin();
    rows.binary_search_by(|r| (&*r.group, &*r.version, &*r.plural).cmp(&(group, version, plural)))
        .ok()
        .map(|position| Arc::clone(&rows[position]))
}

/// The row whose objects have this kind.
pub fn find_kind(group: &str, version: &str, kind: &str) -> Option<Arc<ResourceInfo>> {
    builtin().iter().find(|r| r.group == group && r.version == version && r.kind == kind).map(Arc::clone)
}

/// Groups in discovery's order, the core group first, versions most preferred first.
pub fn groups() -> &'static [Group] {
    static TABLE: OnceLock<Vec<Group>> = OnceLock::new();
    TABLE.get_or_init(|| GROUPS.lines().filter(|l| !l.starts_with('#')).map(group).collect())
}

fn group(line: &'static str) -> Group {
    let (name, versions) = line.split_once(' ').unwrap_or((line, ""));
    let name = if name == "-" { "" } else { name };
    let versions = versions
        .split(' ')
        .map(|text| {
            let (version, served_by_default) = match text.strip_prefix('+') {
                Some(version) => (version, true),
                None => (text, false),
            };
            let resources = builtin()
                .iter()
                .filter(|r| r.group == name && r.version == version)
                .map(Arc::clone)
                .collect();
            GroupVersion { version, served_by_default, resources }
        })
        .collect();
    Group { name, versions }
}

fn info(row: Row) -> ResourceInfo {
    let texts = |list: Vec<&'static str>| list.into_iter().map(Text::Borrowed).collect::<Vec<_>>();
    let (stored_api_version, stored_kind) = row.stored_as.unwrap_or_default();
    let subresources = row
        .subresources
        .into_iter()
        .map(|(name, body, kind, verbs)| {
            let (group, version) = match body.split_once('/') {
                Some(pair) => pair,
                None if body.is_empty() => (row.group, row.version),
                None => ("", body),
            };
            Subresource {
                name: Text::Borrowed(name),
                group: Text::Borrowed(group),
                version: Text::Borrowed(version),
                kind: Text::Borrowed(kind),
                verbs: texts(verbs),
            }
        })
        .collect();
    let column = |(name, type_, format, priority)| Column {
        name: Text::Borrowed(name),
        type_: Text::Borrowed(type_),
        format: Text::Borrowed(format),
        priority,
        json_path: Text::Borrowed(""),
        description: Text::Borrowed(""),
    };
    ResourceInfo {
        group: Text::Borrowed(row.group),
        version: Text::Borrowed(row.version),
        plural: Text::Borrowed(row.plural),
        singular: Text::Borrowed(row.singular),
        kind: Text::Borrowed(row.kind),
        list_kind: Text::Owned(format!("{}List", row.kind)),
        namespaced: row.namespaced,
        verbs: texts(row.verbs),
        short_names: texts(row.short_names),
        categories: texts(row.categories),
        subresources,
        key_prefix: Text::Borrowed(row.key),
        stored_api_version: Text::Borrowed(stored_api_version),
        stored_kind: Text::Borrowed(stored_kind),
        selectable_fields: row
            .fields
            .into_iter()
            .map(|(label, path)| SelectableField { label: Text::Borrowed(label), path: Text::Borrowed(path) })
            .collect(),
        columns: row.columns.into_iter().map(column).collect(),
        schema: schema::by_type(row.type_).unwrap_or_default(),
        served_by_default: row.served,
        storage_version_hash: Text::Borrowed(row.hash),
        custom: None,
    }
}
