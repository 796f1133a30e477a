//! Type variables and what they stand for.

use std::sync::Arc;

use crate::Type;
use crate::signature::Signature;

/// What is known about type variables so far.
#[derive(Default)]
pub(super) struct Inference {
    bound: Vec<Option<Type>>,
    /// Variables in the order in which they were bound, for taking back.
    trail: Vec<u32>,
}

/// A signature with variables of its own in place of its parameters.
pub(super) struct Fresh {
    pub parameters: Vec<Type>,
    pub result: Type,
}

impl Inference {
    pub fn fresh(&mut self) -> Type {
        self.bound.push(None);
        Type::Var((self.bound.len() - 1) as u32)
    }

    pub fn instantiate(&mut self, signature: &Signature) -> Fresh {
        if !signature.generic {
            return Fresh { parameters: signature.parameters.clone(), result: signature.result.clone() };
        }
        let names = [self.fresh(), self.fresh()];
        let parameters = signature.parameters.iter().map(|t| replace(t, &names)).collect();
        Fresh { parameters, result: replace(&signature.result, &names) }
    }

    /// The type with a variable at its top resolved.
    pub fn shallow(&self, t: &Type) -> Type {
        let mut t = t;
        while let Type::Var(n) = t {
            match self.bound.get(*n as usize) {
                Some(Some(next)) => t = next,
                _ => break,
            }
        }
        t.clone()
    }

    /// The type with all that is known about its variables put in.
    pub fn resolved(&self, t: &Type) -> Type {
        self.resolve_within(t, 0)
    }

    fn resolve_within(&self, t: &Type, depth: usize) -> Type {
        // Deeper than any expression can nest; only a cycle comes here.
        if depth > 64 {
            return Type::Dyn;
        }
        let go = |t: &Type| self.resolve_within(t, depth + 1);
        match self.shallow(t) {
            Type::List(item) => Type::list(go(&item)),
            Type::Map(map) => Type::map(go(&map.0), go(&map.1)),
            Type::Optional(value) => Type::optional(go(&value)),
            Type::Type(of) => Type::Type(Arc::new(go(&of))),
            other => other,
        }
    }

    /// The type at the end of checking: what stayed unknown is dynamic.
    pub fn finished(&self, t: &Type) -> Type {
        replace_unknown(&self.resolved(t))
    }

    pub fn all_assignable(&mut self, parameters: &[Type], args: &[Type]) -> bool {
        let before = self.trail.len();
        let fits = parameters.iter().zip(args).all(|(parameter, arg)| self.unify(parameter, arg));
        if !fits {
            for undone in self.trail.drain(before..) {
                self.bound[undone as usize] = None;
            }
        }
        fits
    }

    pub fn assignable(&mut self, to: &Type, from: &Type) -> bool {
        self.all_assignable(std::slice::from_ref(to), std::slice::from_ref(from))
    }

    /// Whether a value of type `from` may stand where `to` is wanted; binds variables on the way.
    pub fn unify(&mut self, to: &Type, from: &Type) -> bool {
        let (to, from) = (self.shallow(to), self.shallow(from));
        match (&to, &from) {
            (Type::Var(a), Type::Var(b)) if a == b => true,
            (Type::Var(n), other) | (other, Type::Var(n)) => {
                if self.occurs(*n, other) {
                    return false;
                }
                if let Some(slot) = self.bound.get_mut(*n as usize) {
                    *slot = Some(other.clone());
                    self.trail.push(*n);
                }
                true
            }
            (Type::Dyn | Type::Error, _) | (_, Type::Dyn | Type::Error) => true,
            // Objects, times and what may be absent can be compared with null.
            (
                Type::Object(_) | Type::Timestamp | Type::Duration | Type::Opaque(_) | Type::Optional(_),
                Type::Null,
            )
            | (
                Type::Null,
                Type::Object(_) | Type::Timestamp | Type::Duration | Type::Opaque(_) | Type::Optional(_),
            ) => true,
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => self.unify(a, b),
            (Type::Map(a), Type::Map(b)) => self.unify(&a.0, &b.0) && self.unify(&a.1, &b.1),
            (Type::Type(_), Type::Type(_)) => true,
            _ => to.same(&from),
        }
    }

    fn occurs(&self, variable: u32, within: &Type) -> bool {
        match self.shallow(within) {
            Type::Var(n) => n == variable,
            Type::List(t) | Type::Optional(t) | Type::Type(t) => self.occurs(variable, &t),
            Type::Map(map) => self.occurs(variable, &map.0) || self.occurs(variable, &map.1),
            _ => false,
        }
    }

    /// Of two types that agree the one that says less.
    pub fn most_general(&self, a: Type, b: Type) -> Type {
        match (self.shallow(&a), self.shallow(&b)) {
            (Type::Dyn | Type::Error, _) | (_, Type::Dyn | Type::Error) => Type::Dyn,
            (Type::Null, _) => b,
            _ => a,
        }
    }
}

fn replace_unknown(t: &Type) -> Type {
    match t {
        Type::Var(_) => Type::Dyn,
        Type::List(item) => Type::list(replace_unknown(item)),
        Type::Map(map) => Type::map(replace_unknown(&map.0), replace_unknown(&map.1)),
        Type::Optional(value) => Type::optional(replace_unknown(value)),
        other => other.clone(),
    }
}

fn replace(t: &Type, names: &[Type; 2]) -> Type {
    match t {
        Type::Param(n) => names.get(usize::from(*n)).cloned().unwrap_or(Type::Dyn),
        Type::List(item) => Type::list(replace(item, names)),
        Type::Map(map) => Type::map(replace(&map.0, names), replace(&map.1, names)),
        Type::Optional(value) => Type::optional(replace(value, names)),
        Type::Type(of) => Type::Type(Arc::new(replace(of, names))),
        other => other.clone(),
    }
}
