use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::{Map, Value};

use super::{ParseError, parse};
use crate::field::{self, ErrorList, Path};
use crate::name;

/// A set of labels that a selector can be asked about.
pub trait Labels {
    /// The value of the label `key`.
    fn label(&self, key: &str) -> Option<&str>;
}

impl Labels for BTreeMap<String, String> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl Labels for HashMap<String, String> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl Labels for Map<String, Value> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }
}

/// A JSON value that is the labels map (`metadata.labels`); anything else has no labels.
impl Labels for Value {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Labels for [(K, V)] {
    fn label(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| k.as_ref() == key).map(|(_, v)| v.as_ref())
    }
}

impl<T: Labels> Labels for Option<T> {
    fn label(&self, key: &str) -> Option<&str> {
        self.as_ref().and_then(|labels| labels.label(key))
    }
}

impl<T: Labels + ?Sized> Labels for &T {
    fn label(&self, key: &str) -> Option<&str> {
        (**self).label(key)
    }
}

/// How a requirement relates a label to its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `key=value`
    Equals,
    /// `key==value`
    DoubleEquals,
    /// `key!=value`
    NotEquals,
    /// `key in (a,b)`
    In,
    /// `key notin (a,b)`
    NotIn,
    /// `key`
    Exists,
    /// `!key`
    DoesNotExist,
    /// `key>1`
    GreaterThan,
    /// `key<1`
    LessThan,
}

/// One term of a selector.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// How it must relate to the values.
    pub operator: Operator,
    /// Sorted, without repetition.
    pub values: Vec<String>,
}

impl Requirement {
    /// A requirement whose key and values were checked; `path` leads to it (`None` when parsed from a string).
    pub fn new(
        key: impl Into<String>,
        operator: Operator,
        values: impl IntoIterator<Item = String>,
        path: Option<&Path<'_>>,
    ) -> Result<Self, ErrorList> {
        let key = key.into();
        let mut values: Vec<String> = values.into_iter().collect();
        values.sort_unstable();
        values.dedup();
        let errors = check(&key, operator, &values, path.unwrap_or(&Path::ROOT));
        if errors.is_empty() { Ok(Self { key, operator, values }) } else { Err(errors) }
    }

    /// Whether the labels satisfy this term.
    pub fn matches(&self, labels: &(impl Labels + ?Sized)) -> bool {
        let found = labels.label(&self.key);
        let listed = |v: &str| self.values.iter().any(|x| x == v);
        match self.operator {
            Operator::Equals | Operator::DoubleEquals | Operator::In => found.is_some_and(listed),
            Operator::NotEquals | Operator::NotIn => !found.is_some_and(listed),
            Operator::Exists => found.is_some(),
            Operator::DoesNotExist => found.is_none(),
            Operator::GreaterThan | Operator::LessThan => {
                let (Some(Ok(have)), Some(Ok(bound))) =
                    (found.map(str::parse::<i64>), self.values.first().map(|v| v.parse::<i64>()))
                else {
                    return false;
                };
                if self.operator == Operator::GreaterThan { have > bound } else { have < bound }
            }
        }
    }
}

fn check(key: &str, operator: Operator, values: &[String], path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(key_error(key, &path.child("key")));
    let at = path.child("values");
    let mut reject = |detail: &str| {
        let shown = Value::from(values.to_vec());
        errors.push(field::Error::invalid(&at, shown, detail));
    };
    match operator {
        Operator::In | Operator::NotIn if values.is_empty() => {
            reject("for 'in', 'notin' operators, values set can't be empty");
        }
        Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
            reject("exact-match compatibility requires one single value");
        }
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
            reject("values set must be empty for exists and does not exist");
        }
        Operator::GreaterThan | Operator::LessThan => {
            if values.len() != 1 {
                reject("for 'Gt', 'Lt' operators, exactly one value is required");
            }
            for (i, value) in values.iter().enumerate().filter(|(_, v)| v.parse::<i64>().is_err()) {
                let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(field::Error::invalid(&at.index(i), value.as_str(), detail));
            }
        }
        _ => {}
    }
    for (i, value) in values.iter().enumerate() {
        let wrong = name::label_value(value);
        if !wrong.is_empty() {
            errors.push(field::Error::invalid(&at.index(i).key(key), value.as_str(), wrong.join("; ")));
        }
    }
    errors
}

/// What is wrong with a label key, if anything.
pub(super) fn key_error(key: &str, path: &Path<'_>) -> Option<field::Error> {
    let wrong = name::qualified_name(key);
    (!wrong.is_empty()).then(|| field::Error::invalid(path, key, wrong.join("; ")))
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, operator, values } = self;
        let one = || values.first().map_or("", String::as_str);
        match operator {
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::Equals => write!(f, "{key}={}", one()),
            Operator::DoubleEquals => write!(f, "{key}=={}", one()),
            Operator::NotEquals => write!(f, "{key}!={}", one()),
            Operator::GreaterThan => write!(f, "{key}>{}", one()),
            Operator::LessThan => write!(f, "{key}<{}", one()),
            Operator::In => write!(f, "{key} in ({})", values.join(",")),
            Operator::NotIn => write!(f, "{key} notin ({})", values.join(",")),
        }
    }
}

/// A conjunction of requirements on labels, or the selector that matches nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Selector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl Selector {
    /// Matches every object.
    pub const fn everything() -> Self {
        Self { requirements: Vec::new(), nothing: false }
    }

    /// Matches no object.
    pub const fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// Matches objects that satisfy all the requirements.
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements, nothing: false }
    }

    /// Reads the string syntax, such as `app=web,tier in (a,b),!legacy`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::parse(text).map(Self::new)
    }

    /// All of the given labels must be there, with these values (the selector of a Service or a
    /// ReplicationController). An empty map matches everything.
    pub fn from_map<K: Into<String>, V: Into<String>>(labels: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::new(
            labels
                .into_iter()
                .map(|(k, v)| Requirement {
                    key: k.into(),
                    operator: Operator::Equals,
                    values: vec![v.into()],
                })
                .collect(),
        )
    }

    /// From a typed `LabelSelector`: an absent one matches nothing, an empty one everything.
    pub fn from_label_selector(selector: Option<&LabelSelector>) -> Result<Self, ErrorList> {
        let Some(selector) = selector else { return Ok(Self::nothing()) };
        let mut out = Vec::new();
        for (key, value) in selector.match_labels.iter().flatten() {
            out.push(Requirement::new(key, Operator::Equals, [value.clone()], None)?);
        }
        for term in selector.match_expressions.iter().flatten() {
            let operator = operator_of(&term.operator)?;
            out.push(Requirement::new(&term.key, operator, term.values.clone().unwrap_or_default(), None)?);
        }
        Ok(Self::new(out))
    }

    /// From a `LabelSelector` as JSON: null or absent matches nothing, `{}` everything.
    pub fn from_value(selector: &Value) -> Result<Self, ErrorList> {
        let Some(selector) = selector.as_object() else { return Ok(Self::nothing()) };
        let mut out = Vec::new();
        for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            out.push(Requirement::new(key, Operator::Equals, [value], None)?);
        }
        for term in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let text = |key| term.get(key).and_then(Value::as_str).unwrap_or_default();
            let values = term.get("values").and_then(Value::as_array).into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned);
            out.push(Requirement::new(text("key"), operator_of(text("operator"))?, values, None)?);
        }
        Ok(Self::new(out))
    }

    /// The terms, all of which must hold; `None` for the selector that matches nothing. An index may serve any
    /// term with operator `Equals`, `DoubleEquals` or `In`.
    pub fn requirements(&self) -> Option<&[Requirement]> {
        (!self.nothing).then_some(self.requirements.as_slice())
    }

    /// Whether every object matches.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether no object matches.
    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// Whether an object with these labels matches.
    pub fn matches(&self, labels: &(impl Labels + ?Sized)) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(labels))
    }

    /// The one value that the label `key` must have, when a term says so.
    pub fn exact_value(&self, key: &str) -> Option<&str> {
        self.requirements.iter().find_map(|r| match (r.operator, r.values.as_slice()) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [one]) if r.key == key => {
                Some(one.as_str())
            }
            _ => None,
        })
    }
}

fn operator_of(text: &str) -> Result<Operator, ErrorList> {
    Ok(match text {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => {
            let detail: Cow<'_, str> =
                format!("{} is not a valid label selector operator", field::quote(other)).into();
            return Err(field::Error::invalid(&Path::new("operator"), other, detail).into());
        }
    })
}

impl std::str::FromStr for Selector {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}
