//! The syntax tree of an expression, macros expanded.

use std::sync::Arc;

/// A node; `id` numbers the nodes of an expression from 0 without gaps.
#[derive(Debug)]
pub(crate) struct Node {
    pub id: usize,
    /// Where it is in the source: bytes from the start.
    pub offset: u32,
    pub expr: Expr,
}

#[derive(Debug)]
pub(crate) enum Expr {
    Literal(Literal),
    Ident(Arc<str>),
    /// `operand.field`, or `has(operand.field)` when `test`.
    Select {
        operand: Box<Node>,
        field: Arc<str>,
        test: bool,
    },
    /// `function(args)` or `target.function(args)`; operators are functions such as `_+_`.
    Call {
        function: Arc<str>,
        target: Option<Box<Node>>,
        args: Vec<Node>,
    },
    /// Elements; those marked are left out when they are empty optionals.
    List(Vec<(Node, bool)>),
    /// Entries: key, value, optional.
    Map(Vec<(Node, Node, bool)>),
    /// An object of a named type: field, value, optional, where.
    Struct {
        type_name: Arc<str>,
        fields: Vec<Field>,
    },
    Fold(Box<Fold>),
}

#[derive(Debug)]
pub(crate) struct Field {
    pub name: Arc<str>,
    pub value: Node,
    pub optional: bool,
    pub offset: u32,
}

/// A loop over a range, made by macros such as `all` and `map`.
#[derive(Debug)]
pub(crate) struct Fold {
    pub range: Node,
    pub variable: Arc<str>,
    /// Second variable: the value, when the first is the index or key.
    pub second: Option<Arc<str>>,
    pub accumulator: Arc<str>,
    pub initial: Node,
    pub condition: Node,
    pub step: Node,
    pub result: Node,
}

#[derive(Debug, Clone)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
}

impl Node {
    /// The dotted name that the node spells, if it is nothing but names: `a.b.c`.
    pub(crate) fn qualified_name(&self) -> Option<String> {
        match &self.expr {
            Expr::Ident(name) => Some(name.to_string()),
            Expr::Select { operand, field, test: false } => {
                let mut name = operand.qualified_name()?;
                name.push('.');
                name.push_str(field);
                Some(name)
            }
            _ => None,
        }
    }

    /// Whether the expression mentions a variable, not counting those of its loops.
    pub(crate) fn mentions(&self, variable: &str) -> bool {
        match &self.expr {
            Expr::Literal(_) => false,
            Expr::Ident(name) => **name == *variable,
            Expr::Select { operand, .. } => operand.mentions(variable),
            Expr::Call { target, args, .. } => {
                target.iter().any(|t| t.mentions(variable)) || args.iter().any(|a| a.mentions(variable))
            }
            Expr::List(items) => items.iter().any(|(item, _)| item.mentions(variable)),
            Expr::Map(entries) => {
                entries.iter().any(|(k, v, _)| k.mentions(variable) || v.mentions(variable))
            }
            Expr::Struct { fields, .. } => fields.iter().any(|f| f.value.mentions(variable)),
            Expr::Fold(fold) => {
                let shadowed = *fold.variable == *variable || fold.second.as_deref() == Some(variable);
                fold.range.mentions(variable)
                    || fold.initial.mentions(variable)
                    || (!shadowed && (fold.step.mentions(variable) || fold.condition.mentions(variable)))
                    || fold.result.mentions(variable)
            }
        }
    }
}
