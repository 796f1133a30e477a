//! The protobuf form of OpenAPI v2 (`openapi.v2.Document` of gnostic), which kubectl before 1.27 asks for.
//!
//! The numbers of fields are those of `OpenAPIv2.proto`. Schemas and paths arrive as JSON, one at a time.

use serde_json::{Map, Value};

/// A message being written.
#[derive(Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn bytes(&mut self, number: u64, bytes: &[u8]) {
        self.varint(number << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A text; an empty one is left out.
    pub fn text(&mut self, number: u64, text: &str) {
        if !text.is_empty() {
            self.bytes(number, text.as_bytes());
        }
    }

    fn flag(&mut self, number: u64, flag: bool) {
        if flag {
            self.varint(number << 3);
            self.varint(1);
        }
    }

    /// A message within.
    pub fn message(&mut self, number: u64, inner: &Message) {
        self.bytes(number, &inner.0);
    }

    fn texts(&mut self, number: u64, texts: &Value) {
        for text in texts.as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.bytes(number, text.as_bytes());
        }
    }

    /// An entry of a map: a message of a name and a value.
    pub fn named(&mut self, number: u64, name: &str, value: &Message) {
        let mut entry = Message::default();
        entry.text(1, name);
        entry.message(2, value);
        self.message(number, &entry);
    }

    /// Fields whose names begin with `x-`, whose values travel as YAML. JSON is YAML.
    fn extensions(&mut self, number: u64, object: &Value) {
        for (name, value) in entries(object).filter(|(name, _)| name.starts_with("x-")) {
            self.named(number, name, &any(value));
        }
    }
}

/// The document from its parts: `Paths`, `Definitions` and `ParameterDefinitions`, and the rest as JSON.
pub fn document(
    version: &str,
    paths: &Message,
    definitions: &Message,
    shared: &Map<String, Value>,
) -> Vec<u8> {
    let mut info = Message::default();
    info.text(1, "Kubernetes");
    info.text(2, version);
    let mut parameters = Message::default();
    for (name, value) in shared {
        parameters.named(1, name, &parameter(value));
    }
    let (mut requirement, mut scheme) = (Message::default(), Message::default());
    requirement.named(1, "BearerToken", &Message::default());
    let token = super::document::bearer_token();
    let mut key = Message::default();
    for (number, field) in [(1, "type"), (2, "name"), (3, "in"), (4, "description")] {
        key.text(number, text(&token, field));
    }
    let mut item = Message::default();
    item.message(2, &key);
    scheme.named(1, "BearerToken", &item);
    let mut out = Message::default();
    out.text(1, "2.0");
    out.message(2, &info);
    out.message(8, paths);
    out.message(9, definitions);
    out.message(10, &parameters);
    out.message(12, &requirement);
    out.message(13, &scheme);
    out.into_bytes()
}

/// `Schema`.
pub fn schema(value: &Value) -> Message {
    let mut out = Message::default();
    out.text(1, text(value, "$ref"));
    out.text(2, text(value, "format"));
    out.text(4, text(value, "description"));
    if let Some(default) = value.get("default") {
        out.message(5, &any(default));
    }
    out.texts(19, &value["required"]);
    for allowed in value["enum"].as_array().into_iter().flatten() {
        out.message(20, &any(allowed));
    }
    match &value["additionalProperties"] {
        Value::Null => {}
        inner => {
            let mut item = Message::default();
            match inner.as_bool() {
                Some(flag) => item.flag(2, flag),
                None => item.message(1, &schema(inner)),
            }
            out.message(21, &item);
        }
    }
    let type_ = text(value, "type");
    if !type_.is_empty() {
        let mut item = Message::default();
        item.text(1, type_);
        out.message(22, &item);
    }
    if value["items"].is_object() {
        let mut items = Message::default();
        items.message(1, &schema(&value["items"]));
        out.message(23, &items);
    }
    if value["properties"].is_object() {
        let mut properties = Message::default();
        for (name, inner) in entries(&value["properties"]) {
            properties.named(1, name, &schema(inner));
        }
        out.message(25, &properties);
    }
    out.extensions(31, value);
    out
}

/// `PathItem`.
pub fn path_item(value: &Value) -> Message {
    let mut out = Message::default();
    let methods = ["get", "put", "post", "delete", "options", "head", "patch"];
    for (number, method) in (2..).zip(methods) {
        if value[method].is_object() {
            out.message(number, &operation(&value[method]));
        }
    }
    for item in value["parameters"].as_array().into_iter().flatten() {
        out.message(9, &parameter_item(item));
    }
    out.extensions(10, value);
    out
}

fn operation(value: &Value) -> Message {
    let mut out = Message::default();
    out.texts(1, &value["tags"]);
    out.text(3, text(value, "description"));
    out.text(5, text(value, "operationId"));
    out.texts(6, &value["produces"]);
    out.texts(7, &value["consumes"]);
    for item in value["parameters"].as_array().into_iter().flatten() {
        out.message(8, &parameter_item(item));
    }
    let mut responses = Message::default();
    for (code, value) in entries(&value["responses"]) {
        let (mut response, mut item) = (Message::default(), Message::default());
        response.text(1, text(value, "description"));
        if value["schema"].is_object() {
            let mut content = Message::default();
            content.message(1, &schema(&value["schema"]));
            response.message(2, &content);
        }
        item.message(1, &response);
        responses.named(1, code, &item);
    }
    out.message(9, &responses);
    out.texts(10, &value["schemes"]);
    out.extensions(13, value);
    out
}

/// `ParametersItem`: a parameter or a reference to one.
fn parameter_item(value: &Value) -> Message {
    let mut out = Message::default();
    match text(value, "$ref") {
        "" => out.message(1, &parameter(value)),
        target => {
            let mut reference = Message::default();
            reference.text(1, target);
            out.message(2, &reference);
        }
    }
    out
}

/// `Parameter`.
fn parameter(value: &Value) -> Message {
    let mut out = Message::default();
    let required = value["required"] == true;
    let mut inner = Message::default();
    match text(value, "in") {
        "body" => {
            inner.text(1, text(value, "description"));
            inner.text(2, text(value, "name"));
            inner.text(3, "body");
            inner.flag(4, required);
            inner.message(5, &schema(&value["schema"]));
            out.message(1, &inner);
        }
        place => {
            inner.flag(1, required);
            inner.text(2, place);
            inner.text(3, text(value, "description"));
            inner.text(4, text(value, "name"));
            // In the path `type` is field 5 and `unique_items` 19; in the query one more each.
            let (which, type_, unique) = if place == "path" { (4, 5, 19) } else { (3, 6, 20) };
            inner.text(type_, text(value, "type"));
            inner.flag(unique, value["uniqueItems"] == true);
            let mut choice = Message::default();
            choice.message(which, &inner);
            out.message(2, &choice);
        }
    }
    out
}

fn any(value: &Value) -> Message {
    let mut out = Message::default();
    out.text(2, &value.to_string());
    out
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
