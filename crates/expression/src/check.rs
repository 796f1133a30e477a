//! The type checker: every name resolved, every call matched with the overloads that may serve it.
//!
//! The rules, and the wording of what breaks them, are those of cel-go with homogeneous aggregate literals.

mod infer;

use std::sync::Arc;

use self::infer::Inference;
use crate::ast::{Expr, Field, Fold, Literal, Node};
use crate::environment::Environment;
use crate::library::{self, Function};
use crate::{Issue, Type};

/// What checking found out about a tree, by node id.
pub(crate) struct Checked {
    pub types: Vec<Type>,
    pub references: Vec<Reference>,
    pub issues: Vec<Issue>,
}

/// What a node refers to, beyond what it says itself.
#[derive(Clone, Debug, Default)]
pub(crate) enum Reference {
    /// Nothing.
    #[default]
    None,
    /// A variable of this full name.
    Variable(Arc<str>),
    /// A type's name as a value.
    TypeName(Arc<str>),
    /// Overloads of a function; `receiver` when the target is the first argument.
    Call { overloads: Vec<&'static Function>, receiver: bool },
}

/// Checks a tree of `nodes` nodes.
pub(crate) fn check(environment: &Environment, root: &Node, nodes: usize) -> Checked {
    let mut checker = Checker {
        environment,
        inference: Inference::default(),
        scopes: Vec::new(),
        types: vec![Type::Error; nodes],
        references: vec![Reference::None; nodes],
        issues: Vec::new(),
    };
    checker.node(root);
    let inference = checker.inference;
    let types = checker.types.iter().map(|t| inference.finished(t)).collect();
    Checked { types, references: checker.references, issues: checker.issues }
}

struct Checker<'e> {
    environment: &'e Environment,
    inference: Inference,
    /// Variables of the loops around the node, innermost last.
    scopes: Vec<(Arc<str>, Type)>,
    types: Vec<Type>,
    references: Vec<Reference>,
    issues: Vec<Issue>,
}

impl Checker<'_> {
    fn report(&mut self, offset: u32, message: String) -> Type {
        self.issues.push(Issue { offset, message });
        Type::Error
    }

    fn node(&mut self, node: &Node) -> Type {
        let found = match &node.expr {
            Expr::Literal(literal) => literal_type(literal),
            Expr::Ident(name) => self.ident(node, name),
            Expr::Select { operand, field, test } => self.select(node, operand, field, *test),
            Expr::Call { function, target, args } => self.call(node, function, target.as_deref(), args),
            Expr::List(items) => self.list(items),
            Expr::Map(entries) => self.map(entries),
            Expr::Struct { type_name, fields } => self.object(node, type_name, fields),
            Expr::Fold(fold) => self.fold(fold),
        };
        self.types[node.id] = found.clone();
        found
    }

    fn variable(&self, name: &str) -> Option<Type> {
        let local = self.scopes.iter().rev().find(|(known, _)| **known == *name);
        local.map(|(_, t)| t.clone()).or_else(|| self.environment.variable_type(name).cloned())
    }

    fn ident(&mut self, node: &Node, name: &Arc<str>) -> Type {
        if let Some(found) = self.variable(name) {
            self.references[node.id] = Reference::Variable(name.clone());
            return found;
        }
        if let Some(named) = library::named_type(name) {
            self.references[node.id] = Reference::TypeName(name.clone());
            return Type::Type(named.into());
        }
        self.report(node.offset, format!("undeclared reference to '{name}' (in container '')"))
    }

    fn select(&mut self, node: &Node, operand: &Node, field: &str, test: bool) -> Type {
        // A dotted name may be that of a variable, unless a loop's variable hides its first part.
        if !test
            && let Some(name) = node.qualified_name()
            && let Some(root) = name.split('.').next()
            && !self.scopes.iter().any(|(known, _)| **known == *root)
        {
            if let Some(found) = self.environment.variable_type(&name).cloned() {
                self.references[node.id] = Reference::Variable(name.into());
                return found;
            }
            if let Some(named) = library::named_type(&name) {
                self.references[node.id] = Reference::TypeName(name.into());
                return Type::Type(named.into());
            }
        }
        let of = self.node(operand);
        let found = self.field(node.offset, &of, field, false);
        if test { Type::Bool } else { found }
    }

    /// The type of a field of a value of type `of`; an optional's field is optional.
    fn field(&mut self, offset: u32, of: &Type, field: &str, optional: bool) -> Type {
        let of = self.inference.shallow(of);
        let (target, was_optional) = match &of {
            Type::Optional(inner) => (self.inference.shallow(inner), true),
            other => (other.clone(), false),
        };
        let found = match &target {
            Type::Map(map) => map.1.clone(),
            Type::Object(object) => match object.field(field) {
                Some(found) => found,
                None => self.report(offset, format!("undefined field '{field}'")),
            },
            Type::Var(_) => {
                self.inference.unify(&Type::Dyn, &target);
                Type::Dyn
            }
            Type::Dyn | Type::Error => Type::Dyn,
            other => {
                let other = self.inference.resolved(other);
                self.report(offset, format!("type '{other}' does not support field selection"))
            }
        };
        if (was_optional || optional) && !matches!(found, Type::Error) {
            Type::optional(found)
        } else {
            found
        }
    }

    fn call(&mut self, node: &Node, function: &str, target: Option<&Node>, args: &[Node]) -> Type {
        if function == "_?._" {
            return self.optional_select(node, args);
        }
        let Some(target) = target else {
            let types = self.nodes(args);
            return self.resolve(node, function, false, &types);
        };
        // `namespace.function(…)` is a function of that name, if there is one and no variable hides it.
        if let Some(namespace) = target.qualified_name() {
            let full = format!("{namespace}.{function}");
            let root = namespace.split('.').next().unwrap_or_default();
            if !library::overloads(&full).is_empty() && self.variable(root).is_none() {
                let types = self.nodes(args);
                return self.resolve(node, &full, false, &types);
            }
        }
        let mut types = vec![self.node(target)];
        types.extend(self.nodes(args));
        self.resolve(node, function, true, &types)
    }

    fn nodes(&mut self, nodes: &[Node]) -> Vec<Type> {
        nodes.iter().map(|node| self.node(node)).collect()
    }

    fn optional_select(&mut self, node: &Node, args: &[Node]) -> Type {
        let [operand, name] = args else {
            return self.report(node.offset, "unsupported optional field selection".to_owned());
        };
        let of = self.node(operand);
        self.types[name.id] = Type::String;
        match &name.expr {
            Expr::Literal(Literal::String(field)) => self.field(node.offset, &of, field, true),
            _ => self.report(node.offset, "unsupported optional field selection".to_owned()),
        }
    }

    /// Matches a call with the overloads of the function; several may remain where types are dynamic.
    fn resolve(&mut self, node: &Node, name: &str, receiver: bool, args: &[Type]) -> Type {
        let known = library::overloads(name);
        if known.is_empty() {
            return self.report(node.offset, format!("undeclared reference to '{name}' (in container '')"));
        }
        let mut overloads = Vec::new();
        let mut result: Option<Type> = None;
        for function in known {
            let signature = &function.signature;
            if signature.member != receiver || signature.parameters.len() != args.len() {
                continue;
            }
            let fresh = self.inference.instantiate(signature);
            if !self.inference.all_assignable(&fresh.parameters, args) {
                continue;
            }
            overloads.push(function);
            let found = self.inference.resolved(&fresh.result);
            result = Some(match result {
                None => found,
                Some(before) if self.inference.resolved(&before).same(&found) => before,
                Some(_) => Type::Dyn,
            });
        }
        let Some(result) = result else {
            let shown = self.shown_arguments(receiver, args);
            return self.report(
                node.offset,
                format!("found no matching overload for '{name}' applied to '{shown}'"),
            );
        };
        self.references[node.id] = Reference::Call { overloads, receiver };
        result
    }

    fn shown_arguments(&self, receiver: bool, args: &[Type]) -> String {
        let shown: Vec<String> = args.iter().map(|t| self.inference.resolved(t).to_string()).collect();
        match shown.split_first() {
            Some((target, rest)) if receiver => format!("{target}.({})", rest.join(", ")),
            _ => format!("({})", shown.join(", ")),
        }
    }

    fn list(&mut self, items: &[(Node, bool)]) -> Type {
        let mut item_type: Option<Type> = None;
        for (item, optional) in items {
            let mut found = self.node(item);
            if *optional {
                found = self.unwrapped(item, &found);
            }
            item_type = Some(self.joined(item.offset, item_type, found));
        }
        Type::list(item_type.unwrap_or_else(|| self.inference.fresh()))
    }

    fn map(&mut self, entries: &[(Node, Node, bool)]) -> Type {
        let (mut keys, mut values) = (None, None);
        for (key, value, optional) in entries {
            let found = self.node(key);
            keys = Some(self.joined(key.offset, keys, found));
            let mut found = self.node(value);
            if *optional {
                found = self.unwrapped(value, &found);
            }
            values = Some(self.joined(value.offset, values, found));
        }
        let key = keys.unwrap_or_else(|| self.inference.fresh());
        Type::map(key, values.unwrap_or_else(|| self.inference.fresh()))
    }

    /// The value type of an entry marked with `?`, which must be optional.
    fn unwrapped(&mut self, node: &Node, found: &Type) -> Type {
        match self.inference.shallow(found) {
            Type::Optional(inner) => (*inner).clone(),
            Type::Dyn | Type::Error => Type::Dyn,
            other => {
                let other = self.inference.resolved(&other);
                self.report(
                    node.offset,
                    format!("expected type 'optional_type({other})' but found '{other}'"),
                )
            }
        }
    }

    /// The one type of all elements of a literal.
    fn joined(&mut self, offset: u32, before: Option<Type>, found: Type) -> Type {
        let Some(before) = before else { return found };
        if self.inference.assignable(&before, &found) {
            return self.inference.most_general(before, found);
        }
        let (expected, got) = (self.inference.resolved(&before), self.inference.resolved(&found));
        self.report(offset, format!("expected type '{expected}' but found '{got}'"));
        before
    }

    fn object(&mut self, node: &Node, type_name: &Arc<str>, fields: &[Field]) -> Type {
        let Some(object) = self.environment.object_type(type_name) else {
            let known =
                self.report(node.offset, format!("undeclared reference to '{type_name}' (in container '')"));
            for field in fields {
                self.node(&field.value);
            }
            return known;
        };
        for field in fields {
            let mut found = self.node(&field.value);
            if field.optional {
                found = self.unwrapped(&field.value, &found);
            }
            match object.field(&field.name) {
                None => {
                    self.report(field.offset, format!("undefined field '{}'", field.name));
                }
                Some(declared) if !self.inference.assignable(&declared, &found) => {
                    let found = self.inference.resolved(&found);
                    let name = &field.name;
                    self.report(
                        field.offset,
                        format!(
                            "expected type of field '{name}' is '{declared}' but provided type is '{found}'"
                        ),
                    );
                }
                Some(_) => {}
            }
        }
        Type::Object(object)
    }

    fn fold(&mut self, fold: &Fold) -> Type {
        let range = self.node(&fold.range);
        let initial = self.node(&fold.initial);
        let (first, second) = self.range_types(fold, &range);
        let outer = self.scopes.len();
        self.scopes.push((fold.accumulator.clone(), initial.clone()));
        let with_accumulator = self.scopes.len();
        self.scopes.push((fold.variable.clone(), first));
        if let Some(name) = &fold.second {
            self.scopes.push((name.clone(), second));
        }
        let condition = self.node(&fold.condition);
        self.expect(&fold.condition, &Type::Bool, &condition);
        let step = self.node(&fold.step);
        self.expect(&fold.step, &initial, &step);
        self.scopes.truncate(with_accumulator);
        let result = self.node(&fold.result);
        self.scopes.truncate(outer);
        self.inference.resolved(&result)
    }

    /// The types of a loop's variables.
    fn range_types(&mut self, fold: &Fold, range: &Type) -> (Type, Type) {
        let two = fold.second.is_some();
        match self.inference.shallow(range) {
            Type::List(item) if two => (Type::Int, (*item).clone()),
            Type::List(item) => ((*item).clone(), Type::Dyn),
            Type::Map(map) => (map.0.clone(), map.1.clone()),
            Type::Dyn | Type::Error | Type::Var(_) => {
                self.inference.unify(&Type::Dyn, range);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let other = self.inference.resolved(&other);
                self.report(
                    fold.range.offset,
                    format!(
                        "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                    ),
                );
                (Type::Error, Type::Error)
            }
        }
    }

    fn expect(&mut self, node: &Node, expected: &Type, found: &Type) {
        if !self.inference.assignable(expected, found) {
            let (expected, found) = (self.inference.resolved(expected), self.inference.resolved(found));
            self.report(node.offset, format!("expected type '{expected}' but found '{found}'"));
        }
    }
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}
