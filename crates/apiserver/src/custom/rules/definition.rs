//! Rules when their definition is written: they compile, and cannot cost too much whatever the objects are.

use api_types::field::{BadValue, Error, ErrorKind, ErrorList, Path};
use api_types::schema::{self, Kind, SchemaRef};
use api_types::validation::{schema_places, shown_rule};
use expression::{Program, RULE_ESTIMATE_LIMIT, SCHEMA_ESTIMATE_LIMIT};
use serde_json::Value;

use super::evaluate::has_identity;
use super::{Rule, Written, compile};

/// How many of the most expensive rules are named when all together cost too much.
const MOST_EXPENSIVE: usize = 4;
const REASONS: [&str; 4] =
    ["FieldValueRequired", "FieldValueForbidden", "FieldValueInvalid", "FieldValueDuplicate"];
const HINT: &str = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)";

/// What is wrong with the rules of a definition. Schemas that `old` has too were accepted with it.
pub fn validate(object: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    let accepted: Vec<&Value> =
        old.map(|old| schema_places(&old["spec"])).into_iter().flatten().map(|(_, schema)| schema).collect();
    for (path, written) in schema_places(&object["spec"]) {
        if accepted.contains(&written) {
            continue;
        }
        let Ok(tree) = schema::custom_root(Some(written)) else { continue };
        let mut check = Check { errors: ErrorList::new(), costs: Vec::new() };
        let root = Path::new(&path);
        check.node(&tree, &root, Around { cardinality: 1, resource: true, correlatable: true });
        check.total(&root);
        errors.append(check.errors);
    }
    errors
}

/// What the nodes above a node say about it.
#[derive(Clone, Copy)]
struct Around {
    /// How many values of the node an object may have at most.
    cardinality: u64,
    resource: bool,
    /// The old value of each new value is known.
    correlatable: bool,
}

struct Check {
    errors: ErrorList,
    costs: Vec<(String, u64)>,
}

impl Check {
    fn node(&mut self, schema: &SchemaRef, path: &Path<'_>, around: Around) {
        if schema.custom.is_none() {
            return;
        }
        let rules = compile(schema, around.resource).map(|node| node.own).unwrap_or_default();
        let at = path.child("x-kubernetes-validations");
        for (i, rule) in rules.iter().enumerate() {
            let before = self.errors.len();
            written(&mut self.errors, &at.index(i), &rule.written);
            if self.errors.len() == before {
                self.compiled(schema, &at.index(i), rule, around);
            }
        }
        let below = |schema: &SchemaRef, cardinality: u64, correlatable: bool| Around {
            cardinality,
            resource: super::is_embedded(schema),
            correlatable: around.correlatable && correlatable,
        };
        let times = || around.cardinality.saturating_mul(expression::max_size(schema).unwrap_or(u64::MAX));
        match &schema.kind {
            Kind::Struct(layout) => {
                let properties = path.child("properties");
                for field in layout.sorted() {
                    let around = below(&field.schema, around.cardinality, true);
                    self.node(&field.schema, &properties.key(&field.name), around);
                }
            }
            Kind::List(list) => {
                let correlatable = has_identity(&schema.topology);
                let around = below(&list.item, times(), correlatable);
                self.node(&list.item, &path.child("items"), around);
            }
            Kind::Map(map) => {
                let around = below(&map.value, times(), true);
                self.node(&map.value, &path.child("additionalProperties"), around);
            }
            _ => {}
        }
    }

    fn compiled(&mut self, schema: &SchemaRef, path: &Path<'_>, rule: &Rule, around: Around) {
        let (at, message_at) = (path.child("rule"), path.child("messageExpression"));
        match &rule.program {
            Ok(program) => self.cost(schema, &at, program, around, "estimated rule cost"),
            Err(why) => self.errors.invalid(&at, shown_rule(&rule.as_written), why.clone()),
        }
        match &rule.message {
            Some(Ok(program)) => {
                self.cost(schema, &message_at, program, around, "estimated messageExpression cost");
            }
            Some(Err(why)) => self.errors.invalid(&message_at, shown_rule(&rule.as_written), why.clone()),
            None => {}
        }
        if rule.uses_old && !around.correlatable {
            let detail = "oldSelf cannot be used on the uncorrelatable portion of the schema";
            self.errors.invalid(&at, rule.written.rule.as_str(), detail);
        }
    }

    fn cost(&mut self, schema: &SchemaRef, at: &Path<'_>, program: &Program, around: Around, what: &str) {
        let each = program.estimate(&[("self", schema.clone()), ("oldSelf", schema.clone())]).max;
        let cost = each.saturating_mul(around.cardinality);
        if cost > RULE_ESTIMATE_LIMIT {
            self.errors.forbidden(at, too_expensive(what, cost, RULE_ESTIMATE_LIMIT));
        }
        self.costs.push((at.to_string(), cost));
    }

    fn total(&mut self, root: &Path<'_>) {
        let total = self.costs.iter().fold(0u64, |total, (_, cost)| total.saturating_add(*cost));
        if total <= SCHEMA_ESTIMATE_LIMIT {
            return;
        }
        self.costs.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
        for (path, _) in self.costs.iter().filter(|(_, cost)| *cost > 0).take(MOST_EXPENSIVE) {
            let detail =
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            self.errors.push(Error::new(ErrorKind::Forbidden, &Path::new(path), BadValue::Omitted, detail));
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        self.errors.forbidden(root, too_expensive(what, total, SCHEMA_ESTIMATE_LIMIT));
    }
}

/// What is wrong with a rule before it is compiled.
fn written(errors: &mut ErrorList, path: &Path<'_>, rule: &Written) {
    let has_newlines = |text: &str| text.trim().contains(['\n', '\r']);
    let blank = |text: &str| !text.is_empty() && text.trim().is_empty();
    if rule.rule.trim().is_empty() {
        errors.required(&path.child("rule"), "rule is not specified");
    }
    if blank(&rule.message) {
        errors.invalid(
            &path.child("message"),
            rule.message.as_str(),
            "message must be non-empty if specified",
        );
    } else if has_newlines(&rule.message) {
        errors.invalid(&path.child("message"), rule.message.as_str(), "message must not contain line breaks");
    } else if has_newlines(&rule.rule) && rule.message.trim().is_empty() {
        errors.required(&path.child("message"), "message must be specified if rule contains line breaks");
    }
    if blank(&rule.message_expression) {
        errors.required(&path.child("messageExpression"), "must be non-empty if specified");
    }
    if let Some(reason) = rule.reason.as_deref().filter(|reason| !REASONS.contains(reason)) {
        let mut reasons = REASONS;
        reasons.sort_unstable();
        errors.not_supported(&path.child("reason"), reason, &reasons);
    }
    if blank(&rule.field_path) {
        errors.invalid(&path.child("fieldPath"), rule.field_path.as_str(), "must be non-empty if specified");
    } else if has_newlines(&rule.field_path) {
        errors.invalid(&path.child("fieldPath"), rule.field_path.as_str(), "must not contain line breaks");
    }
}

fn too_expensive(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = match factor {
        // Beyond two orders of magnitude the number says nothing any more.
        _ if factor > 100.0 => "more than 100x".to_owned(),
        _ if factor < 1.5 => format!("{factor:.6}x"),
        _ => format!("{factor:.1}x"),
    };
    format!("{what} exceeds budget by factor of {factor} {HINT}")
}
