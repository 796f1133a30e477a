//! Evaluation: the tree is walked; every step is charged to the meter before it is taken.

mod fold;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ast::{Expr, Field, Literal, Node};
use crate::check::Reference;
use crate::library::{self, Function};
use crate::program::Variables;
use crate::value::{Key, List, Map, Text, Value, equal};
use crate::{Error, Meter, cost};

type Outcome<'a> = Result<Value<'a>, Error>;

/// One evaluation of one program.
pub(crate) struct Evaluation<'a, 'e> {
    references: &'a [Reference],
    variables: &'e dyn Variables<'a>,
    meter: &'e mut Meter,
    /// Variables of the loops around the node, innermost last. An accumulator may hold a failure that a later
    /// element makes good.
    scopes: Vec<(&'a str, Outcome<'a>)>,
}

impl<'a, 'e> Evaluation<'a, 'e> {
    pub fn new(references: &'a [Reference], variables: &'e dyn Variables<'a>, meter: &'e mut Meter) -> Self {
        Self { references, variables, meter, scopes: Vec::new() }
    }

    /// The value of a node.
    pub fn run(&mut self, node: &'a Node) -> Outcome<'a> {
        self.meter.enter()?;
        let outcome = match &node.expr {
            Expr::Literal(literal) => Ok(literal_value(literal)),
            Expr::Ident(name) => self.ident(node, name),
            Expr::Select { operand, field, test } => self.select(node, operand, field, *test),
            Expr::Call { function, target, args } => self.call(node, function, target.as_deref(), args),
            Expr::List(items) => self.list(items),
            Expr::Map(entries) => self.map(entries),
            Expr::Struct { type_name, fields } => self.object(type_name, fields),
            Expr::Fold(fold) => self.fold(fold),
        };
        self.meter.leave();
        outcome
    }

    fn ident(&mut self, node: &'a Node, name: &str) -> Outcome<'a> {
        self.meter.charge(cost::NAME)?;
        if let Some((_, value)) = self.scopes.iter().rev().find(|(known, _)| *known == name) {
            return value.clone();
        }
        self.referenced(node)
    }

    /// The value of what the checker found a name to be.
    fn referenced(&self, node: &Node) -> Outcome<'a> {
        match &self.references[node.id] {
            Reference::TypeName(name) => Ok(Value::Type(library::runtime_type_name(name).into())),
            Reference::Variable(name) => self
                .variables
                .variable(name)
                .ok_or_else(|| Error::new(format!("no such attribute(s): {name}"))),
            _ => Err(Error::no_such_overload()),
        }
    }

    fn select(&mut self, node: &'a Node, operand: &'a Node, field: &str, test: bool) -> Outcome<'a> {
        if !matches!(self.references[node.id], Reference::None) {
            self.meter.charge(cost::NAME)?;
            return self.referenced(node);
        }
        let of = self.run(operand)?;
        if test {
            return Ok(Value::Bool(self.find(&of, field)?.is_some()));
        }
        self.meter.charge(cost::NAME)?;
        match &of {
            Value::Optional(None) => Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => self.find(inner, field).map(optional),
            _ => self.find(&of, field)?.ok_or_else(|| Error::no_such_key(field)),
        }
    }

    /// A field of a value, if it is there.
    fn find(&mut self, of: &Value<'a>, field: &str) -> Result<Option<Value<'a>>, Error> {
        match of {
            Value::Map(Map::Lazy(fields)) => fields.field(field, self.meter).transpose(),
            Value::Map(map) => Ok(map.field(field)),
            Value::Optional(Some(inner)) => self.find(inner, field),
            _ => Ok(None),
        }
    }

    fn call(
        &mut self,
        node: &'a Node,
        function: &str,
        target: Option<&'a Node>,
        args: &'a [Node],
    ) -> Outcome<'a> {
        match (function, args) {
            ("_&&_", [a, b]) => return self.logic(a, b, false),
            ("_||_", [a, b]) => return self.logic(a, b, true),
            ("_?_:_", [condition, yes, no]) => {
                return match self.run(condition)? {
                    Value::Bool(true) => self.run(yes),
                    Value::Bool(false) => self.run(no),
                    _ => Err(Error::no_such_overload()),
                };
            }
            ("@not_strictly_false", [condition]) => {
                return match self.run(condition) {
                    Err(Error::CostLimit) => Err(Error::CostLimit),
                    Ok(Value::Bool(truth)) => Ok(Value::Bool(truth)),
                    _ => Ok(Value::Bool(true)),
                };
            }
            ("_?._", [operand, name]) => return self.optional_select(operand, name),
            _ => {}
        }
        let Reference::Call { overloads, receiver } = &self.references[node.id] else {
            return Err(Error::no_such_overload());
        };
        let mut values = Vec::with_capacity(args.len() + 1);
        if *receiver && let Some(target) = target {
            values.push(self.run(target)?);
        }
        for arg in args {
            values.push(self.run(arg)?);
        }
        self.apply(overloads, &values)
    }

    fn apply(&mut self, overloads: &[&'static Function], args: &[Value<'a>]) -> Outcome<'a> {
        let chosen =
            overloads.iter().find(|function| function.takes(args)).ok_or_else(Error::no_such_overload)?;
        self.meter.charge(chosen.cost.of(args))?;
        let result = (chosen.run)(args)?;
        self.meter.charge(cost::excess(&result))?;
        Ok(result)
    }

    /// `&&` and `||`: a decisive side settles it, even when the other side fails.
    fn logic(&mut self, a: &'a Node, b: &'a Node, decisive: bool) -> Outcome<'a> {
        let first = self.run(a);
        match first {
            Ok(Value::Bool(truth)) if truth == decisive => return Ok(Value::Bool(decisive)),
            Err(Error::CostLimit) => return Err(Error::CostLimit),
            _ => {}
        }
        match (first, self.run(b)) {
            (_, Err(Error::CostLimit)) => Err(Error::CostLimit),
            (_, Ok(Value::Bool(truth))) if truth == decisive => Ok(Value::Bool(decisive)),
            (Ok(Value::Bool(_)), Ok(Value::Bool(truth))) => Ok(Value::Bool(truth)),
            (Err(error), _) | (Ok(Value::Bool(_)), Err(error)) => Err(error),
            _ => Err(Error::no_such_overload()),
        }
    }

    fn optional_select(&mut self, operand: &'a Node, name: &'a Node) -> Outcome<'a> {
        let of = self.run(operand)?;
        self.meter.charge(cost::NAME)?;
        match &name.expr {
            Expr::Literal(Literal::String(field)) => self.find(&of, field).map(optional),
            _ => Err(Error::no_such_overload()),
        }
    }

    fn list(&mut self, items: &'a [(Node, bool)]) -> Outcome<'a> {
        self.meter.charge(cost::LIST)?;
        let mut values = Vec::with_capacity(items.len());
        for (item, if_present) in items {
            match (self.run(item)?, *if_present) {
                (Value::Optional(None), true) => {}
                (Value::Optional(Some(value)), true) => values.push((*value).clone()),
                (value, false) => values.push(value),
                (_, true) => return Err(Error::no_such_overload()),
            }
        }
        Ok(Value::list(values))
    }

    fn map(&mut self, entries: &'a [(Node, Node, bool)]) -> Outcome<'a> {
        self.meter.charge(cost::MAP)?;
        let mut made = BTreeMap::new();
        for (key, value, if_present) in entries {
            let key_value = self.run(key)?;
            let value = match (self.run(value)?, *if_present) {
                (Value::Optional(None), true) => continue,
                (Value::Optional(Some(value)), true) => (*value).clone(),
                (value, false) => value,
                (_, true) => return Err(Error::no_such_overload()),
            };
            let key = Key::of(&key_value)
                .ok_or_else(|| Error::new(format!("unsupported key type: {}", key_value.type_name())))?;
            if made.insert(key, value).is_some() {
                return Err(Error::new("Failed with repeated key"));
            }
        }
        Ok(Value::Map(Map::Made(Arc::new(made))))
    }

    fn object(&mut self, type_name: &Arc<str>, fields: &'a [Field]) -> Outcome<'a> {
        self.meter.charge(cost::STRUCT)?;
        let mut made = BTreeMap::new();
        for field in fields {
            let value = match (self.run(&field.value)?, field.optional) {
                (Value::Optional(None), true) => continue,
                (Value::Optional(Some(value)), true) => (*value).clone(),
                (value, false) => value,
                (_, true) => return Err(Error::no_such_overload()),
            };
            let name = crate::shape::unescape(&field.name).unwrap_or_else(|| (*field.name).into());
            made.insert(Key::String(Arc::from(&*name)), value);
        }
        Ok(Value::Map(Map::Struct(type_name.clone(), Arc::new(made))))
    }
}

fn optional(found: Option<Value<'_>>) -> Value<'_> {
    match found {
        // What is optional already stays one.
        Some(Value::Optional(inner)) => Value::Optional(inner),
        Some(value) => Value::some(value),
        None => Value::Optional(None),
    }
}

fn literal_value(literal: &Literal) -> Value<'_> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(b) => Value::Bool(*b),
        Literal::Int(n) => Value::Int(*n),
        Literal::Uint(n) => Value::Uint(*n),
        Literal::Double(d) => Value::Double(*d),
        Literal::String(text) => Value::String(Text::Borrowed(text)),
        Literal::Bytes(bytes) => Value::Bytes(bytes.clone()),
    }
}

/// Element or value under an index or key, for `_[_]`; `None` when it is not there.
pub(crate) fn index<'a>(of: &Value<'a>, at: &Value<'a>) -> Result<Option<Value<'a>>, Error> {
    match of {
        Value::List(list) => match position(at) {
            Some(position) => Ok(usize::try_from(position).ok().and_then(|i| list.get(i))),
            None => Err(Error::new(format!("unsupported index type '{}' in list", at.type_name()))),
        },
        Value::Map(map) => match (map, at) {
            (Map::Json(json, schema), Value::String(key))
                if schema.as_ref().is_none_or(|s| s.as_struct().is_none()) =>
            {
                Ok(Map::Json(json, schema.clone()).field(key))
            }
            _ => Ok(Key::of(at).and_then(|key| map.get(&key))),
        },
        Value::Optional(Some(inner)) => index(inner, at),
        Value::Optional(None) => Ok(None),
        _ => Err(Error::no_such_overload()),
    }
}

fn position(at: &Value<'_>) -> Option<i64> {
    match at {
        Value::Int(n) => Some(*n),
        Value::Uint(n) => i64::try_from(*n).ok(),
        Value::Double(d) if d.fract() == 0.0 && d.abs() < 9e15 => Some(*d as i64),
        _ => None,
    }
}

/// Whether a value is among the elements of a list or the keys of a map.
pub(crate) fn contains(item: &Value<'_>, within: &Value<'_>) -> Result<bool, Error> {
    match within {
        Value::List(List::Made(items)) => Ok(items.iter().any(|x| equal(x, item))),
        Value::List(list) => Ok(list.iter().any(|x| equal(&x, item))),
        Value::Map(Map::Lazy(_)) => Err(Error::no_such_overload()),
        Value::Map(map) => match item {
            Value::String(name) => Ok(map.field(name).is_some()),
            _ => Ok(Key::of(item).is_some_and(|key| map.get(&key).is_some())),
        },
        _ => Err(Error::no_such_overload()),
    }
}
