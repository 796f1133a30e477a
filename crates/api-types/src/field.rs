//! Field paths and the errors of validation, worded as upstream words them.
//!
//! A [`Path`] is a chain of borrowed segments, so walking an object costs nothing until a rule fails:
//! only then is the path rendered into the [`Error`].

use std::fmt::{self, Write as _};

use serde_json::Value;

/// Where in an object a rule applies, such as `spec.containers[0].name`.
///
/// A segment borrows its parent. `child` takes a dotted string where several steps are taken at once:
/// `root.child("spec.template")`.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    segment: Segment<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Segment<'a> {
    Root,
    Child(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// The object itself.
    pub const ROOT: Path<'static> = Path { parent: None, segment: Segment::Root };

    /// A path that starts with `name` (possibly dotted).
    pub const fn new(name: &'a str) -> Self {
        Self { parent: None, segment: Segment::Child(name) }
    }

    /// The field `name` below this path; dots in `name` are kept, so several steps may be given at once.
    pub const fn child(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), segment: Segment::Child(name) }
    }

    /// The element `index` of the list at this path.
    pub const fn index(&'a self, index: usize) -> Self {
        Self { parent: Some(self), segment: Segment::Index(index) }
    }

    /// The entry `key` of the map at this path.
    pub const fn key(&'a self, key: &'a str) -> Self {
        Self { parent: Some(self), segment: Segment::Key(key) }
    }

    fn write(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(out);
        }
        // Writing to a String cannot fail.
        let _infallible = match self.segment {
            Segment::Root => Ok(()),
            Segment::Child(name) => {
                if !out.is_empty() && !name.is_empty() {
                    out.push('.');
                }
                out.push_str(name);
                Ok(())
            }
            Segment::Index(i) => write!(out, "[{i}]"),
            Segment::Key(key) => write!(out, "[{key}]"),
        };
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write(&mut out);
        f.write_str(&out)
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// A reference leads nowhere.
    NotFound,
    /// The field must be set.
    Required,
    /// The value must be unique and is not.
    Duplicate,
    /// The value breaks a rule.
    Invalid,
    /// The value is not in the list of those allowed.
    NotSupported,
    /// The field may not be set here.
    Forbidden,
    /// The value has too many bytes.
    TooLong,
    /// The list has too many items.
    TooMany,
    /// The check itself failed.
    Internal,
    /// The value has the wrong JSON type.
    TypeInvalid,
}

impl ErrorKind {
    /// The `reason` of the cause in a `Status`.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }

    const fn shows_value(self) -> bool {
        !matches!(self, Self::Required | Self::Forbidden | Self::TooLong | Self::Internal)
    }
}

/// The value an error is about.
#[derive(Debug, Clone, PartialEq)]
pub enum BadValue {
    /// Not shown.
    Omitted,
    /// Shown as JSON.
    Json(Value),
    /// Shown exactly as written here, for values whose printed form is not their JSON form.
    Raw(String),
}

impl<T: Into<Value>> From<T> for BadValue {
    fn from(value: T) -> Self {
        Self::Json(value.into())
    }
}

impl BadValue {
    /// The value of a field that may be absent, which then shows as `null`.
    pub fn maybe(value: Option<&Value>) -> Self {
        Self::Json(value.cloned().unwrap_or(Value::Null))
    }
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorKind,
    /// The rendered path.
    pub path: String,
    /// The offending value.
    pub bad_value: BadValue,
    /// What would be right; may be empty.
    pub detail: String,
    /// The rule is younger than the field: values stored before it stay valid.
    pub ratchets: bool,
}

impl Error {
    /// An error of any kind.
    pub fn new(
        kind: ErrorKind,
        path: &Path<'_>,
        value: impl Into<BadValue>,
        detail: impl Into<String>,
    ) -> Self {
        Self { kind, path: path.to_string(), bad_value: value.into(), detail: detail.into(), ratchets: false }
    }

    /// The field must be set.
    pub fn required(path: &Path<'_>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Required, path, "", detail)
    }

    /// The value breaks a rule.
    pub fn invalid(path: &Path<'_>, value: impl Into<BadValue>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, path, value, detail)
    }

    /// A value that is refused in new objects and tolerated where it is stored already.
    pub fn ratcheting(path: &Path<'_>, value: impl Into<BadValue>, detail: impl Into<String>) -> Self {
        Self { ratchets: true, ..Self::invalid(path, value, detail) }
    }

    /// The value is none of `supported`, which are listed in the order given.
    pub fn not_supported(path: &Path<'_>, value: impl Into<BadValue>, supported: &[&str]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|s| quote(s)).collect();
        let detail = if quoted.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", quoted.join(", "))
        };
        Self::new(ErrorKind::NotSupported, path, value, detail)
    }

    /// The field may not be set here.
    pub fn forbidden(path: &Path<'_>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, path, "", detail)
    }

    /// The value must be unique and is not.
    pub fn duplicate(path: &Path<'_>, value: impl Into<BadValue>) -> Self {
        Self::new(ErrorKind::Duplicate, path, value, "")
    }

    /// The value has more than `max` bytes.
    pub fn too_long(path: &Path<'_>, max: usize) -> Self {
        let detail = if max == 1 {
            "may not be more than 1 byte".to_owned()
        } else {
            format!("may not be more than {max} bytes")
        };
        Self::new(ErrorKind::TooLong, path, "<value omitted>", detail)
    }

    /// The list has `actual` items, more than `max`.
    pub fn too_many(path: &Path<'_>, actual: usize, max: usize) -> Self {
        let detail = if max == 1 {
            "must have at most 1 item".to_owned()
        } else {
            format!("must have at most {max} items")
        };
        Self::new(ErrorKind::TooMany, path, actual, detail)
    }

    /// The value names something that does not exist.
    pub fn not_found(path: &Path<'_>, value: impl Into<BadValue>) -> Self {
        Self::new(ErrorKind::NotFound, path, value, "")
    }

    /// The value has the wrong JSON type.
    pub fn type_invalid(path: &Path<'_>, value: impl Into<BadValue>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::TypeInvalid, path, value, detail)
    }

    /// The check itself failed.
    pub fn internal(path: &Path<'_>, why: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Internal, path, "", why.to_string())
    }

    /// The message without the path, as a cause of a `Status` carries it.
    pub fn body(&self) -> String {
        let mut out = self.kind.text().to_owned();
        if self.kind.shows_value() {
            match &self.bad_value {
                BadValue::Omitted => {}
                BadValue::Raw(text) => {
                    out.push_str(": ");
                    out.push_str(text);
                }
                BadValue::Json(value) => {
                    out.push_str(": ");
                    out.push_str(&render(value));
                }
            }
        }
        if !self.detail.is_empty() {
            out.push_str(": ");
            out.push_str(&self.detail);
        }
        out
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

impl std::error::Error for Error {}

/// All broken rules of one object, in the order found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ErrorList(Vec<Error>);

impl ErrorList {
    /// No errors yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one error.
    pub fn push(&mut self, error: Error) {
        self.0.push(error);
    }

    /// Adds all errors of another list.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Adds [`Error::required`].
    pub fn required(&mut self, path: &Path<'_>, detail: &str) {
        self.push(Error::required(path, detail));
    }

    /// Adds [`Error::invalid`].
    pub fn invalid(&mut self, path: &Path<'_>, value: impl Into<BadValue>, detail: impl Into<String>) {
        self.push(Error::invalid(path, value, detail));
    }

    /// Adds one [`Error::invalid`] per detail, as the functions of [`crate::name`] return them.
    pub fn invalid_each(&mut self, path: &Path<'_>, value: impl Into<Value>, details: Vec<String>) {
        if details.is_empty() {
            return;
        }
        let value = value.into();
        self.extend(details.into_iter().map(|detail| Error::invalid(path, value.clone(), detail)));
    }

    /// Adds [`Error::forbidden`].
    pub fn forbidden(&mut self, path: &Path<'_>, detail: impl Into<String>) {
        self.push(Error::forbidden(path, detail));
    }

    /// Adds [`Error::not_supported`].
    pub fn not_supported(&mut self, path: &Path<'_>, value: impl Into<BadValue>, supported: &[&str]) {
        self.push(Error::not_supported(path, value, supported));
    }

    /// Adds [`Error::duplicate`].
    pub fn duplicate(&mut self, path: &Path<'_>, value: impl Into<BadValue>) {
        self.push(Error::duplicate(path, value));
    }

    /// Adds [`Error::not_found`].
    pub fn not_found(&mut self, path: &Path<'_>, value: impl Into<BadValue>) {
        self.push(Error::not_found(path, value));
    }

    /// Adds [`Error::too_long`].
    pub fn too_long(&mut self, path: &Path<'_>, max: usize) {
        self.push(Error::too_long(path, max));
    }

    /// Adds [`Error::too_many`].
    pub fn too_many(&mut self, path: &Path<'_>, actual: usize, max: usize) {
        self.push(Error::too_many(path, actual, max));
    }
}

impl std::ops::Deref for ErrorList {
    type Target = [Error];
    fn deref(&self) -> &[Error] {
        &self.0
    }
}

impl From<Vec<Error>> for ErrorList {
    fn from(errors: Vec<Error>) -> Self {
        Self(errors)
    }
}

impl From<Error> for ErrorList {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl Extend<Error> for ErrorList {
    fn extend<I: IntoIterator<Item = Error>>(&mut self, errors: I) {
        self.0.extend(errors);
    }
}

impl FromIterator<Error> for ErrorList {
    fn from_iter<I: IntoIterator<Item = Error>>(errors: I) -> Self {
        Self(errors.into_iter().collect())
    }
}

impl IntoIterator for ErrorList {
    type Item = Error;
    type IntoIter = std::vec::IntoIter<Error>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// One error as itself, several as `[a, b]`; equal messages are said once.
impl fmt::Display for ErrorList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut messages: Vec<String> = Vec::new();
        for error in &self.0 {
            let message = error.to_string();
            if !messages.contains(&message) {
                messages.push(message);
            }
        }
        match messages.as_slice() {
            [one] => f.write_str(one),
            many => write!(f, "[{}]", many.join(", ")),
        }
    }
}

impl std::error::Error for ErrorList {}

/// A value as field errors show it: strings quoted, scalars bare, the rest as JSON.
fn render(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        other => other.to_string(),
    }
}

/// A string in double quotes, with Go's escapes (the `%q` verb).
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                // Writing to a String cannot fail.
                let _infallible = write!(out, "\\x{:02x}", c as u32);
            }
            c if is_unprintable(c) => {
                let _infallible = if (c as u32) < 0x10000 {
                    write!(out, "\\u{:04x}", c as u32)
                } else {
                    write!(out, "\\U{:08x}", c as u32)
                };
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The characters beyond ASCII that Go escapes and that occur in practice: C1 controls, odd spaces, format marks.
fn is_unprintable(c: char) -> bool {
    matches!(c as u32, 0x80..=0xa0 | 0xad | 0x2000..=0x200f | 0x2028..=0x202f | 0x205f..=0x206f | 0x3000 | 0xfeff
        | 0xe000..=0xf8ff)
}
