//! kubectl's JSONPath templates: text with expressions in braces.
//!
//! ```text
//! {.items[*].metadata.name}
//! {range .items[*]}{.metadata.name}{"\t"}{.status.phase}{"\n"}{end}
//! {.items[?(@.spec.nodeName=="n1")].metadata.name}
//! ```
//!
//! This is not RFC 9535: names may be escaped with `\.`, several results are joined by spaces, and a name that is absent
//! gives nothing.

use std::iter::Peekable;
use std::str::Chars;

use serde_json::Value;

/// A parsed template.
#[derive(Debug, PartialEq)]
pub struct Template {
    text: String,
    nodes: Vec<Node>,
}

/// A template asks for an item behind the end of a list.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "error executing jsonpath {template:?}: Error executing template: array index out of bounds: index {index}, length {length}"
)]
pub struct OutOfBounds {
    template: String,
    index: i64,
    length: usize,
}

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("error parsing jsonpath {template}, {reason}")]
pub struct ParseError {
    template: String,
    reason: String,
}

#[derive(Debug, PartialEq)]
enum Node {
    Text(String),
    Path(Path),
    Range(Path, Vec<Node>),
}

type Path = Vec<Step>;

#[derive(Debug, PartialEq)]
enum Step {
    /// `$`: back to the whole document, even inside a range.
    Root,
    Name(String),
    All,
    Descend,
    Indexes(Vec<i64>),
    Names(Vec<String>),
    Slice(Option<i64>, Option<i64>, i64),
    Filter(Operand, Option<(Comparison, Operand)>),
}

#[derive(Debug, PartialEq)]
enum Operand {
    Path(Path),
    Literal(Value),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Template {
    /// Parses a template; one without braces is taken as a single path (`.metadata.name`).
    ///
    /// # Errors
    /// When braces, brackets, quotes or `range`/`end` do not match.
    pub fn parse(template: &str) -> Result<Self, ParseError> {
        let text = if template.contains('{') { template.to_owned() } else { format!("{{{template}}}") };
        let failed = |reason| ParseError { template: template.to_owned(), reason };
        let mut parser = Parser { rest: text.chars().peekable() };
        let nodes = parser.nodes(false).map_err(failed)?;
        Ok(Self { text, nodes })
    }

    /// Fills the template in. A name that is absent gives nothing.
    ///
    /// # Errors
    /// When a list is shorter than the template says, as kubectl has it: scripts rely on `{.items[0]}` to fail.
    pub fn render(&self, document: &Value) -> Result<String, OutOfBounds> {
        let mut out = String::new();
        match render(&self.nodes, document, document, &mut out) {
            Ok(()) => Ok(out),
            Err(Missing { index, length }) => Err(OutOfBounds { template: self.text.clone(), index, length }),
        }
    }

    /// The values of the template's paths, in order; what `--sort-by` and `wait` look at.
    pub fn values<'a>(&self, document: &'a Value) -> Vec<&'a Value> {
        let paths =
            self.nodes.iter().filter_map(|node| if let Node::Path(path) = node { Some(path) } else { None });
        paths.flat_map(|path| evaluate(path, document, document).unwrap_or_default()).collect()
    }
}

/// A list has no such item.
struct Missing {
    index: i64,
    length: usize,
}

fn render(nodes: &[Node], root: &Value, current: &Value, out: &mut String) -> Result<(), Missing> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Path(path) => {
                let values: Vec<String> = evaluate(path, root, current)?.into_iter().map(print).collect();
                out.push_str(&values.join(" "));
            }
            Node::Range(path, inner) => {
                for value in evaluate(path, root, current)? {
                    render(inner, root, value, out)?;
                }
            }
        }
    }
    Ok(())
}

fn print(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn evaluate<'a>(path: &[Step], root: &'a Value, current: &'a Value) -> Result<Vec<&'a Value>, Missing> {
    let mut values = vec![current];
    for step in path {
        let mut taken = Vec::new();
        for value in values {
            taken.extend(take(step, root, value)?);
        }
        values = taken;
    }
    Ok(values)
}

fn take<'a>(step: &Step, root: &'a Value, value: &'a Value) -> Result<Vec<&'a Value>, Missing> {
    let taken = match step {
        Step::Root => vec![root],
        Step::Name(name) => value.get(name).into_iter().collect(),
        Step::Names(names) => names.iter().filter_map(|name| value.get(name)).collect(),
        Step::All => children(value),
        Step::Descend => descendants(value),
        Step::Indexes(indexes) => {
            let Value::Array(items) = value else { return Ok(Vec::new()) };
            let item = |index: &i64| {
                let item = position(*index, items.len()).and_then(|position| items.get(position));
                item.ok_or(Missing { index: *index, length: items.len() })
            };
            indexes.iter().map(item).collect::<Result<_, _>>()?
        }
        Step::Slice(start, end, stride) => {
            let Value::Array(items) = value else { return Ok(Vec::new()) };
            let bound = |index: i64| {
                let index = if index < 0 { index + items.len() as i64 } else { index };
                index.clamp(0, items.len() as i64) as usize
            };
            let (start, end) = (bound(start.unwrap_or(0)), end.map_or(items.len(), bound));
            items.iter().take(end).skip(start).step_by((*stride).max(1) as usize).collect()
        }
        Step::Filter(left, comparison) => {
            let matching = |item: &&'a Value| matches(left, comparison.as_ref(), root, item);
            children(value).into_iter().filter(matching).collect()
        }
    };
    Ok(taken)
}

fn position(index: i64, length: usize) -> Option<usize> {
    usize::try_from(if index < 0 { index + length as i64 } else { index }).ok()
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}

fn descendants(value: &Value) -> Vec<&Value> {
    let mut all = vec![value];
    for child in children(value) {
        all.extend(descendants(child));
    }
    all
}

fn matches(left: &Operand, comparison: Option<&(Comparison, Operand)>, root: &Value, item: &Value) -> bool {
    let Some((comparison, right)) = comparison else { return operand(left, root, item).is_some() };
    let (Some(left), Some(right)) = (operand(left, root, item), operand(right, root, item)) else {
        return false;
    };
    let order = match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
        (left, right) => print(left).partial_cmp(&print(right)),
    };
    let Some(order) = order else { return false };
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

fn operand<'a>(operand: &'a Operand, root: &'a Value, item: &'a Value) -> Option<&'a Value> {
    match operand {
        Operand::Literal(value) => Some(value),
        Operand::Path(path) => evaluate(path, root, item).ok()?.into_iter().next(),
    }
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
}

impl Parser<'_> {
    /// Everything up to the end of the text, or inside a range up to its `{end}`.
    fn nodes(&mut self, in_range: bool) -> Result<Vec<Node>, String> {
        let mut nodes = Vec::new();
        let mut text = String::new();
        while let Some(character) = self.rest.next() {
            if character != '{' {
                text.push(character);
                continue;
            }
            if !text.is_empty() {
                nodes.push(Node::Text(std::mem::take(&mut text)));
            }
            self.skip_spaces();
            if let Some(quote @ ('"' | '\'')) = self.rest.peek().copied() {
                self.rest.next();
                nodes.push(Node::Text(self.quoted(quote)?));
                self.close()?;
                continue;
            }
            let word = self.word();
            match word.as_str() {
                "end" if in_range => {
                    self.close()?;
                    return Ok(nodes);
                }
                "end" => return Err("not in range, nothing to end".into()),
                "range" => {
                    self.skip_spaces();
                    let path = self.path(String::new())?;
                    self.close()?;
                    nodes.push(Node::Range(path, self.nodes(true)?));
                }
                _ => {
                    nodes.push(Node::Path(self.path(word)?));
                    self.close()?;
                }
            }
        }
        if in_range {
            return Err("unterminated range".into());
        }
        if !text.is_empty() {
            nodes.push(Node::Text(text));
        }
        Ok(nodes)
    }

    fn skip_spaces(&mut self) {
        while self.rest.next_if(|character| character.is_whitespace()).is_some() {}
    }

    fn close(&mut self) -> Result<(), String> {
        self.skip_spaces();
        if self.rest.next() == Some('}') { Ok(()) } else { Err("unclosed action".into()) }
    }

    /// A bare name; a backslash takes the next character as it is.
    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(character) =
            self.rest.next_if(|c| !c.is_whitespace() && !"{}[]().,*$@=!<>:'\"?".contains(*c))
        {
            let character = if character == '\\' { self.rest.next().unwrap_or('\\') } else { character };
            word.push(character);
        }
        word
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match self.rest.next() {
                None => return Err("unterminated quoted string".into()),
                Some(character) if character == quote => return Ok(text),
                Some('\\') => match self.rest.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(other) => text.push(other),
                    None => return Err("unterminated quoted string".into()),
                },
                Some(character) => text.push(character),
            }
        }
    }

    /// The steps of a path; `first` is a name that was already read.
    fn path(&mut self, first: String) -> Result<Path, String> {
        let mut steps = Vec::new();
        if !first.is_empty() {
            steps.push(Step::Name(first));
        }
        loop {
            match self.rest.peek() {
                Some('$') => {
                    self.rest.next();
                    steps.push(Step::Root);
                }
                Some('@') => {
                    self.rest.next();
                }
                Some('.') => {
                    self.rest.next();
                    match self.rest.peek() {
                        Some('.') => {
                            self.rest.next();
                            steps.push(Step::Descend);
                            self.name_or_all(&mut steps);
                        }
                        _ => self.name_or_all(&mut steps),
                    }
                }
                Some('[') => {
                    self.rest.next();
                    steps.push(self.bracket()?);
                }
                _ => return Ok(steps),
            }
        }
    }

    fn name_or_all(&mut self, steps: &mut Path) {
        if self.rest.next_if_eq(&'*').is_some() {
            steps.push(Step::All);
            return;
        }
        let name = self.word();
        if !name.is_empty() {
            steps.push(Step::Name(name));
        }
    }

    /// What stands between `[` and `]`.
    fn bracket(&mut self) -> Result<Step, String> {
        self.skip_spaces();
        let step = match self.rest.peek() {
            Some('*') => {
                self.rest.next();
                Step::All
            }
            Some('?') => self.filter()?,
            Some('\'' | '"') => {
                let mut names = Vec::new();
                while let Some(quote) = self.rest.next_if(|c| *c == '\'' || *c == '"') {
                    names.push(self.quoted(quote)?);
                    self.skip_spaces();
                    self.rest.next_if_eq(&',');
                    self.skip_spaces();
                }
                Step::Names(names)
            }
            _ => self.numbers()?,
        };
        self.skip_spaces();
        if self.rest.next() == Some(']') { Ok(step) } else { Err("unterminated array".into()) }
    }

    fn numbers(&mut self) -> Result<Step, String> {
        let mut text = String::new();
        while let Some(character) = self.rest.next_if(|c| *c != ']') {
            text.push(character);
        }
        // The caller expects to see the bracket.
        let invalid = || format!("invalid array index {text}");
        let step = if text.contains(':') {
            let number = |part: Option<&str>| match part.map(str::trim) {
                None | Some("") => Ok(None),
                Some(part) => part.parse().map(Some).map_err(|_| invalid()),
            };
            let mut parts = text.split(':');
            let (start, end, stride) = (number(parts.next())?, number(parts.next())?, number(parts.next())?);
            Step::Slice(start, end, stride.unwrap_or(1))
        } else {
            let indexes: Result<_, _> = text.split(',').map(|part| part.trim().parse()).collect();
            Step::Indexes(indexes.map_err(|_| invalid())?)
        };
        Ok(step)
    }

    fn filter(&mut self) -> Result<Step, String> {
        self.rest.next();
        if self.rest.next() != Some('(') {
            return Err("unrecognized character in action: expected ?(".into());
        }
        let left = self.operand()?;
        self.skip_spaces();
        let mut sign = String::new();
        while let Some(character) = self.rest.next_if(|c| "=!<>".contains(*c)) {
            sign.push(character);
        }
        let comparison = match sign.as_str() {
            "" => None,
            "==" => Some(Comparison::Equal),
            "!=" => Some(Comparison::NotEqual),
            "<" => Some(Comparison::Less),
            "<=" => Some(Comparison::LessOrEqual),
            ">" => Some(Comparison::Greater),
            ">=" => Some(Comparison::GreaterOrEqual),
            other => return Err(format!("unrecognized operator {other}")),
        };
        let right =
            comparison.map(|comparison| Ok::<_, String>((comparison, self.operand()?))).transpose()?;
        self.skip_spaces();
        if self.rest.next() == Some(')') {
            Ok(Step::Filter(left, right))
        } else {
            Err("unterminated filter".into())
        }
    }

    fn operand(&mut self) -> Result<Operand, String> {
        self.skip_spaces();
        if let Some(quote) = self.rest.next_if(|c| *c == '\'' || *c == '"') {
            return Ok(Operand::Literal(Value::String(self.quoted(quote)?)));
        }
        if matches!(self.rest.peek(), Some('@' | '.' | '$')) {
            return Ok(Operand::Path(self.path(String::new())?));
        }
        let mut word = String::new();
        while let Some(character) =
            self.rest.next_if(|c| !c.is_whitespace() && *c != ')' && !"=!<>".contains(*c))
        {
            word.push(character);
        }
        Ok(Operand::Literal(serde_json::from_str(&word).unwrap_or(Value::String(word))))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn templates_of_the_kubectl_manual() {
        let list = json!({"kind": "List", "items": [
            {"kind": "None", "metadata": {"name": "127.0.0.1", "labels": {"kubernetes.io/hostname": "h1"}},
             "status": {"capacity": {"cpu": "4"}, "addresses": [{"type": "IP", "address": "127.0.0.1"}]}},
            {"kind": "None", "metadata": {"name": "127.0.0.2"},
             "status": {"capacity": {"cpu": "8"}, "addresses": [{"type": "IP", "address": "127.0.0.2"}, {"type": "x", "address": "other"}]}},
        ], "users": [{"name": "myself", "user": {}}, {"name": "e2e", "user": {"username": "admin", "n": 3}}]});
        let cases = [
            ("{.kind}", "List"),
            (".kind", "List"),
            ("{$.kind}", "List"),
            ("{['kind']}", "List"),
            ("{..name}", "127.0.0.1 127.0.0.2 myself e2e"),
            ("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2"),
            ("{.users[0].name}", "myself"),
            ("{.users[-1].name}", "e2e"),
            ("{.users[0:1].name}", "myself"),
            ("{.users[?(@.name==\"e2e\")].user.username}", "admin"),
            ("{.users[?(@.user.n>2)].name}", "e2e"),
            ("{.users[?(@.user.username)].name}", "e2e"),
            ("{.items[0].metadata.labels.kubernetes\\.io/hostname}", "h1"),
            ("{.items[*]['metadata.name', 'kind']}", "None None"),
            (
                "{range .items[*]}[{.metadata.name}, {.status.capacity}] {end}",
                "[127.0.0.1, {\"cpu\":\"4\"}] [127.0.0.2, {\"cpu\":\"8\"}] ",
            ),
            (
                "{range .items[*]}{.metadata.name}{'\\t'}{.status.addresses[?(@.type==\"x\")].address}{\"\\n\"}{end}",
                "127.0.0.1\t\n127.0.0.2\tother\n",
            ),
            ("kind is {.kind}{.missing}", "kind is List"),
        ];
        for (template, expected) in cases {
            let parsed = Template::parse(template).unwrap_or_else(|error| panic!("{template}: {error}"));
            assert_eq!(parsed.render(&list).as_deref(), Ok(expected), "{template}");
        }
        let beyond = Template::parse("{.items[2].metadata.name}").unwrap().render(&list).unwrap_err();
        assert!(beyond.to_string().ends_with("array index out of bounds: index 2, length 2"), "{beyond}");
    }

    #[test]
    fn broken_templates_are_refused() {
        for template in ["{.a", "{range .a}{.b}", "{end}", "{.a[}", "{.a[?(@.b==1]}", "{\"open}"] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
    }
}
