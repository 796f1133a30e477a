use serde_json::{Map, Value};

use super::set::Set;

/// How a manager came to own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

impl Operation {
    /// The wire form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// One entry of `metadata.managedFields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who.
    pub manager: String,
    /// How.
    pub operation: Operation,
    /// In which version the paths are to be read.
    pub api_version: String,
    /// Through which subresource; empty for the object itself.
    pub subresource: String,
    /// When the fields last changed; absent when an apply changed nothing.
    pub time: Option<String>,
    /// What.
    pub fields: Set,
}

impl Entry {
    /// Whether both are entries of one manager: an applier stays itself across versions, an updater does not.
    pub fn same_manager(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    fn from_value(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        if !matches!(text("fieldsType").as_str(), "FieldsV1") {
            return None;
        }
        let operation = match text("operation").as_str() {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        Some(Self {
            manager: text("manager"),
            operation,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: value.get("time").and_then(Value::as_str).map(str::to_owned),
            fields: match value.get("fieldsV1") {
                None | Some(Value::Null) => Set::new(),
                Some(fields) => Set::from_value(fields)?,
            },
        })
    }

    fn to_value(&self) -> Value {
        let mut out = Map::new();
        let mut put = |key: &str, text: &str| {
            if !text.is_empty() {
                out.insert(key.to_owned(), Value::from(text));
            }
        };
        put("manager", &self.manager);
        put("operation", self.operation.as_str());
        put("apiVersion", &self.api_version);
        put("subresource", &self.subresource);
        put("time", self.time.as_deref().unwrap_or_default());
        put("fieldsType", "FieldsV1");
        out.insert("fieldsV1".to_owned(), self.fields.to_value());
        Value::Object(out)
    }
}

/// The entries of `metadata.managedFields`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Managed {
    /// In no particular order; [`Managed::to_value`] sorts.
    pub entries: Vec<Entry>,
}

impl Managed {
    /// Reads the list of an object's metadata; `None` when it is malformed, no entries when it is absent.
    pub fn from_value(list: Option<&Value>) -> Option<Self> {
        let mut out = Self::default();
        for value in list.and_then(Value::as_array).into_iter().flatten() {
            let entry = Entry::from_value(value)?;
            // The last of equal managers counts.
            out.entries.retain(|e| !e.same_manager(&entry));
            out.entries.push(entry);
        }
        Some(out)
    }

    /// The list as stored: appliers first, then by time, manager, version and subresource. `None` when empty.
    pub fn to_value(&self) -> Option<Value> {
        let mut entries: Vec<&Entry> = self.entries.iter().filter(|e| !e.fields.is_empty()).collect();
        entries.sort_by_key(|e| {
            (e.operation, e.time.as_deref().unwrap_or_default(), &e.manager, &e.api_version, &e.subresource)
        });
        (!entries.is_empty()).then(|| entries.into_iter().map(Entry::to_value).collect())
    }

    /// Merges the oldest updaters of each version into one entry called `bucket` while there are more than `max`.
    pub fn cap_updaters(&mut self, max: usize, bucket: &str) {
        let mut updaters: Vec<Entry> =
            self.entries.extract_if(.., |e| e.operation == Operation::Update).collect();
        updaters.sort_by(|a, b| (&a.time, &a.manager).cmp(&(&b.time, &b.manager)));
        let mut excess = updaters.len().saturating_sub(max);
        let mut buckets: Vec<Entry> = Vec::new();
        let mut kept = Vec::new();
        for entry in updaters {
            if excess == 0 {
                kept.push(entry);
                continue;
            }
            match buckets.iter_mut().find(|b| b.api_version == entry.api_version) {
                None => buckets.push(entry),
                Some(first) => {
                    first.manager = bucket.to_owned();
                    first.subresource = String::new();
                    first.fields.add(&entry.fields);
                    first.time = entry.time;
                    excess -= 1;
                }
            }
        }
        self.entries.extend(buckets);
        self.entries.extend(kept);
    }
}
