//! The functions that expressions may call, one file per library. Each overload is one row: its signature, what it
//! costs, what it does.

mod authorizer;
mod collections;
mod convert;
mod format;
mod net;
mod opaque;
mod operators;
mod optional;
mod quantity;
mod regular;
mod semver;
mod sprintf;
mod strings;
mod time;
mod url;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::cost::Cost;
use crate::signature::Signature;
use crate::value::{Key, Value};
use crate::{Error, Type};

pub use authorizer::{AccessCheck, Authorizer, AuthorizerDecision};
pub use opaque::Opaque;
pub(crate) use time::{duration_text, parse_duration};

type Outcome<'a> = Result<Value<'a>, Error>;

/// What an overload does. Arguments fit its signature, as far as the signature says.
pub(crate) type Run = for<'a> fn(&[Value<'a>]) -> Outcome<'a>;

/// A row of a library's table.
type Row = (&'static str, Cost, Run);

/// An overload.
#[derive(Debug)]
pub(crate) struct Function {
    pub signature: Signature,
    pub cost: Cost,
    pub run: Run,
}

static FUNCTIONS: LazyLock<HashMap<String, Vec<Function>>> = LazyLock::new(|| {
    let tables = [
        operators::TABLE,
        convert::TABLE,
        strings::TABLE,
        time::TABLE,
        collections::TABLE,
        optional::TABLE,
        regular::TABLE,
        url::TABLE,
        quantity::TABLE,
        net::TABLE,
        format::TABLE,
        semver::TABLE,
        authorizer::TABLE,
    ];
    let mut functions: HashMap<String, Vec<Function>> = HashMap::new();
    for (text, cost, run) in tables.into_iter().flatten() {
        // Every row is read by a test.
        if let Some(signature) = Signature::parse(text) {
            let name = signature.name.clone();
            functions.entry(name).or_default().push(Function { signature, cost: *cost, run: *run });
        }
    }
    functions
});

/// The overloads of a function; none when there is no such function.
pub(crate) fn overloads(name: &str) -> &'static [Function] {
    FUNCTIONS.get(name).map_or(&[], Vec::as_slice)
}

/// The type that a name stands for in an expression.
pub(crate) fn named_type(name: &str) -> Option<Type> {
    Some(match name {
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "null_type" => Type::Null,
        "list" => Type::list(Type::Dyn),
        "map" => Type::map(Type::Dyn, Type::Dyn),
        "type" => Type::Type(Type::Dyn.into()),
        "optional_type" => Type::optional(Type::Dyn),
        "google.protobuf.Timestamp" => Type::Timestamp,
        "google.protobuf.Duration" => Type::Duration,
        "kubernetes.Quantity"
        | "kubernetes.URL"
        | "kubernetes.Semver"
        | "kubernetes.NamedFormat"
        | "net.IP"
        | "net.CIDR" => Type::Dyn,
        _ => return None,
    })
}

/// What `type(x)` calls the type that a name stands for.
pub(crate) fn runtime_type_name(name: &str) -> &str {
    name
}

/// A key as messages show it.
pub(crate) fn shown_key(key: &Key) -> String {
    match key {
        Key::Bool(b) => b.to_string(),
        Key::Number(n) => n.to_string(),
        Key::String(text) => text.to_string(),
    }
}

impl Function {
    /// Whether the overload takes these values.
    pub fn takes(&self, args: &[Value<'_>]) -> bool {
        let parameters = &self.signature.parameters;
        parameters.len() == args.len() && parameters.iter().zip(args).all(|(t, v)| fits(t, v))
    }
}

/// Whether a value is of a type, elements of lists and maps not looked at beyond the first.
fn fits(t: &Type, value: &Value<'_>) -> bool {
    match (t, value) {
        (Type::Dyn | Type::Param(_) | Type::Var(_) | Type::Error, _)
        | (Type::Null, Value::Null)
        | (Type::Bool, Value::Bool(_))
        | (Type::Int, Value::Int(_))
        | (Type::Uint, Value::Uint(_))
        | (Type::Double, Value::Double(_))
        | (Type::String, Value::String(_))
        | (Type::Bytes, Value::Bytes(_))
        | (Type::Timestamp, Value::Timestamp(_))
        | (Type::Duration, Value::Duration(_))
        | (Type::Map(_) | Type::Object(_), Value::Map(_))
        | (Type::Optional(_), Value::Optional(_))
        | (Type::Type(_), Value::Type(_)) => true,
        (Type::List(item), Value::List(list)) => list.get(0).is_none_or(|first| fits(item, &first)),
        (Type::Opaque(name), Value::Opaque(opaque)) => *name == opaque.type_name(),
        _ => false,
    }
}

fn mismatch<'a>() -> Outcome<'a> {
    Err(Error::no_such_overload())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_signature() {
        let tables = [
            operators::TABLE,
            convert::TABLE,
            strings::TABLE,
            time::TABLE,
            collections::TABLE,
            optional::TABLE,
            regular::TABLE,
            url::TABLE,
            quantity::TABLE,
            net::TABLE,
            format::TABLE,
            semver::TABLE,
            authorizer::TABLE,
        ];
        for (text, ..) in tables.into_iter().flatten() {
            assert!(Signature::parse(text).is_some(), "{text}");
        }
    }
}
