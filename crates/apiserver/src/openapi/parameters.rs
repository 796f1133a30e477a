//! Parameters of operations.

use std::borrow::Cow;

use api_types::schema::{self, Kind, Schema};

/// A parameter in the query or in the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Part of the path, and so required; else of the query.
    pub in_path: bool,
    /// `string`, `boolean`, `integer`
    pub type_: &'static str,
    /// What it does.
    pub description: Cow<'static, str>,
    /// OpenAPI v2 refers to parameters that many operations share by their name and this suffix; empty: told in place.
    pub shared: &'static str,
}

/// Where an object is.
pub const NAMESPACE: Parameter = Parameter {
    name: Cow::Borrowed("namespace"),
    in_path: true,
    type_: "string",
    description: Cow::Borrowed("Namespace of the object"),
    shared: "vgWSWtn3",
};

/// The rest of a path that is passed on.
pub const PATH: Parameter = Parameter {
    name: Cow::Borrowed("path"),
    in_path: true,
    type_: "string",
    description: Cow::Borrowed("Path of the proxied resource"),
    shared: "",
};

/// Indented output.
pub const PRETTY: Parameter = query("pretty", "string", "Indent the answer: true or false", "tJGM1-ng");

/// Of lists and watches.
pub const LIST: &[Parameter] = &[
    query("allowWatchBookmarks", "boolean", "Send bookmarks that tell how far a watch has come", "HC2hJt-J"),
    CONTINUE,
    FIELD_SELECTOR,
    LABEL_SELECTOR,
    LIMIT,
    RESOURCE_VERSION,
    RESOURCE_VERSION_MATCH,
    SEND_INITIAL_EVENTS,
    SHARD_SELECTOR,
    TIMEOUT_SECONDS,
    query("watch", "boolean", "Stream changes instead of answering with a list", "XNNPZGbK"),
];

/// Which objects of a collection are deleted.
pub const DELETE_SELECTION: &[Parameter] = &[
    CONTINUE,
    FIELD_SELECTOR,
    LABEL_SELECTOR,
    LIMIT,
    RESOURCE_VERSION,
    RESOURCE_VERSION_MATCH,
    SEND_INITIAL_EVENTS,
    SHARD_SELECTOR,
    TIMEOUT_SECONDS,
];

/// Of deletions.
pub const DELETE: &[Parameter] = &[
    DRY_RUN,
    query("gracePeriodSeconds", "integer", "Seconds until the object is gone; 0 is at once", "-K5HaBOS"),
    query(
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "boolean",
        "Delete an object that cannot be read any more",
        "QbNkfIqj",
    ),
    query("orphanDependents", "boolean", "Keep the dependents; deprecated by propagationPolicy", "uRB25kX5"),
    query("propagationPolicy", "string", "Orphan, Background or Foreground", "6jk3prlO"),
];

/// Of creations and replacements.
pub const WRITE: &[Parameter] = &[
    DRY_RUN,
    query("fieldManager", "string", "Who becomes owner of the changed fields", "Qy4HdaTW"),
    FIELD_VALIDATION,
];

/// Of patches. Their field manager is a parameter of its own: an apply must name one.
pub const PATCH: &[Parameter] = &[
    DRY_RUN,
    query("fieldManager", "string", "Who becomes owner of the fields; an apply must say it", "7c6nTn1T"),
    FIELD_VALIDATION,
    query("force", "boolean", "Take fields over from their owners; for an apply only", "tOGGb0Yi"),
];

const CONTINUE: Parameter = query("continue", "string", "Where the list before ended", "QfD61s0i");
const FIELD_SELECTOR: Parameter =
    query("fieldSelector", "string", "Only objects with these values in fields", "xIcQKXFG");
const LABEL_SELECTOR: Parameter =
    query("labelSelector", "string", "Only objects with these labels", "5Zw57w4C");
const LIMIT: Parameter = query("limit", "integer", "At most this many objects", "1NfNmdNH");
const RESOURCE_VERSION: Parameter =
    query("resourceVersion", "string", "As of this version; see the API concepts", "5WAnf1kx");
const RESOURCE_VERSION_MATCH: Parameter =
    query("resourceVersionMatch", "string", "How the version is meant: Exact or NotOlderThan", "t8XhRHeC");
const SEND_INITIAL_EVENTS: Parameter =
    query("sendInitialEvents", "boolean", "Begin a watch with the objects that exist", "rLXlEK_k");
const SHARD_SELECTOR: Parameter =
    query("shardSelector", "string", "Only objects of this part of a divided list", "Kgyki_3_");
const TIMEOUT_SECONDS: Parameter =
    query("timeoutSeconds", "integer", "End the call after this many seconds", "yvYezaOC");
const DRY_RUN: Parameter = query("dryRun", "string", "Go through all steps but storing: All", "");
const FIELD_VALIDATION: Parameter =
    query("fieldValidation", "string", "What to do about unknown fields: Ignore, Warn or Strict", "");

/// Suffixes of shared parameters that come from an options type: subresource, parameter, suffix.
const OPTION_SUFFIXES: [(&str, &str, &str); 19] = [
    ("exec", "command", "Py3eQybp"),
    ("exec", "container", "i5dOmRiM"),
    ("exec", "stderr", "W_1TNlWc"),
    ("exec", "stdin", "PSzNhyUC"),
    ("exec", "stdout", "-EZLRwV1"),
    ("exec", "tty", "s0flW37O"),
    ("attach", "container", "_Q-EJ3nR"),
    ("attach", "stderr", "26jJhFUR"),
    ("attach", "stdin", "sEFnN3IS"),
    ("attach", "stdout", "005YMKE6"),
    ("attach", "tty", "g7MlET_l"),
    ("log", "container", "1GeXxFDC"),
    ("log", "follow", "9OIXh_2R"),
    ("log", "insecureSkipTLSVerifyBackend", "gM00jVbe"),
    ("log", "limitBytes", "zwd1RXuc"),
    ("log", "previous", "1jxDPu3y"),
    ("log", "sinceSeconds", "vE2NLdnP"),
    ("log", "tailLines", "9xQLWHMV"),
    ("log", "timestamps", "c17fW1w_"),
];

const fn query(
    name: &'static str,
    type_: &'static str,
    description: &'static str,
    shared: &'static str,
) -> Parameter {
    Parameter {
        name: Cow::Borrowed(name),
        in_path: false,
        type_,
        description: Cow::Borrowed(description),
        shared,
    }
}

/// The name of an object in the path.
pub fn name(kind: &str) -> Parameter {
    Parameter {
        name: "name".into(),
        in_path: true,
        type_: "string",
        description: format!("Name of the {kind}").into(),
        shared: "",
    }
}

/// The fields of an options type (`PodExecOptions`) as parameters of a subresource.
pub fn of_options(subresource: &str, kind: &str) -> Vec<Parameter> {
    let Some(schema) = schema::by_gvk("", "v1", kind) else { return Vec::new() };
    let fields = schema.as_struct().map(|layout| layout.sorted()).into_iter().flatten();
    let fields = fields.filter(|field| !matches!(&*field.name, "kind" | "apiVersion"));
    let parameters = fields.filter_map(|field| {
        let suffix = OPTION_SUFFIXES.iter().find(|(sub, name, _)| *sub == subresource && field.name == *name);
        Some(Parameter {
            name: field.name.clone(),
            in_path: false,
            type_: query_type(&field.schema)?,
            description: format!("Option {} of {subresource}", field.name).into(),
            shared: suffix.map_or("", |(_, _, suffix)| suffix),
        })
    });
    parameters.collect()
}

/// The type of a field as a query parameter, where it can be one. A list is told by repeating the parameter.
fn query_type(schema: &Schema) -> Option<&'static str> {
    match &schema.kind {
        Kind::Bool => Some("boolean"),
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => Some("integer"),
        Kind::String => Some("string"),
        Kind::List(list) => query_type(&list.item),
        _ => None,
    }
}

/// Both lists.
pub fn merged(one: &[Parameter], other: &[Parameter]) -> Vec<Parameter> {
    [one, other].concat()
}

/// In the order of the documents: by name, the path's before the query's.
pub fn sort(parameters: &mut [Parameter]) {
    parameters.sort_by(|a, b| (&a.name, !a.in_path).cmp(&(&b.name, !b.in_path)));
}
