//! The options of requests: what a client may say about a read, a write or a deletion besides the object.

use api_types::field::{self, ErrorKind, Path};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result, invalid_options};
use crate::http::query::Query;

/// What happens to fields that the schema does not know, and to repeated ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Dropped, with a warning each. The server's default.
    #[default]
    Warn,
    /// Dropped silently.
    Ignore,
    /// Refused.
    Strict,
}

/// CreateOptions, UpdateOptions and PatchOptions.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Nothing may be stored.
    pub dry_run: bool,
    /// Who owns the fields that this write sets; empty for a name made from the user agent.
    pub field_manager: String,
    /// What happens to unknown fields.
    pub field_validation: FieldValidation,
    /// Server-side apply takes over fields of other managers.
    pub force: bool,
    /// As JSON, for admission.
    pub raw: Value,
}

impl WriteOptions {
    /// Reads the query; `kind` is "CreateOptions", "UpdateOptions" or "PatchOptions".
    ///
    /// # Errors
    /// `Invalid`, listing every wrong option.
    pub fn parse(kind: &str, query: &Query, apply: bool) -> Result<Self> {
        let mut errors = Vec::new();
        let dry_run = dry_run(query.all("dryRun").map(str::to_owned).collect(), &mut errors);
        let field_manager = query.text("fieldManager").to_owned();
        let force = query.get("force");
        if kind == "PatchOptions" {
            if apply && field_manager.is_empty() {
                errors
                    .push(field::Error::required(&Path::new("fieldManager"), "is required for apply patch"));
            }
            if !apply && force.is_some() {
                errors.push(field::Error::forbidden(
                    &Path::new("force"),
                    "may not be specified for non-apply patch",
                ));
            }
        }
        check_manager(&field_manager, &mut errors);
        let field_validation = match query.text("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                let path = Path::new("fieldValidation");
                errors.push(field::Error::not_supported(&path, other, &["", "Ignore", "Strict", "Warn"]));
                FieldValidation::Warn
            }
        };
        if !errors.is_empty() {
            return Err(invalid_options(kind, errors));
        }
        let mut raw = Map::new();
        raw.insert("kind".into(), kind.into());
        raw.insert("apiVersion".into(), "meta.k8s.io/v1".into());
        for key in ["fieldManager", "fieldValidation"] {
            if let Some(value) = query.get(key) {
                raw.insert(key.into(), value.into());
            }
        }
        if dry_run {
            raw.insert("dryRun".into(), json!(["All"]));
        }
        let force = query.flag("force");
        if force {
            raw.insert("force".into(), true.into());
        }
        Ok(WriteOptions { dry_run, field_manager, field_validation, force, raw: raw.into() })
    }
}

fn dry_run(values: Vec<String>, errors: &mut Vec<field::Error>) -> bool {
    let values: Vec<String> = values.into_iter().filter(|v| !v.is_empty()).collect();
    if values.iter().any(|value| value != "All") {
        errors.push(field::Error::not_supported(&Path::new("dryRun"), json!(values), &["All"]));
    }
    !values.is_empty()
}

fn check_manager(manager: &str, errors: &mut Vec<field::Error>) {
    let path = Path::new("fieldManager");
    if manager.len() > 128 {
        errors.push(field::Error::too_long(&path, 128));
    }
    if let Some((at, c)) = manager.chars().enumerate().find(|(_, c)| c.is_control()) {
        let detail = format!("invalid character U+{:04X} (at position {at})", c as u32);
        errors.push(field::Error::invalid(&path, manager, detail));
    }
}

/// What happens to an object's dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// The object goes at once; the garbage collector removes dependents later.
    Background,
    /// Dependents go first.
    Foreground,
    /// Dependents stay and lose the reference.
    Orphan,
}

/// DeleteOptions.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Nothing may be stored.
    pub dry_run: bool,
    /// Seconds that the object's workload has to end.
    pub grace_period_secs: Option<i64>,
    /// What happens to dependents; `None` for the resource's default.
    pub propagation: Option<Propagation>,
    /// The old way of saying `propagation`.
    pub orphan_dependents: Option<bool>,
    /// The object must have this uid.
    pub uid: Option<String>,
    /// The object must have this resource version.
    pub resource_version: Option<String>,
    /// As JSON, for admission.
    pub raw: Value,
}

impl DeleteOptions {
    /// Reads the body, or the query where there is no body.
    ///
    /// # Errors
    /// `BadRequest` for malformed numbers, `Invalid` for wrong options.
    pub fn parse(body: Option<Value>, query: &Query) -> Result<Self> {
        let mut raw = match body {
            Some(body) => body,
            None => Self::from_query(query)?,
        };
        let mut errors = Vec::new();
        let dry = raw["dryRun"].as_array().into_iter().flatten();
        let dry_run = dry_run(dry.map(|v| v.as_str().unwrap_or_default().to_owned()).collect(), &mut errors);
        let path = Path::new("propagationPolicy");
        let policy = raw["propagationPolicy"].as_str();
        let propagation = match policy {
            None => None,
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(other) => {
                let known = ["Foreground", "Background", "Orphan", "nil"];
                errors.push(field::Error::not_supported(&path, other, &known));
                None
            }
        };
        let orphan_dependents = raw["orphanDependents"].as_bool();
        if let (Some(policy), Some(_)) = (policy, orphan_dependents) {
            let detail = "orphanDependents and deletionPropagation cannot be both set";
            errors.insert(0, field::Error::invalid(&path, policy, detail));
        }
        if !errors.is_empty() {
            return Err(invalid_options("DeleteOptions", errors));
        }
        let condition = |key: &str| raw["preconditions"][key].as_str().map(str::to_owned);
        let (uid, resource_version) = (condition("uid"), condition("resourceVersion"));
        let grace_period_secs = raw["gracePeriodSeconds"].as_i64();
        if let Some(map) = raw.as_object_mut() {
            map.insert("kind".into(), "DeleteOptions".into());
            map.insert("apiVersion".into(), "meta.k8s.io/v1".into());
        }
        Ok(DeleteOptions {
            dry_run,
            grace_period_secs,
            propagation,
            orphan_dependents,
            uid,
            resource_version,
            raw,
        })
    }

    fn from_query(query: &Query) -> Result<Value> {
        let mut raw = Map::new();
        if let Some(secs) = integer(query, "gracePeriodSeconds")? {
            raw.insert("gracePeriodSeconds".into(), secs.into());
        }
        if query.get("orphanDependents").is_some() {
            raw.insert("orphanDependents".into(), query.flag("orphanDependents").into());
        }
        if let Some(policy) = query.get("propagationPolicy") {
            raw.insert("propagationPolicy".into(), policy.into());
        }
        for key in ["uid", "resourceVersion"] {
            if let Some(wanted) = query.get(key) {
                raw.entry("preconditions").or_insert_with(|| json!({}))[key] = wanted.into();
            }
        }
        let dry: Vec<&str> = query.all("dryRun").collect();
        if !dry.is_empty() {
            raw.insert("dryRun".into(), json!(dry));
        }
        Ok(raw.into())
    }
}

/// How a list's `resourceVersion` is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionMatch {
    /// At least this fresh.
    NotOlderThan,
    /// Exactly this state.
    Exact,
}

/// ListOptions, of lists and of watches.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Unparsed label selector.
    pub label_selector: String,
    /// Unparsed field selector.
    pub field_selector: String,
    /// Whether changes are wanted instead of the present state.
    pub watch: bool,
    /// Whether progress may be reported by BOOKMARK events.
    pub bookmarks: bool,
    /// "" for the latest state, "0" for whatever the cache has, else a version.
    pub resource_version: String,
    /// How `resource_version` is meant.
    pub version_match: Option<VersionMatch>,
    /// Ends a watch after this many seconds.
    pub timeout_secs: Option<i64>,
    /// The most items in one page; 0 for all.
    pub limit: i64,
    /// Where the page before ended.
    pub continue_token: String,
    /// Whether a watch starts with the present state.
    pub send_initial_events: Option<bool>,
}

impl ListOptions {
    /// Reads the query.
    ///
    /// # Errors
    /// `BadRequest` for malformed numbers, `Invalid` for contradictions.
    pub fn parse(query: &Query, watch: bool) -> Result<Self> {
        let match_text = query.text("resourceVersionMatch");
        let options = ListOptions {
            label_selector: query.text("labelSelector").to_owned(),
            field_selector: query.text("fieldSelector").to_owned(),
            watch,
            bookmarks: query.flag("allowWatchBookmarks"),
            resource_version: query.text("resourceVersion").to_owned(),
            version_match: match match_text {
                "NotOlderThan" => Some(VersionMatch::NotOlderThan),
                "Exact" => Some(VersionMatch::Exact),
                _ => None,
            },
            timeout_secs: integer(query, "timeoutSeconds")?,
            limit: integer(query, "limit")?.unwrap_or(0),
            continue_token: query.text("continue").to_owned(),
            send_initial_events: query.get("sendInitialEvents").map(|_| query.flag("sendInitialEvents")),
        };
        let errors = if watch { options.watch_errors(match_text) } else { options.list_errors(match_text) };
        match errors.is_empty() {
            true => Ok(options),
            false => Err(invalid_options("ListOptions", errors)),
        }
    }

    fn list_errors(&self, match_text: &str) -> Vec<field::Error> {
        let path = Path::new("resourceVersionMatch");
        let mut errors = Vec::new();
        if !match_text.is_empty() {
            if self.resource_version.is_empty() {
                errors.push(forbidden(
                    &path,
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            if !self.continue_token.is_empty() {
                errors.push(forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
            }
            if self.version_match.is_none() {
                errors.push(field::Error::not_supported(&path, match_text, &["Exact", "NotOlderThan", ""]));
            }
            if self.version_match == Some(VersionMatch::Exact) && self.resource_version == "0" {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.push(forbidden(&path, why));
            }
        }
        if self.send_initial_events.is_some() {
            let path = Path::new("sendInitialEvents");
            errors.push(forbidden(&path, "sendInitialEvents is forbidden for list"));
        }
        errors
    }

    fn watch_errors(&self, match_text: &str) -> Vec<field::Error> {
        let path = Path::new("resourceVersionMatch");
        let not_older = self.version_match == Some(VersionMatch::NotOlderThan);
        let mut errors = Vec::new();
        if self.send_initial_events.is_some() && !not_older {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            errors.push(forbidden(&path, why));
        }
        if !match_text.is_empty() {
            if self.send_initial_events.is_none() {
                let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                errors.push(forbidden(&path, why));
            }
            if !not_older {
                errors.push(field::Error::not_supported(&path, match_text, &["NotOlderThan"]));
            }
        }
        if !self.continue_token.is_empty() {
            errors.push(forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
        }
        errors
    }
}

fn forbidden(path: &Path<'_>, why: &str) -> field::Error {
    field::Error::new(ErrorKind::Forbidden, path, "", why)
}

fn integer(query: &Query, key: &str) -> Result<Option<i64>> {
    match query.get(key) {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            Error::bad_request(format!("strconv.ParseInt: parsing {}: invalid syntax", field::quote(text)))
        }),
    }
}
