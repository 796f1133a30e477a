//! Loops.

use std::sync::Arc;

use super::{Evaluation, Outcome};
use crate::ast::{Expr, Fold, Node};
use crate::value::{Key, List, Map, Value};
use crate::{Error, cost, library};

/// What a loop's step adds to its accumulator in place, so that collecting n elements takes n steps.
enum Addition<'a> {
    /// `accumulator + [items]`
    Items(&'a Node),
    /// An entry, or a map of them, for the accumulator.
    Entries(&'a [Node]),
}

impl<'a> Evaluation<'a, '_> {
    pub(super) fn fold(&mut self, fold: &'a Fold) -> Outcome<'a> {
        let range = self.run(&fold.range)?;
        let initial = self.run(&fold.initial);
        if let Err(Error::CostLimit) = initial {
            return Err(Error::CostLimit);
        }
        let accumulator = self.scopes.len();
        self.scopes.push((&fold.accumulator, initial));
        let outcome = self.steps(fold, &range, accumulator).and_then(|()| {
            self.scopes.truncate(accumulator + 1);
            self.run(&fold.result)
        });
        self.scopes.truncate(accumulator);
        outcome
    }

    fn steps(&mut self, fold: &'a Fold, range: &Value<'a>, accumulator: usize) -> Result<(), Error> {
        match range {
            Value::List(list) => {
                for i in 0..list.len() {
                    let Some(item) = list.get(i) else { break };
                    let (first, second) = match fold.second {
                        Some(_) => (Value::Int(i as i64), item),
                        None => (item, Value::Null),
                    };
                    if !self.step(fold, accumulator, first, second)? {
                        break;
                    }
                }
                Ok(())
            }
            Value::Map(map) => {
                for (key, value) in map.iter() {
                    if !self.step(fold, accumulator, key, value)? {
                        break;
                    }
                }
                Ok(())
            }
            _ => Err(Error::no_such_overload()),
        }
    }

    /// One turn; false when the loop's condition ends it.
    fn step(
        &mut self,
        fold: &'a Fold,
        accumulator: usize,
        first: Value<'a>,
        second: Value<'a>,
    ) -> Result<bool, Error> {
        self.scopes.truncate(accumulator + 1);
        self.scopes.push((&fold.variable, Ok(first)));
        if let Some(name) = &fold.second {
            self.scopes.push((name, Ok(second)));
        }
        if let Value::Bool(false) = self.run(&fold.condition)? {
            return Ok(false);
        }
        let next = self.advance(&fold.step, &fold.accumulator, accumulator);
        if let Err(Error::CostLimit) = next {
            return Err(Error::CostLimit);
        }
        if let Some(next) = next.transpose() {
            self.scopes[accumulator].1 = next;
        }
        Ok(true)
    }

    /// The accumulator's next value, or `None` when it was changed in place or stays.
    fn advance(
        &mut self,
        step: &'a Node,
        name: &str,
        accumulator: usize,
    ) -> Result<Option<Value<'a>>, Error> {
        if let Expr::Call { function, args, .. } = &step.expr
            && **function == *"_?_:_"
            && let [condition, yes, no] = args.as_slice()
            && matches!(&no.expr, Expr::Ident(same) if **same == *name)
            && let Some(addition) = addition(yes, name)
        {
            return match self.run(condition)? {
                Value::Bool(true) => self.add(addition, accumulator),
                Value::Bool(false) => self.meter.charge(cost::NAME).map(|()| None),
                _ => Err(Error::no_such_overload()),
            };
        }
        match addition(step, name) {
            Some(addition) => self.add(addition, accumulator),
            None => self.run(step).map(Some),
        }
    }

    fn add(&mut self, addition: Addition<'a>, accumulator: usize) -> Result<Option<Value<'a>>, Error> {
        // The name of the accumulator and the call.
        self.meter.charge(cost::NAME + 1)?;
        self.scopes[accumulator].1.clone()?;
        match addition {
            Addition::Items(items) => {
                let items = self.run(items)?;
                let (Value::List(more), Ok(Value::List(List::Made(list)))) =
                    (items, &mut self.scopes[accumulator].1)
                else {
                    return Err(Error::no_such_overload());
                };
                Arc::make_mut(list).extend(more.iter());
            }
            Addition::Entries(nodes) => {
                let values = nodes.iter().map(|node| self.run(node)).collect::<Result<Vec<_>, _>>()?;
                let Ok(Value::Map(Map::Made(map))) = &mut self.scopes[accumulator].1 else {
                    return Err(Error::no_such_overload());
                };
                insert(Arc::make_mut(map), &values)?;
            }
        }
        Ok(None)
    }
}

/// Adds one entry (key and value) or the entries of a map.
fn insert<'a>(
    map: &mut std::collections::BTreeMap<Key, Value<'a>>,
    values: &[Value<'a>],
) -> Result<(), Error> {
    let mut put = |key: &Value<'a>, value: Value<'a>| {
        let Some(key) = Key::of(key) else { return Err(Error::no_such_overload()) };
        match map.insert(key.clone(), value) {
            None => Ok(()),
            Some(_) => {
                Err(Error::new(format!("insert failed: key {} already exists", library::shown_key(&key))))
            }
        }
    };
    match values {
        [key, value] => put(key, value.clone()),
        [Value::Map(entries)] => entries.iter().try_for_each(|(key, value)| put(&key, value)),
        _ => Err(Error::no_such_overload()),
    }
}

/// A step that adds to the accumulator of this name.
fn addition<'a>(step: &'a Node, name: &str) -> Option<Addition<'a>> {
    let Expr::Call { function, args, target: None } = &step.expr else { return None };
    let (Node { expr: Expr::Ident(first), .. }, rest) = args.split_first()? else { return None };
    if **first != *name {
        return None;
    }
    match (&**function, rest) {
        ("_+_", [items]) if matches!(items.expr, Expr::List(_)) => Some(Addition::Items(items)),
        (crate::parse::MAP_INSERT, entries) => Some(Addition::Entries(entries)),
        _ => None,
    }
}
