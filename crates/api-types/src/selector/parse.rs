//! The string syntax of label selectors: a lexer and a recursive-descent parser.

use super::ParseError;
use super::labels::{Operator, Requirement, key_error};
use crate::field::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Error,
    End,
    ClosePar,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Identifier,
    In,
    Less,
    NotEquals,
    NotIn,
    OpenPar,
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    text: String,
}

/// Parses the requirements of a selector, in the order written.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, ParseError> {
    let mut parser = Parser { tokens: scan(text), position: 0 };
    let mut out = Vec::new();
    loop {
        match parser.peek() {
            (Kind::Identifier | Kind::Not, _) => {
                let requirement = parser
                    .requirement()
                    .map_err(|e| ParseError(format!("unable to parse requirement: {e}")))?;
                out.push(requirement);
                match parser.next() {
                    (Kind::End, _) => return Ok(out),
                    (Kind::Comma, _) => {
                        if let (kind, text) = parser.peek()
                            && kind != Kind::Identifier
                            && kind != Kind::Not
                        {
                            return Err(ParseError(format!(
                                "found '{text}', expected: identifier after ','"
                            )));
                        }
                    }
                    (_, text) => {
                        return Err(ParseError(format!("found '{text}', expected: ',' or 'end of string'")));
                    }
                }
            }
            (Kind::End, _) => return Ok(out),
            (_, text) => {
                return Err(ParseError(format!(
                    "found '{text}', expected: !, identifier, or 'end of string'"
                )));
            }
        }
    }
}

struct Parser {
    tokens: Vec<Token>,
    position: usize,
}

impl Parser {
    /// The current token where an operator may stand; the last token (end) repeats.
    fn operator_token(&self) -> (Kind, &str) {
        let token = &self.tokens[self.position.min(self.tokens.len() - 1)];
        (token.kind, &token.text)
    }

    /// The current token where a key or value stands: `in` and `notin` are plain words there.
    fn peek(&self) -> (Kind, &str) {
        match self.operator_token() {
            (Kind::In | Kind::NotIn, text) => (Kind::Identifier, text),
            other => other,
        }
    }

    fn next(&mut self) -> (Kind, String) {
        let (kind, text) = self.peek();
        let out = (kind, text.to_owned());
        self.position += 1;
        out
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let (mut kind, mut key) = self.next();
        let negated = kind == Kind::Not;
        if negated {
            (kind, key) = self.next();
        }
        if kind != Kind::Identifier {
            return Err(format!("found '{key}', expected: identifier"));
        }
        if let Some(error) = key_error(&key, &Path::new("<nil>")) {
            return Err(error.to_string());
        }
        let at_end = matches!(self.peek().0, Kind::End | Kind::Comma);
        let (operator, values) = if negated {
            (Operator::DoesNotExist, Vec::new())
        } else if at_end {
            (Operator::Exists, Vec::new())
        } else {
            let operator = self.operator()?;
            let values = match operator {
                Operator::In | Operator::NotIn => self.values()?,
                _ => vec![self.exact_value()?],
            };
            (operator, values)
        };
        Requirement::new(key, operator, values, None).map_err(|e| e.to_string())
    }

    fn operator(&mut self) -> Result<Operator, String> {
        let (kind, text) = self.operator_token();
        let operator = match kind {
            Kind::In => Operator::In,
            Kind::NotIn => Operator::NotIn,
            Kind::Equals => Operator::Equals,
            Kind::DoubleEquals => Operator::DoubleEquals,
            Kind::NotEquals => Operator::NotEquals,
            Kind::Greater => Operator::GreaterThan,
            Kind::Less => Operator::LessThan,
            _ => return Err(format!("found '{text}', expected: in, notin, =, ==, !=, gt, lt")),
        };
        self.position += 1;
        Ok(operator)
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        let (kind, text) = self.next();
        if kind != Kind::OpenPar {
            return Err(format!("found '{text}' expected: '('"));
        }
        let (kind, text) = self.peek();
        let text = text.to_owned();
        match kind {
            Kind::Identifier | Kind::Comma => {
                let values = self.identifiers()?;
                match self.next().0 {
                    Kind::ClosePar => Ok(values),
                    _ => Err(format!("found '{text}', expected: ')'")),
                }
            }
            Kind::ClosePar => {
                self.position += 1;
                Ok(Vec::new())
            }
            _ => Err(format!("found '{text}', expected: ',', ')' or identifier")),
        }
    }

    /// The list between the parentheses; an empty place between commas is the empty value.
    fn identifiers(&mut self) -> Result<Vec<String>, String> {
        let mut values: Vec<String> = Vec::new();
        loop {
            let (kind, text) = self.next();
            match kind {
                Kind::Identifier => {
                    values.push(text);
                    match self.peek() {
                        (Kind::Comma, _) => {}
                        (Kind::ClosePar, _) => return Ok(values),
                        (_, text) => return Err(format!("found '{text}', expected: ',' or ')'")),
                    }
                }
                Kind::Comma => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    match self.peek().0 {
                        Kind::ClosePar => {
                            values.push(String::new());
                            return Ok(values);
                        }
                        Kind::Comma => {
                            self.position += 1;
                            values.push(String::new());
                        }
                        _ => {}
                    }
                }
                _ => return Err(format!("found '{text}', expected: ',', or identifier")),
            }
        }
    }

    fn exact_value(&mut self) -> Result<String, String> {
        if matches!(self.peek().0, Kind::End | Kind::Comma) {
            return Ok(String::new());
        }
        match self.next() {
            (Kind::Identifier, text) => Ok(text),
            (_, text) => Err(format!("found '{text}', expected: identifier")),
        }
    }
}

/// Splits the text into tokens; the last one is always `End`.
fn scan(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let Some(first) = rest.chars().next() else {
            tokens.push(Token { kind: Kind::End, text: String::new() });
            return tokens;
        };
        let (token, length) = if is_symbol(first) { scan_symbol(rest) } else { scan_word(rest) };
        tokens.push(token);
        rest = &rest[length..];
    }
}

fn is_symbol(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

fn scan_word(rest: &str) -> (Token, usize) {
    let end = rest.find(|c| is_symbol(c) || matches!(c, ' ' | '\t' | '\r' | '\n')).unwrap_or(rest.len());
    let kind = match &rest[..end] {
        "in" => Kind::In,
        "notin" => Kind::NotIn,
        _ => Kind::Identifier,
    };
    (Token { kind, text: rest[..end].to_owned() }, end)
}

/// The longest run of symbols that is an operator.
fn scan_symbol(rest: &str) -> (Token, usize) {
    let run = rest.find(|c| !is_symbol(c)).unwrap_or(rest.len());
    let mut best = None;
    for end in 1..=run {
        match symbol(&rest[..end]) {
            Some(kind) => best = Some((Token { kind, text: rest[..end].to_owned() }, end)),
            None if best.is_some() => break,
            None => {}
        }
    }
    best.unwrap_or_else(|| {
        let text = format!("error expected: keyword found '{}'", &rest[..run]);
        (Token { kind: Kind::Error, text }, run)
    })
}

fn symbol(text: &str) -> Option<Kind> {
    Some(match text {
        ")" => Kind::ClosePar,
        "," => Kind::Comma,
        "!" => Kind::Not,
        "==" => Kind::DoubleEquals,
        "=" => Kind::Equals,
        ">" => Kind::Greater,
        "<" => Kind::Less,
        "!=" => Kind::NotEquals,
        "(" => Kind::OpenPar,
        _ => return None,
    })
}
