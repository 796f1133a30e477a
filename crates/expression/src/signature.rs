//! Signatures of functions, written as text: `list<A>.indexOf(A): int`, `quantity(string): kubernetes.Quantity`.

use crate::Type;

/// One overload of a function.
#[derive(Debug)]
pub(crate) struct Signature {
    pub name: String,
    /// Called on a receiver, which is then the first parameter.
    pub member: bool,
    pub parameters: Vec<Type>,
    pub result: Type,
    /// Whether there are type parameters in it.
    pub generic: bool,
}

impl Signature {
    /// Reads a signature. The texts are constants of this crate; a test reads them all.
    pub(crate) fn parse(text: &'static str) -> Option<Self> {
        let open = text.find('(')?;
        let close = text.rfind("): ")?;
        let head = &text[..open];
        // A receiver's type ends where its name begins; namespaces of functions are marked with a colon before them.
        let (receiver, name) = match head.strip_prefix(':') {
            Some(name) => (None, name),
            None => match head.rsplit_once('.') {
                Some((receiver, name)) => (Some(receiver), name),
                None => (None, head),
            },
        };
        let mut parameters = Vec::new();
        if let Some(receiver) = receiver {
            parameters.push(parse_type(receiver)?);
        }
        for parameter in split(&text[open + 1..close]) {
            parameters.push(parse_type(parameter)?);
        }
        let result = parse_type(&text[close + 3..])?;
        let generic = parameters.iter().any(is_generic) || is_generic(&result);
        Some(Self { name: name.to_owned(), member: receiver.is_some(), parameters, result, generic })
    }
}

fn is_generic(t: &Type) -> bool {
    match t {
        Type::Param(_) => true,
        Type::List(t) | Type::Optional(t) | Type::Type(t) => is_generic(t),
        Type::Map(map) => is_generic(&map.0) || is_generic(&map.1),
        _ => false,
    }
}

/// Splits at commas outside angle brackets.
fn split(text: &'static str) -> Vec<&'static str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0usize, 0);
    for (i, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    if !text.trim().is_empty() {
        parts.push(text[start..].trim());
    }
    parts
}

fn parse_type(text: &'static str) -> Option<Type> {
    if let Some((outer, inner)) = text.strip_suffix('>').and_then(|t| t.split_once('<')) {
        let inner: Vec<Type> = split(inner).into_iter().map(parse_type).collect::<Option<_>>()?;
        return match (outer, inner.as_slice()) {
            ("list", [item]) => Some(Type::list(item.clone())),
            ("map", [key, value]) => Some(Type::map(key.clone(), value.clone())),
            ("optional", [value]) => Some(Type::optional(value.clone())),
            ("type", [of]) => Some(Type::Type(of.clone().into())),
            _ => None,
        };
    }
    Some(match text {
        "dyn" => Type::Dyn,
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "A" => Type::Param(0),
        "B" => Type::Param(1),
        opaque if opaque.contains('.') || opaque.contains("/") => Type::Opaque(opaque),
        _ => return None,
    })
}
