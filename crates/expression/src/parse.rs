//! From text to the tree. The grammar is the `cel` crate's, which is upstream's, with its wording of syntax errors.

mod macros;

pub(crate) use macros::MAP_INSERT;

use std::panic;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{EntryExpr, Expr as Parsed, IdedExpr, LiteralValue, SourceInfo};

use crate::ast::{Expr, Field, Fold, Literal, Node};
use crate::{CompileError, Issue};

/// The longest source, as upstream's parser has it.
const MAX_SOURCE: usize = 100_000;
/// How deeply nodes may be nested: what checking and evaluating can follow on an ordinary stack.
const MAX_DEPTH: usize = 200;
/// Parsing follows the nesting of the source before the tree exists whose depth can be measured.
const PARSER_STACK: usize = 256 * 1024 * 1024;

static MACROS: LazyLock<cel::Env> = LazyLock::new(macros::environment);

/// A parsed expression.
pub(crate) struct Tree {
    pub root: Node,
    /// How many nodes there are.
    pub nodes: usize,
}

/// Reads an expression.
pub(crate) fn parse(source: &str) -> Result<Tree, CompileError> {
    if source.len() > MAX_SOURCE {
        let message =
            format!("expression code point size exceeds limit: size: {}, limit {MAX_SOURCE}", source.len());
        return Err(CompileError::new(source, vec![Issue { offset: 0, message }]));
    }
    let worker = std::thread::Builder::new().name("cel-parser".into()).stack_size(PARSER_STACK);
    std::thread::scope(|scope| {
        let parsing = worker
            .spawn_scoped(scope, || read(source))
            .map_err(|error| refusal(source, &error.to_string()))?;
        parsing.join().unwrap_or_else(|_| Err(refusal(source, "the parser gave up")))
    })
}

fn refusal(source: &str, why: &str) -> CompileError {
    CompileError::new(source, vec![Issue { offset: 0, message: format!("Syntax error: {why}") }])
}

fn read(source: &str) -> Result<Tree, CompileError> {
    let parser = MACROS.parser().max_recursion_depth(250);
    let (parsed, info) =
        match panic::catch_unwind(panic::AssertUnwindSafe(|| parser.parse_with_source_info(source))) {
            Ok(Ok(parsed)) => parsed,
            Ok(Err(errors)) => return Err(syntax_errors(source, &errors)),
            Err(_) => return Err(refusal(source, "the parser gave up")),
        };
    let mut builder = Builder { info, next: 0, depth: 0 };
    match builder.node(parsed) {
        Some(root) => Ok(Tree { root, nodes: builder.next }),
        None => Err(refusal(source, &format!("expression recursion limit exceeded: {MAX_DEPTH}"))),
    }
}

fn syntax_errors(source: &str, errors: &cel::ParseErrors) -> CompileError {
    let issue =
        |error: &cel::ParseError| Issue { offset: offset_of(source, error.pos), message: error.msg.clone() };
    let mut issues: Vec<Issue> = errors.errors.iter().map(issue).collect();
    // After a syntax error the tree has holes; what the visitor says about those is noise.
    if issues.iter().any(|i| i.message.starts_with("Syntax error")) {
        issues.retain(|i| i.message.starts_with("Syntax error"));
    }
    CompileError::new(source, issues)
}

/// Bytes before a line and column, both counted from 1.
fn offset_of(source: &str, (line, column): (isize, isize)) -> u32 {
    let lines = usize::try_from(line.saturating_sub(1)).unwrap_or(0);
    let start: usize = source.split_inclusive('\n').take(lines).map(str::len).sum();
    let column = usize::try_from(column.saturating_sub(1)).unwrap_or(0);
    let within: usize = source[start..].chars().take(column).map(char::len_utf8).sum();
    u32::try_from(start + within).unwrap_or(u32::MAX)
}

struct Builder {
    info: SourceInfo,
    next: usize,
    depth: usize,
}

impl Builder {
    /// Converts a node, or `None` when the tree is too deep.
    fn node(&mut self, parsed: IdedExpr) -> Option<Node> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let id = self.next;
        self.next += 1;
        let offset = self.offset(parsed.id);
        let expr = self.expr(parsed.expr)?;
        self.depth -= 1;
        Some(Node { id, offset, expr })
    }

    fn offset(&self, id: u64) -> u32 {
        self.info.offset_for(id).map_or(0, |(start, _)| start)
    }

    fn boxed(&mut self, parsed: IdedExpr) -> Option<Box<Node>> {
        self.node(parsed).map(Box::new)
    }

    fn expr(&mut self, parsed: Parsed) -> Option<Expr> {
        Some(match parsed {
            Parsed::Unspecified => Expr::Literal(Literal::Null),
            Parsed::Literal(literal) => Expr::Literal(self::literal(literal)),
            Parsed::Ident(name) => Expr::Ident(name.trim_start_matches('.').into()),
            Parsed::Select(select) => Expr::Select {
                operand: self.boxed(*select.operand)?,
                field: select.field.into(),
                test: select.test,
            },
            Parsed::Call(call) => Expr::Call {
                function: call.func_name.trim_start_matches('.').into(),
                target: match call.target {
                    Some(target) => Some(self.boxed(*target)?),
                    None => None,
                },
                args: call.args.into_iter().map(|arg| self.node(arg)).collect::<Option<_>>()?,
            },
            Parsed::List(list) => {
                let optional = list.optional_indices;
                let items = list.elements.into_iter().enumerate();
                Expr::List(
                    items
                        .map(|(i, e)| Some((self.node(e)?, optional.contains(&i))))
                        .collect::<Option<_>>()?,
                )
            }
            Parsed::Map(map) => {
                let mut entries = Vec::with_capacity(map.entries.len());
                for entry in map.entries {
                    if let EntryExpr::MapEntry(entry) = entry.expr {
                        entries.push((self.node(entry.key)?, self.node(entry.value)?, entry.optional));
                    }
                }
                Expr::Map(entries)
            }
            Parsed::Struct(object) => {
                let mut fields = Vec::with_capacity(object.entries.len());
                for entry in object.entries {
                    let offset = self.offset(entry.id);
                    if let EntryExpr::StructField(field) = entry.expr {
                        let value = self.node(field.value)?;
                        fields.push(Field {
                            name: field.field.into(),
                            value,
                            optional: field.optional,
                            offset,
                        });
                    }
                }
                Expr::Struct { type_name: object.type_name.trim_start_matches('.').into(), fields }
            }
            Parsed::Comprehension(fold) => Expr::Fold(Box::new(Fold {
                range: self.node(fold.iter_range)?,
                variable: fold.iter_var.into(),
                second: fold.iter_var2.map(Into::into),
                accumulator: fold.accu_var.into(),
                initial: self.node(fold.accu_init)?,
                condition: self.node(fold.loop_cond)?,
                step: self.node(fold.loop_step)?,
                result: self.node(fold.result)?,
            })),
        })
    }
}

fn literal(literal: LiteralValue) -> Literal {
    match literal {
        LiteralValue::Null => Literal::Null,
        LiteralValue::Boolean(b) => Literal::Bool(*b.inner()),
        LiteralValue::Int(n) => Literal::Int(*n.inner()),
        LiteralValue::UInt(n) => Literal::Uint(*n.inner()),
        LiteralValue::Double(d) => Literal::Double(*d.inner()),
        LiteralValue::String(text) => Literal::String(Arc::from(text.inner())),
        LiteralValue::Bytes(bytes) => Literal::Bytes(Arc::from(bytes.inner())),
    }
}
