//! What an expression may cost at most, judged from the sizes that its variables can have.

use std::sync::Arc;

use api_types::schema::SchemaRef;

use crate::ast::{Expr, Fold, Literal, Node};
use crate::check::Reference;
use crate::cost::{self, Cost};
use crate::{Type, shape};

/// Bounds of a cost or of a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Estimate {
    /// At least.
    pub min: u64,
    /// At most; `u64::MAX` when nothing bounds it.
    pub max: u64,
}

/// What is known about the sizes of variables.
pub trait Sizes {
    /// The schema of a variable, which bounds its parts by `maxItems`, `maxProperties` and `maxLength`.
    fn schema(&self, variable: &str) -> Option<SchemaRef>;
}

impl Sizes for () {
    fn schema(&self, _: &str) -> Option<SchemaRef> {
        None
    }
}

impl Sizes for [(&str, SchemaRef)] {
    fn schema(&self, variable: &str) -> Option<SchemaRef> {
        self.iter().find(|(name, _)| *name == variable).map(|(_, schema)| schema.clone())
    }
}

impl<const N: usize> Sizes for [(&str, SchemaRef); N] {
    fn schema(&self, variable: &str) -> Option<SchemaRef> {
        self.as_slice().schema(variable)
    }
}

impl Estimate {
    const ONE: Self = Self::exactly(1);
    const UNKNOWN: Self = Self { min: 0, max: u64::MAX };

    const fn exactly(n: u64) -> Self {
        Self { min: n, max: n }
    }

    const fn up_to(max: u64) -> Self {
        Self { min: 0, max }
    }

    fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    /// Of what happens as often as `other` says.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    fn scaled(self, factor: f64) -> Self {
        // Beyond what a float holds exactly nothing is exact anyway.
        let scale = |n: u64| if n == u64::MAX { n } else { (n as f64 * factor).ceil() as u64 };
        Self { min: scale(self.min), max: scale(self.max) }
    }

    fn either(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

pub(crate) fn estimate(root: &Node, types: &[Type], references: &[Reference], sizes: &dyn Sizes) -> Estimate {
    Estimator { types, references, sizes, scopes: Vec::new() }.node(root).cost
}

/// What is known of a node: its cost, and how large its value may be.
struct Known {
    cost: Estimate,
    shape: Shape,
}

/// How large a value may be, and its parts.
#[derive(Clone)]
enum Shape {
    /// As large as its schema lets it.
    Schema(SchemaRef),
    /// A list or text made by the expression, with its elements' shape.
    Made(Estimate, Option<Arc<Shape>>),
    /// Nothing is known but the type.
    Unknown,
}

struct Estimator<'p> {
    types: &'p [Type],
    references: &'p [Reference],
    sizes: &'p dyn Sizes,
    scopes: Vec<(Arc<str>, Shape)>,
}

impl Estimator<'_> {
    fn node(&mut self, node: &Node) -> Known {
        match &node.expr {
            Expr::Literal(literal) => {
                let size = match literal {
                    Literal::String(text) => text.chars().count() as u64,
                    Literal::Bytes(bytes) => bytes.len() as u64,
                    _ => 1,
                };
                Known { cost: Estimate::default(), shape: Shape::Made(Estimate::exactly(size), None) }
            }
            Expr::Ident(name) => Known { cost: Estimate::exactly(cost::NAME), shape: self.variable(name) },
            Expr::Select { operand, field, test } => self.select(node, operand, field, *test),
            Expr::Call { function, target, args } => self.call(node, function, target.as_deref(), args),
            Expr::List(items) => {
                let mut total = Estimate::exactly(cost::LIST);
                let mut item_shape = None;
                for (item, _) in items {
                    let known = self.node(item);
                    total = total.plus(known.cost);
                    item_shape = Some(Arc::new(known.shape));
                }
                let size = Estimate::exactly(items.len() as u64);
                Known { cost: total, shape: Shape::Made(size, item_shape) }
            }
            Expr::Map(entries) => {
                let mut total = Estimate::exactly(cost::MAP);
                for (key, value, _) in entries {
                    total = total.plus(self.node(key).cost).plus(self.node(value).cost);
                }
                Known { cost: total, shape: Shape::Made(Estimate::exactly(entries.len() as u64), None) }
            }
            Expr::Struct { fields, .. } => {
                let mut total = Estimate::exactly(cost::STRUCT);
                for field in fields {
                    total = total.plus(self.node(&field.value).cost);
                }
                Known { cost: total, shape: Shape::Unknown }
            }
            Expr::Fold(fold) => self.fold(fold),
        }
    }

    fn variable(&self, name: &str) -> Shape {
        if let Some((_, shape)) = self.scopes.iter().rev().find(|(known, _)| **known == *name) {
            return shape.clone();
        }
        self.sizes.schema(name).map_or(Shape::Unknown, Shape::Schema)
    }

    fn select(&mut self, node: &Node, operand: &Node, field: &str, test: bool) -> Known {
        if !matches!(self.references[node.id], Reference::None) {
            return Known { cost: Estimate::exactly(cost::NAME), shape: Shape::Unknown };
        }
        let of = self.node(operand);
        let own = if test { 0 } else { cost::NAME };
        Known { cost: of.cost.plus(Estimate::exactly(own)), shape: below(&of.shape, field) }
    }

    fn call(&mut self, node: &Node, function: &str, target: Option<&Node>, args: &[Node]) -> Known {
        match (function, args) {
            ("_&&_" | "_||_", [a, b]) => {
                let (a, b) = (self.node(a).cost, self.node(b).cost);
                let cost = Estimate { min: a.min, max: a.max.saturating_add(b.max) };
                return Known { cost, shape: Shape::Unknown };
            }
            ("_?_:_", [condition, yes, no]) => {
                let (condition, yes, no) = (self.node(condition), self.node(yes), self.node(no));
                let size = self.size(&yes.shape, node.id).either(self.size(&no.shape, node.id));
                let cost = condition.cost.plus(yes.cost.either(no.cost));
                return Known { cost, shape: Shape::Made(size, items_of(&yes.shape)) };
            }
            ("@not_strictly_false", [condition]) => return self.node(condition),
            ("_?._", [operand, name]) => {
                let of = self.node(operand);
                let field = match &name.expr {
                    Expr::Literal(Literal::String(field)) => field.clone(),
                    _ => "".into(),
                };
                return Known { cost: of.cost.plus(Estimate::ONE), shape: below(&of.shape, &field) };
            }
            _ => {}
        }
        let (overloads, receiver) = match &self.references[node.id] {
            Reference::Call { overloads, receiver } => (overloads.as_slice(), *receiver),
            _ => (&[][..], false),
        };
        let mut total = Estimate::default();
        let mut parts = Vec::with_capacity(args.len() + 1);
        for part in target.filter(|_| receiver).into_iter().chain(args) {
            let known = self.node(part);
            total = total.plus(known.cost);
            let size = self.size(&known.shape, part.id);
            parts.push((known.shape, size));
        }
        let own = overloads.iter().map(|f| call_cost(f.cost, &f.signature.parameters, &parts));
        let own = own.reduce(Estimate::either).unwrap_or(Estimate::ONE);
        Known { cost: total.plus(own), shape: result_shape(function, &parts) }
    }

    /// How large the value of a node may be.
    fn size(&self, shape: &Shape, id: usize) -> Estimate {
        let scalar = matches!(
            self.types.get(id),
            Some(
                Type::Bool
                    | Type::Int
                    | Type::Uint
                    | Type::Double
                    | Type::Null
                    | Type::Timestamp
                    | Type::Duration
            )
        );
        if scalar {
            return Estimate::ONE;
        }
        match shape {
            Shape::Schema(schema) => shape::max_size(schema).map_or(Estimate::UNKNOWN, Estimate::up_to),
            Shape::Made(size, _) => *size,
            Shape::Unknown => Estimate::UNKNOWN,
        }
    }

    fn fold(&mut self, fold: &Fold) -> Known {
        let range = self.node(&fold.range);
        let turns = self.size(&range.shape, fold.range.id);
        let initial = self.node(&fold.initial);
        let (first, second) = loop_shapes(&range.shape, fold.second.is_some());
        let outer = self.scopes.len();
        // What accumulates grows by one with every turn.
        let grows = matches!(self.types.get(fold.initial.id), Some(Type::List(_) | Type::Map(_)));
        let accumulated =
            if grows { Shape::Made(Estimate::up_to(turns.max), None) } else { initial.shape.clone() };
        self.scopes.push((fold.accumulator.clone(), accumulated.clone()));
        let with_accumulator = self.scopes.len();
        self.scopes.push((fold.variable.clone(), first));
        if let Some(name) = &fold.second {
            self.scopes.push((name.clone(), second));
        }
        let condition = self.node(&fold.condition).cost;
        let step = self.node(&fold.step).cost;
        self.scopes.truncate(with_accumulator);
        let result = self.node(&fold.result);
        self.scopes.truncate(outer);
        let all_turns = condition.plus(step).times(turns);
        let cost = range.cost.plus(initial.cost).plus(all_turns).plus(result.cost);
        Known { cost, shape: if grows { accumulated } else { result.shape } }
    }
}

fn loop_shapes(range: &Shape, two: bool) -> (Shape, Shape) {
    match range {
        Shape::Schema(schema) => match (schema.item(), schema.map_value()) {
            (Some(item), _) if two => (Shape::Unknown, Shape::Schema(item.clone())),
            (Some(item), _) => (Shape::Schema(item.clone()), Shape::Unknown),
            // Keys are as long as a request lets them be.
            (_, Some(value)) => (Shape::Unknown, Shape::Schema(value.clone())),
            _ => (Shape::Unknown, Shape::Unknown),
        },
        Shape::Made(_, Some(item)) => ((**item).clone(), (**item).clone()),
        _ => (Shape::Unknown, Shape::Unknown),
    }
}

fn items_of(shape: &Shape) -> Option<Arc<Shape>> {
    match shape {
        Shape::Made(_, items) => items.clone(),
        Shape::Schema(schema) => schema.item().map(|item| Arc::new(Shape::Schema(item.clone()))),
        Shape::Unknown => None,
    }
}

fn below(shape: &Shape, field: &str) -> Shape {
    let Shape::Schema(schema) = shape else { return Shape::Unknown };
    let name = match schema.as_struct() {
        Some(_) => shape::unescape(field).unwrap_or_else(|| field.into()),
        None => field.into(),
    };
    schema.child(&name).map_or(Shape::Unknown, |child| Shape::Schema(child.clone()))
}

/// The cost of a call, by the sizes of its arguments.
fn call_cost(rule: Cost, parameters: &[Type], args: &[(Shape, Estimate)]) -> Estimate {
    let size = |i: usize| args.get(i).map_or(Estimate::ONE, |(_, size)| *size);
    match rule {
        Cost::Unit => Estimate::ONE,
        Cost::Text => size(0).scaled(0.1),
        Cost::TextTwice => size(0).scaled(0.2),
        Cost::Comparison => {
            let scalar = matches!(
                parameters.first(),
                Some(Type::Bool | Type::Int | Type::Uint | Type::Double | Type::Timestamp | Type::Duration)
            );
            if scalar {
                return Estimate::ONE;
            }
            let (a, b) = (size(0), size(1));
            Estimate { min: 0, max: a.max.min(b.max) }.scaled(0.1).either(Estimate::ONE)
        }
        Cost::Concatenation => size(0).plus(size(1)).scaled(0.1),
        Cost::Membership => size(1).either(Estimate::ONE),
        Cost::Elements => size(0).either(Estimate::ONE),
        Cost::Product => size(0).times(size(1)),
        Cost::Regex => size(0).plus(Estimate::ONE).scaled(0.1).times(size(1).scaled(0.25)),
        Cost::Search => size(0).scaled(0.1).times(size(1).scaled(0.1)),
        Cost::Rewrite => size(0).scaled(0.2).plus(size(0).times(size(2)).scaled(0.1)),
        Cost::Authorize => Estimate::exactly(rule.of(&[])),
    }
}

/// How large a call's result may be.
fn result_shape(function: &str, args: &[(Shape, Estimate)]) -> Shape {
    let size = |i: usize| args.get(i).map_or(Estimate::ONE, |(_, size)| *size);
    let item = |i: usize| args.get(i).and_then(|(shape, _)| items_of(shape));
    match function {
        "_[_]" | "_[?_]" | "first" | "last" | "min" | "max" => match args.first() {
            Some((Shape::Schema(schema), _)) => {
                let inner = schema.item().or_else(|| schema.map_value());
                inner.map_or(Shape::Unknown, |inner| Shape::Schema(inner.clone()))
            }
            Some((Shape::Made(_, Some(item)), _)) => (**item).clone(),
            _ => Shape::Unknown,
        },
        "_+_" => Shape::Made(size(0).plus(size(1)), item(0).or_else(|| item(1))),
        "orValue" | "or" => Shape::Made(size(0).either(size(1)), item(0)),
        "value" | "of" | "dyn" => args.first().map_or(Shape::Unknown, |(shape, _)| shape.clone()),
        "lowerAscii" | "upperAscii" | "trim" | "substring" | "find" | "string" | "bytes" | "charAt" => {
            Shape::Made(Estimate::up_to(size(0).max), None)
        }
        "split" | "findAll" => {
            let text = Shape::Made(Estimate::up_to(size(0).max), None);
            Shape::Made(Estimate::up_to(size(0).max), Some(Arc::new(text)))
        }
        "replace" => Shape::Made(Estimate::up_to(size(0).times(size(2)).max.max(size(0).max)), None),
        _ => Shape::Unknown,
    }
}
