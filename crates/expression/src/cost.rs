//! What steps cost at run time, in upstream's units.

use crate::value::{List, Map, Value};

/// A variable or field looked up.
pub(crate) const NAME: u64 = 1;
/// A list made.
pub(crate) const LIST: u64 = 10;
/// A map made.
pub(crate) const MAP: u64 = 30;
/// An object made.
pub(crate) const STRUCT: u64 = 40;

/// Elements or bytes that a result may have before its size is charged as well; only expressions that double their
/// result again and again come here.
const LARGE: u64 = 1_000_000;

/// How a function's cost follows from its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    /// 1
    Unit,
    /// A tenth of the first argument's size.
    Text,
    /// A tenth of the first argument's size, at least for its copy as well.
    TextTwice,
    /// A tenth of the smaller argument's size.
    Comparison,
    /// A tenth of both sizes together.
    Concatenation,
    /// Every element of the second argument.
    Membership,
    /// Every element of the first argument.
    Elements,
    /// Every element of the first argument with every one of the second.
    Product,
    /// The text's size with the pattern's.
    Regex,
    /// Text searched for text.
    Search,
    /// Text rewritten: `replace`, `split`.
    Rewrite,
    /// An authorization check.
    Authorize,
}

/// What the API charges for asking the authorizer.
const AUTHORIZE: u64 = 350_000;

impl Cost {
    /// The cost of a call with these arguments.
    pub fn of(self, args: &[Value<'_>]) -> u64 {
        let size = |i: usize| args.get(i).map_or(0, |v| v.size());
        match self {
            Self::Unit => 1,
            Self::Text => tenth(size(0)),
            Self::TextTwice => tenth(size(0)).saturating_mul(2),
            Self::Comparison => tenth(size(0).min(size(1))),
            Self::Concatenation => match args {
                [Value::String(_) | Value::Bytes(_), _] => tenth(size(0) + size(1)),
                _ => 1,
            },
            Self::Membership => match args {
                [_, Value::List(_)] => size(1),
                _ => 1,
            },
            Self::Elements => args.first().map_or(1, elements),
            Self::Product => size(0).saturating_mul(size(1)).max(1),
            Self::Regex => tenth(size(0) + 1).saturating_mul(size(1).div_ceil(4)),
            Self::Search => tenth(size(0)).saturating_mul(tenth(size(1))),
            Self::Rewrite => {
                tenth(size(0)).saturating_mul(2).saturating_add(tenth(size(2).saturating_mul(size(0))))
            }
            Self::Authorize => AUTHORIZE,
        }
    }
}

pub(crate) fn tenth(size: u64) -> u64 {
    size.div_ceil(10)
}

/// Lists of text cost by the text in them.
fn elements(value: &Value<'_>) -> u64 {
    match value {
        Value::List(list) => {
            let first = list
                .get(0)
                .map_or(1, |item| if item.as_str().is_some() { tenth(item.size()).max(1) } else { 1 });
            (list.len() as u64).saturating_mul(first)
        }
        other => tenth(other.size()),
    }
}

/// What a result costs beyond the call when it is very large.
pub(crate) fn excess(result: &Value<'_>) -> u64 {
    let made = match result {
        Value::List(List::Made(_)) | Value::Map(Map::Made(_)) | Value::String(_) | Value::Bytes(_) => {
            result.size()
        }
        _ => 0,
    };
    if made > LARGE { made } else { 0 }
}
