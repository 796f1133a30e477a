//! Rules against the values of an object.

use std::sync::Arc;

use api_types::field::{BadValue, Error, ErrorList, Path};
use api_types::schema::Topology;
use api_types::validation::counterpart;
use expression::{CALL_LIMIT, Meter, Program, REQUEST_BUDGET, Value as Cel};
use serde_json::Value;

use super::{Node, Rule, Rules};

/// Messages that an expression makes are not longer.
const MESSAGE_MAX: usize = 5120;

impl Rules {
    /// What an object breaks; `old` is what it replaces. When `found` has errors about its shape, the rules cannot be
    /// asked, which is said.
    pub fn check(&self, object: &Value, old: Option<&Value>, found: &ErrorList) -> ErrorList {
        let mut errors = ErrorList::new();
        let Some(root) = &self.root else { return errors };
        if found.iter().any(is_about_shape) {
            let detail = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
            errors.invalid(&Path::new(NO_PATH), Value::Null, detail);
            return errors;
        }
        let mut walk = Walk { errors, budget: REQUEST_BUDGET };
        walk.node(root, &Path::ROOT, object, old);
        walk.errors
    }
}

/// How upstream prints the path of the object itself.
const NO_PATH: &str = "<nil>";

fn is_about_shape(error: &Error) -> bool {
    use api_types::field::ErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
    matches!(error.kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
}

/// The budget is spent; nothing more is evaluated.
struct Exhausted;

struct Walk {
    errors: ErrorList,
    budget: u64,
}

impl Walk {
    fn node(
        &mut self,
        node: &Node,
        path: &Path<'_>,
        value: &Value,
        old: Option<&Value>,
    ) -> Option<Exhausted> {
        if value.is_null() {
            return None;
        }
        for rule in &node.own {
            if let Some(end) = self.rule(node, rule, path, value, old) {
                return Some(end);
            }
        }
        match value {
            Value::Object(entries) => {
                for (name, node) in &node.fields {
                    if let Some(value) = entries.get(&**name) {
                        let old = old.and_then(|old| old.get(&**name));
                        if let Some(end) = self.node(node, &path.child(name), value, old) {
                            return Some(end);
                        }
                    }
                }
                for (key, value) in node.members.iter().flat_map(|_| entries) {
                    let old = old.and_then(|old| old.get(key));
                    let Some(members) = &node.members else { continue };
                    if let Some(end) = self.node(members, &path.key(key), value, old) {
                        return Some(end);
                    }
                }
            }
            Value::Array(items) => {
                let Some(members) = &node.members else { return None };
                for (i, item) in items.iter().enumerate() {
                    let old = counterpart(&node.schema.topology, item, old);
                    if let Some(end) = self.node(members, &path.index(i), item, old) {
                        return Some(end);
                    }
                }
            }
            _ => {}
        }
        None
    }

    fn rule(
        &mut self,
        node: &Node,
        rule: &Rule,
        path: &Path<'_>,
        value: &Value,
        old: Option<&Value>,
    ) -> Option<Exhausted> {
        let optional = rule.written.optional_old_self == Some(true);
        if rule.uses_old && old.is_none() && !optional {
            return None;
        }
        // A value that is as it was keeps what it was allowed; only rules about the change itself still count.
        if !rule.uses_old && old == Some(value) {
            return None;
        }
        let at = if path.to_string().is_empty() { Path::new(NO_PATH) } else { *path };
        let type_ = node.schema.custom.as_ref().map_or("", |custom| custom.type_.as_str());
        let program = match &rule.program {
            Ok(program) => program,
            Err(why) => {
                self.errors.invalid(&at, type_, format!("rule compile error: {why}"));
                return None;
            }
        };
        let shown = rule.shown();
        match self.evaluate(program, node, rule, value, old) {
            Err(expression::Error::CostLimit) if self.budget == 0 => {
                let detail = "validation failed due to running out of cost budget, no further validation rules will be run";
                self.errors.invalid(&at, BadValue::Omitted, detail);
                Some(Exhausted)
            }
            Err(error @ expression::Error::CostLimit) => {
                let detail = format!(
                    "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {shown}"
                );
                self.errors.invalid(&at, type_, detail);
                Some(Exhausted)
            }
            Err(error) => {
                let text = error.to_string();
                let detail = match text.starts_with("no such overload") {
                    true => format!(
                        "'{text}': call arguments did not match a supported operator, function or macro signature for rule: {shown}"
                    ),
                    false => format!("{text} evaluating rule: {shown}"),
                };
                self.errors.invalid(&at, type_, detail);
                None
            }
            Ok(result) if result.as_bool() == Some(true) => None,
            Ok(_) => {
                let message = self.message(node, rule, value, old);
                self.refuse(rule, path, value, message);
                None
            }
        }
    }

    fn evaluate<'a>(
        &mut self,
        program: &'a Program,
        node: &'a Node,
        rule: &Rule,
        value: &'a Value,
        old: Option<&'a Value>,
    ) -> Result<Cel<'a>, expression::Error> {
        let read = |value: &'a Value| Cel::with_schema(value, &node.schema);
        let old = match (rule.written.optional_old_self, old) {
            (Some(true), old) => Cel::Optional(old.map(|old| Arc::new(read(old)))),
            (_, Some(old)) => read(old),
            (_, None) => Cel::Null,
        };
        let variables = [("self", read(value)), ("oldSelf", old)];
        let mut meter = Meter::new(CALL_LIMIT.min(self.budget));
        let outcome = program.evaluate(&variables, &mut meter);
        self.budget = self.budget.saturating_sub(meter.spent());
        outcome
    }

    /// The message that the rule's expression makes, else the one it states, else the rule itself.
    fn message(&mut self, node: &Node, rule: &Rule, value: &Value, old: Option<&Value>) -> String {
        if let Some(Ok(program)) = &rule.message
            && let Ok(made) = self.evaluate(program, node, rule, value, old)
            && let Some(text) = made.as_str().map(str::trim)
            && !text.is_empty()
            && text.len() <= MESSAGE_MAX
            && !text.contains(['\n', '\r'])
        {
            return text.to_owned();
        }
        match rule.written.message.trim() {
            "" => format!("failed rule: {}", rule.shown()),
            message => message.to_owned(),
        }
    }

    fn refuse(&mut self, rule: &Rule, path: &Path<'_>, value: &Value, message: String) {
        let below = rule.written.field_path.trim();
        let written = below.strip_prefix('.').unwrap_or(below);
        let at = match (path.to_string().is_empty(), written.is_empty()) {
            (true, true) => Path::new(NO_PATH),
            (true, false) => Path::new(written),
            (false, true) => *path,
            (false, false) => path.child(written),
        };
        let shown = match value {
            Value::Object(_) | Value::Array(_) => BadValue::Omitted,
            scalar => BadValue::Json(scalar.clone()),
        };
        match rule.written.reason.as_deref() {
            Some("FieldValueForbidden") => self.errors.forbidden(&at, message),
            Some("FieldValueRequired") => self.errors.required(&at, &message),
            Some("FieldValueDuplicate") => self.errors.duplicate(&at, shown),
            _ => self.errors.invalid(&at, shown, message),
        }
    }
}

impl Rule {
    /// How messages name the rule.
    fn shown(&self) -> &str {
        match self.written.message.trim() {
            "" => self.written.rule.trim(),
            message => message,
        }
    }
}

/// Whether elements of a list can be told apart, so that an old one belongs to a new one.
pub(super) fn has_identity(topology: &Topology) -> bool {
    matches!(topology, Topology::Map(_))
}
