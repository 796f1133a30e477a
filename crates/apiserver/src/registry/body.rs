//! From the bytes of a request to an object of the expected kind.

use std::borrow::Cow;

use api_types::field::{self, Path};
use api_types::resource::ResourceInfo;
use api_types::schema::{self, SchemaRef};
use api_types::{codec, decode};
use serde_json::Value;

use super::endpoint::strip_kind;
use super::options::FieldValidation;
use super::request::Request;
use crate::error::{Error, Result};
use crate::http::media::{self, Format};

/// The kind that a body must have.
pub struct Expected<'a> {
    /// API group, "" for core.
    pub group: &'a str,
    /// Version.
    pub version: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// Its type.
    pub schema: SchemaRef,
    /// Where upstream registers the kind; part of an error message that clients see.
    pub scheme: &'static str,
    /// The kind belongs to every group version alike, as options do: clients name that of the resource.
    pub everywhere: bool,
    /// The kind is that of a custom resource, which has no type to be decoded into.
    pub custom: bool,
}

impl<'a> Expected<'a> {
    /// An object of the resource itself.
    pub fn object(info: &'a ResourceInfo) -> Self {
        let scheme = match &*info.group {
            "apiregistration.k8s.io" => "k8s.io/kube-aggregator/pkg/apiserver/scheme/scheme.go:28",
            "apiextensions.k8s.io" => "k8s.io/apiextensions-apiserver/pkg/apiserver/apiserver.go:58",
            _ => "pkg/api/legacyscheme/scheme.go:30",
        };
        Expected {
            group: &info.group,
            version: &info.version,
            kind: &info.kind,
            schema: info.schema.clone(),
            scheme,
            everywhere: false,
            custom: info.is_custom(),
        }
    }

    /// A built-in kind.
    pub fn kind(group: &'a str, version: &'a str, kind: &'a str) -> Self {
        let schema = schema::by_gvk(group, version, kind).unwrap_or_default();
        let scheme = "pkg/api/legacyscheme/scheme.go:30";
        Expected { group, version, kind, schema, scheme, everywhere: false, custom: false }
    }

    /// The options of a deletion.
    pub fn delete_options() -> Self {
        Expected { everywhere: true, ..Expected::kind("", "v1", "DeleteOptions") }
    }
}

/// Decodes the body of a request, without `kind` and `apiVersion`; unknown fields become warnings or errors.
///
/// # Errors
/// `UnsupportedMediaType`, or `BadRequest` in upstream's words.
pub fn decode(request: &Request, expected: &Expected<'_>, validation: FieldValidation) -> Result<Value> {
    let format = media::body_format(&request.headers)?;
    let (value, findings) = decode_as(&request.body, format, expected)?;
    settle_findings(request, findings, validation, |text| {
        let strict = format!(
            "{} in version {:?} cannot be handled as a {}: {text}",
            expected.kind, expected.version, expected.kind
        );
        Error::bad_request(strict)
    })?;
    Ok(value)
}

/// Turns unknown and duplicate fields into warnings, an error, or nothing.
///
/// # Errors
/// What `refuse` makes of the list, under strict validation.
pub fn settle_findings(
    request: &Request,
    findings: Vec<String>,
    validation: FieldValidation,
    refuse: impl FnOnce(String) -> Error,
) -> Result<()> {
    match (validation, decode::strict_message(&findings)) {
        (FieldValidation::Strict, Some(message)) => Err(refuse(message)),
        (FieldValidation::Warn, _) => {
            request.warn(findings);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn decode_as(body: &[u8], format: Format, expected: &Expected<'_>) -> Result<(Value, Vec<String>)> {
    if format == Format::Protobuf {
        return decode_protobuf(body, expected).map(|value| (value, Vec::new()));
    }
    let text = match format {
        Format::Yaml => Cow::Owned(yaml_to_json(body).map_err(|why| unrecognized(expected, &why, body))?),
        _ => Cow::Borrowed(body),
    };
    let type_meta = type_meta(&text).map_err(|why| {
        unrecognized(expected, &format!("couldn't get version/kind; json parse error: {why}"), body)
    })?;
    check_kind(&type_meta, expected, body)?;
    let decoded = decode::strict(&expected.schema, &text).map_err(|why| {
        Error::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {why}",
            expected.kind, expected.version, expected.kind
        ))
    })?;
    let mut value = decoded.value;
    if value.is_null() {
        value = Value::Object(serde_json::Map::new());
    }
    strip_kind(&mut value);
    Ok((value, decoded.findings))
}

fn decode_protobuf(body: &[u8], expected: &Expected<'_>) -> Result<Value> {
    let envelope = match codec::unwrap(body) {
        Ok(envelope) => envelope,
        Err(_) if body.is_empty() => return Err(unrecognized(expected, "empty data", body)),
        Err(codec::CodecError::NotEnvelope) => {
            let why =
                "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]";
            return Err(unrecognized(expected, why, body));
        }
        Err(_) => return Err(unrecognized(expected, "unexpected EOF", body)),
    };
    if body.len() == codec::MAGIC.len() {
        return Err(unrecognized(expected, "empty body", body));
    }
    let type_meta =
        TypeMeta { api_version: envelope.api_version.to_string(), kind: envelope.kind.to_string() };
    let bad = |why: &dyn std::fmt::Display, kind: &str, version: &str| {
        Error::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {}: {why}",
            expected.kind
        ))
    };
    if let Err(error) = check_kind(&type_meta, expected, body) {
        // The message is read as what it says it is before anybody minds its kind.
        let TypeMeta { api_version, kind } = &type_meta;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let own = schema::by_gvk(group, version, kind).map(|schema| codec::decode(&schema, envelope.raw));
        return match own {
            Some(Err(why)) => Err(bad(&why, kind, version)),
            _ => Err(error),
        };
    }
    let mut value = codec::decode(&expected.schema, envelope.raw)
        .map_err(|why| bad(&why, expected.kind, expected.version))?;
    strip_kind(&mut value);
    Ok(value)
}

struct TypeMeta {
    api_version: String,
    kind: String,
}

/// `kind` and `apiVersion` of a JSON text; the whole text is checked for syntax on the way.
fn type_meta(text: &[u8]) -> std::result::Result<TypeMeta, String> {
    #[derive(serde::Deserialize)]
    struct Raw<'a> {
        #[serde(borrow, default, rename = "apiVersion")]
        api_version: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        kind: Option<Cow<'a, str>>,
    }
    match serde_json::from_slice::<Option<Raw<'_>>>(text) {
        Ok(raw) => {
            let raw = raw.unwrap_or(Raw { api_version: None, kind: None });
            Ok(TypeMeta {
                api_version: raw.api_version.unwrap_or_default().into_owned(),
                kind: raw.kind.unwrap_or_default().into_owned(),
            })
        }
        Err(_) => slow_type_meta(text),
    }
}

/// The same by a full parse, for texts that the quick look refuses: duplicate keys, odd types, or no JSON at all.
fn slow_type_meta(text: &[u8]) -> std::result::Result<TypeMeta, String> {
    let value = decode::parse_untyped(text).map_err(|error| error.to_string())?;
    const TARGET: &str = "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }";
    let found = match &value {
        Value::Object(map) => {
            let text = |key: &str, field: &str| match map.get(key) {
                None | Some(Value::Null) => Ok(String::new()),
                Some(Value::String(text)) => Ok(text.clone()),
                Some(other) => Err(format!(
                    "json: cannot unmarshal {} into Go struct field .{field} of type string",
                    json_type(other)
                )),
            };
            return Ok(TypeMeta {
                api_version: text("apiVersion", "apiVersion")?,
                kind: text("kind", "kind")?,
            });
        }
        Value::Null => return Ok(TypeMeta { api_version: String::new(), kind: String::new() }),
        other => json_type(other),
    };
    Err(format!("json: cannot unmarshal {found} into Go value of type {TARGET}"))
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// An absent kind or version is the expected one; another one is refused, differently for known and unknown kinds.
fn check_kind(found: &TypeMeta, expected: &Expected<'_>, body: &[u8]) -> Result<()> {
    let (group, version) = match found.api_version.as_str() {
        "" => (expected.group, expected.version),
        text => match text.split_once('/') {
            Some((_, version)) if version.contains('/') => {
                let why = format!("unexpected GroupVersion string: {text}");
                return Err(unrecognized(expected, &why, body));
            }
            Some(pair) => pair,
            None => ("", text),
        },
    };
    if expected.custom && found.kind.is_empty() {
        let text = String::from_utf8_lossy(body);
        return Err(unrecognized(expected, &format!("Object 'Kind' is missing in '{text}'"), body));
    }
    let kind = if found.kind.is_empty() { expected.kind } else { &found.kind };
    if (group, version, kind) == (expected.group, expected.version, expected.kind)
        || expected.everywhere && kind == expected.kind
    {
        return Ok(());
    }
    let other_version = || {
        Error::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({})",
            join(group, version),
            join(expected.group, expected.version)
        ))
    };
    if expected.custom {
        return Err(match (group, version) == (expected.group, expected.version) {
            true => other_kind(expected, kind, body),
            false => other_version(),
        });
    }
    if group == expected.group && kind == expected.kind && is_registered(group, version, kind) {
        return Err(other_version());
    }
    let why = match is_registered(group, version, kind) {
        true => format!(
            "converting ({version}.{kind}) to ({}.{}): unknown conversion",
            go_package(expected.group),
            expected.kind
        ),
        false => format!(
            "no kind {kind:?} is registered for version {:?} in scheme {:?}",
            join(group, version),
            expected.scheme
        ),
    };
    Err(Error::bad_request(format!(
        "{kind} in version {version:?} cannot be handled as a {}: {why}",
        expected.kind
    )))
}

/// Custom objects of any kind can be read; their kind is judged with their content.
fn other_kind(expected: &Expected<'_>, kind: &str, body: &[u8]) -> Error {
    let object = decode::parse_untyped(body).unwrap_or_default();
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let why = format!("must be {}", expected.kind);
    let error = field::Error::invalid(&Path::new("kind"), kind, why);
    Error::invalid(expected.group, kind, name, vec![error])
}

fn is_registered(group: &str, version: &str, kind: &str) -> bool {
    schema::by_gvk(group, version, kind).is_some() || kind == "List" && (group, version) == ("", "v1")
}

fn join(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// The name that upstream's internal package of a group has, which shows in messages.
fn go_package(group: &str) -> &str {
    match group {
        "" => "core",
        "rbac.authorization.k8s.io" => "rbac",
        "flowcontrol.apiserver.k8s.io" => "flowcontrol",
        other => other.split('.').next().unwrap_or(other),
    }
}

fn unrecognized(expected: &Expected<'_>, why: &str, body: &[u8]) -> Error {
    Error::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): {why} ({})",
        expected.kind,
        summary(body)
    ))
}

/// The beginning of a body, as text where it looks like JSON, else in hexadecimal.
fn summary(body: &[u8]) -> String {
    const LIMIT: usize = 30;
    let head = &body[..body.len().min(LIMIT)];
    let text = match body.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(head).into_owned(),
        Some(_) => head.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    if body.len() > LIMIT { format!("{text} ...") } else { text }
}

/// YAML to JSON text.
///
/// # Errors
/// The parser's sentence.
pub fn yaml_to_json(body: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let value: serde_yaml::Value = serde_yaml::from_slice(body).map_err(|error| yaml_error(&error))?;
    let value: Value = serde_json::to_value(value).map_err(|error| format!("yaml: {error}"))?;
    serde_json::to_vec(&value).map_err(|error| format!("yaml: {error}"))
}

/// The line comes first, and not at all when it is the first one.
fn yaml_error(error: &serde_yaml::Error) -> String {
    let Some(location) = error.location() else { return format!("yaml: {error}") };
    let place = format!(" at line {} column {}", location.line(), location.column());
    let text = error.to_string();
    let problem = text.strip_suffix(&place).unwrap_or(&text);
    match location.line() {
        0 | 1 => format!("yaml: {problem}"),
        line => format!("yaml: line {line}: {problem}"),
    }
}
