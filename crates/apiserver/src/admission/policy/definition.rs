//! A policy compiled, and what is wrong with one that cannot be.

use std::sync::Arc;

use api_types::field::{ErrorList, Path};
use expression::{Environment, Program, Type};
use serde_json::Value;

use super::constraints::Constraints;

/// A policy, ready to judge requests.
#[derive(Debug)]
pub struct Policy {
    /// The object's name.
    pub name: String,
    /// `failurePolicy: Ignore`
    pub fails_open: bool,
    /// Which requests are meant.
    pub constraints: Constraints,
    /// Group, version and kind of parameters.
    pub param_kind: Option<[String; 3]>,
    /// `matchConditions`, all of which must hold.
    pub conditions: Vec<Expression>,
    /// `variables`, each of which may use those before it.
    pub variables: Vec<(String, Expression)>,
    /// What a validating policy demands.
    pub validations: Vec<Validation>,
    /// What a validating policy adds to the audit log.
    pub annotations: Vec<(String, Expression)>,
    /// What a mutating policy changes.
    pub mutations: Vec<Mutation>,
    /// `reinvocationPolicy: IfNeeded`
    pub reinvoked: bool,
}

/// An expression and what became of it. One that does not compile fails at every use: a policy may have been stored by
/// a server that knows more.
#[derive(Debug)]
pub struct Expression {
    /// As written.
    pub source: String,
    /// Compiled, or why not.
    pub program: Result<Program, String>,
}

/// `validations[]`
#[derive(Debug)]
pub struct Validation {
    /// Must be true.
    pub expression: Expression,
    /// What the client reads when it is not.
    pub message: String,
    /// Makes the message.
    pub message_expression: Option<Expression>,
    /// The reason of the refusal, "" for the default.
    pub reason: String,
}

/// `mutations[]`
#[derive(Debug)]
pub enum Mutation {
    /// An object to be merged in, as server-side apply merges.
    Apply(Expression),
    /// Operations of a JSON Patch.
    Patch(Expression),
}

/// Environments of the expressions of one policy, and what was found wrong so far.
struct Compiler {
    /// Without `variables`.
    base: Environment,
    variables: Vec<(String, Type)>,
    errors: ErrorList,
}

impl Policy {
    /// Reads and compiles a policy of either kind.
    pub fn read(object: &Value) -> Arc<Self> {
        Arc::new(compile(object).0)
    }
}

/// What is wrong with the expressions of a ValidatingAdmissionPolicy.
pub fn compile_validating(object: &Value) -> ErrorList {
    compile(object).1
}

/// What is wrong with the expressions of a MutatingAdmissionPolicy.
pub fn compile_mutating(object: &Value) -> ErrorList {
    compile(object).1
}

const SPEC: Path<'static> = Path::new("spec");

fn compile(object: &Value) -> (Policy, ErrorList) {
    let spec = &object["spec"];
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let param_kind = spec.get("paramKind").filter(|kind| !kind.is_null()).map(|kind| {
        let api_version = text(kind, "apiVersion");
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        [group.to_owned(), version.to_owned(), text(kind, "kind")]
    });
    let mut base = expression::admission::environment().clone();
    if param_kind.is_some() {
        base = base.with("params", Type::Dyn);
    }
    let mut compiler = Compiler { base, variables: Vec::new(), errors: ErrorList::new() };
    let variables = compiler.variables(spec);
    let conditions = compiler.conditions(spec);
    let policy = Policy {
        name: text(&object["metadata"], "name"),
        fails_open: spec["failurePolicy"] == "Ignore",
        constraints: Constraints::read(&spec["matchConstraints"]),
        param_kind,
        conditions,
        variables,
        validations: compiler.validations(spec),
        annotations: compiler.annotations(spec),
        mutations: compiler.mutations(spec),
        reinvoked: spec["reinvocationPolicy"] == "IfNeeded",
    };
    (policy, compiler.errors)
}

fn items<'a>(spec: &'a Value, key: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    spec[key].as_array().into_iter().flatten().enumerate()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

impl Compiler {
    fn environment(&self) -> Environment {
        self.base
            .clone()
            .with("variables", Type::object("kubernetes.variables", self.variables.iter().cloned()))
    }

    fn variables(&mut self, spec: &Value) -> Vec<(String, Expression)> {
        let at = SPEC.child("variables");
        let mut variables = Vec::new();
        for (i, variable) in items(spec, "variables") {
            let path = at.index(i);
            let environment = self.environment();
            let compiled =
                self.expression(&environment, &path.child("expression"), text(variable, "expression"), &[]);
            let declared = compiled.program.as_ref().map_or(Type::Dyn, |p| p.result_type().clone());
            let name = text(variable, "name").to_owned();
            self.variables.push((name.clone(), declared));
            variables.push((name, compiled));
        }
        variables
    }

    fn conditions(&mut self, spec: &Value) -> Vec<Expression> {
        let at = SPEC.child("matchConditions");
        // Conditions are judged before anything else is computed: they see no `variables`.
        let environment = self.base.clone();
        let mut compiled = Vec::new();
        for (i, condition) in items(spec, "matchConditions") {
            let path = at.index(i);
            let source = text(condition, "expression");
            compiled.push(self.expression(&environment, &path.child("expression"), source, &["bool"]));
        }
        compiled
    }

    fn validations(&mut self, spec: &Value) -> Vec<Validation> {
        let at = SPEC.child("validations");
        let environment = self.environment();
        let mut compiled = Vec::new();
        for (i, validation) in items(spec, "validations") {
            let path = at.index(i);
            let source = text(validation, "expression");
            let expression = self.expression(&environment, &path.child("expression"), source, &["bool"]);
            let source = text(validation, "messageExpression");
            let message_expression = (!source.trim().is_empty()).then(|| {
                self.expression(&environment, &path.child("messageExpression"), source, &["string"])
            });
            compiled.push(Validation {
                expression,
                message: text(validation, "message").trim().to_owned(),
                message_expression,
                reason: text(validation, "reason").to_owned(),
            });
        }
        compiled
    }

    fn annotations(&mut self, spec: &Value) -> Vec<(String, Expression)> {
        let at = SPEC.child("auditAnnotations");
        let environment = self.environment();
        let mut compiled = Vec::new();
        for (i, annotation) in items(spec, "auditAnnotations") {
            let path = at.index(i);
            let source = text(annotation, "valueExpression");
            let path = path.child("valueExpression");
            let expression = self.expression(&environment, &path, source, &["string", "null_type"]);
            compiled.push((text(annotation, "key").to_owned(), expression));
        }
        compiled
    }

    fn mutations(&mut self, spec: &Value) -> Vec<Mutation> {
        let at = SPEC.child("mutations");
        let environment = self.environment().with_patch_types();
        let mut compiled = Vec::new();
        for (i, mutation) in items(spec, "mutations") {
            let path = at.index(i);
            match text(mutation, "patchType") {
                "ApplyConfiguration" => {
                    let path = path.child("applyConfiguration");
                    let source = text(&mutation["applyConfiguration"], "expression");
                    let expression =
                        self.expression(&environment, &path.child("expression"), source, &["Object"]);
                    compiled.push(Mutation::Apply(expression));
                }
                "JSONPatch" => {
                    let path = path.child("jsonPatch");
                    let source = text(&mutation["jsonPatch"], "expression");
                    let expression = self.expression(
                        &environment,
                        &path.child("expression"),
                        source,
                        &["list(JSONPatch)"],
                    );
                    compiled.push(Mutation::Patch(expression));
                }
                _ => {}
            }
        }
        compiled
    }

    /// Compiles an expression that must be of one of these types (any, when none is named).
    fn expression(
        &mut self,
        environment: &Environment,
        path: &Path<'_>,
        source: &str,
        wanted: &[&str],
    ) -> Expression {
        let source = source.trim();
        if source.is_empty() {
            // Said to be missing by the rules of the kind.
            return Expression { source: String::new(), program: Err("the expression is empty".to_owned()) };
        }
        let program = match environment.compile(source) {
            Ok(program) => of_type(program, wanted),
            Err(error) => Err(format!("compilation failed: {error}")),
        };
        if let Err(problem) = &program {
            self.errors.invalid(path, source, problem.as_str());
        }
        Expression { source: source.to_owned(), program }
    }
}

fn of_type(program: Program, wanted: &[&str]) -> Result<Program, String> {
    let found = program.result_type();
    let shown = match found {
        Type::Null => "null_type".to_owned(),
        Type::List(item) if item.is_dyn() => "list(JSONPatch)".to_owned(),
        other => other.to_string(),
    };
    if wanted.is_empty() || found.is_dyn() || wanted.contains(&shown.as_str()) {
        return Ok(program);
    }
    Err(match wanted {
        [one] => format!("must evaluate to {one} but got {shown}"),
        several => format!("must evaluate to one of [{}] but got {shown}", several.join(" ")),
    })
}
