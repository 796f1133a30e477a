use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Map, Value};

use super::node::Node;
use super::path::PathElement;

/// A set of field paths, as a tree: what `fieldsV1` encodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set(BTreeMap<PathElement, Branch>);

/// What is below one step. Invariant inside a set: a member, or with children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Branch {
    /// The path that ends here is in the set.
    member: bool,
    children: Set,
}

impl Branch {
    fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

impl Set {
    /// The empty set.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// A set of paths of field names, such as `metadata.name`.
    pub fn of_fields(paths: impl IntoIterator<Item: AsRef<str>>) -> Self {
        let mut out = Self::new();
        for path in paths {
            let elements: Vec<PathElement> = path.as_ref().split('.').map(PathElement::field).collect();
            out.insert(&elements);
        }
        out
    }

    /// Whether no path is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a path. The empty path (the object itself) is never tracked.
    pub fn insert(&mut self, path: &[PathElement]) {
        let Some((first, rest)) = path.split_first() else { return };
        let branch = match self.0.get_mut(first) {
            Some(branch) => branch,
            None => self.0.entry(first.clone()).or_default(),
        };
        if rest.is_empty() {
            branch.member = true;
        } else {
            branch.children.insert(rest);
        }
    }

    /// Whether the path of this one step is in the set.
    pub fn has(&self, element: &PathElement) -> bool {
        self.0.get(element).is_some_and(|b| b.member)
    }

    /// The paths below a step, if any.
    pub fn below(&self, element: &PathElement) -> Option<&Self> {
        self.0.get(element).map(|b| &b.children).filter(|s| !s.is_empty())
    }

    /// The paths in either set.
    pub fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.add(other);
        out
    }

    /// Adds all paths of another set.
    pub fn add(&mut self, other: &Self) {
        for (element, branch) in &other.0 {
            match self.0.entry(element.clone()) {
                Entry::Vacant(slot) => {
                    slot.insert(branch.clone());
                }
                Entry::Occupied(mut slot) => {
                    slot.get_mut().member |= branch.member;
                    slot.get_mut().children.add(&branch.children);
                }
            }
        }
    }

    /// The paths in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        self.zip(other, |mine, theirs| Branch {
            member: mine.member && theirs.member,
            children: mine.children.intersection(&theirs.children),
        })
    }

    /// The paths of this set that are not in the other.
    pub fn difference(&self, other: &Self) -> Self {
        self.subtract(other, |mine, theirs| Branch {
            member: mine.member && !theirs.member,
            children: mine.children.difference(&theirs.children),
        })
    }

    /// The paths of this set that are not in the other, nor below a path that is.
    pub fn difference_recursive(&self, other: &Self) -> Self {
        self.subtract(other, |mine, theirs| {
            if theirs.member {
                return Branch::default();
            }
            Branch { member: mine.member, children: mine.children.difference_recursive(&theirs.children) }
        })
    }

    fn zip(&self, other: &Self, join: impl Fn(&Branch, &Branch) -> Branch) -> Self {
        let both = self.0.iter().filter_map(|(element, mine)| {
            let joined = join(mine, other.0.get(element)?);
            (!joined.is_empty()).then(|| (element.clone(), joined))
        });
        Self(both.collect())
    }

    fn subtract(&self, other: &Self, join: impl Fn(&Branch, &Branch) -> Branch) -> Self {
        let rest = self.0.iter().filter_map(|(element, mine)| {
            let left = match other.0.get(element) {
                Some(theirs) => join(mine, theirs),
                None => mine.clone(),
            };
            (!left.is_empty()).then(|| (element.clone(), left))
        });
        Self(rest.collect())
    }

    /// The set with every struct field on the way to a member made a member too. Map keys and list elements on the
    /// way are not added: their presence is owned separately.
    pub(super) fn with_struct_fields(&self, node: Node<'_>) -> Self {
        let branches = self.0.iter().map(|(element, branch)| {
            let on_the_way = match element {
                PathElement::Field(name) => !branch.children.is_empty() && node.has_field(name),
                _ => false,
            };
            let children = match node.step(element) {
                Some(child) if !branch.children.is_empty() => branch.children.with_struct_fields(child),
                _ => branch.children.clone(),
            };
            (element.clone(), Branch { member: branch.member || on_the_way, children })
        });
        Self(branches.collect())
    }

    /// All paths: those that end at a level before those that go deeper.
    pub fn paths(&self) -> Vec<Vec<PathElement>> {
        let mut out = Vec::new();
        self.collect(&mut Vec::new(), &mut out);
        out
    }

    fn collect(&self, prefix: &mut Vec<PathElement>, out: &mut Vec<Vec<PathElement>>) {
        for (element, _) in self.0.iter().filter(|(_, b)| b.member) {
            prefix.push(element.clone());
            out.push(prefix.clone());
            prefix.pop();
        }
        for (element, branch) in &self.0 {
            prefix.push(element.clone());
            branch.children.collect(prefix, out);
            prefix.pop();
        }
    }

    /// The `fieldsV1` form.
    pub fn to_value(&self) -> Value {
        self.encode(false)
    }

    fn encode(&self, member: bool) -> Value {
        let mut out = Map::new();
        if member && !self.is_empty() {
            out.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (element, branch) in &self.0 {
            out.insert(element.encoded(), branch.children.encode(branch.member));
        }
        Value::Object(out)
    }

    /// Reads the `fieldsV1` form; `None` when it is malformed.
    pub fn from_value(value: &Value) -> Option<Self> {
        let mut out = Self::new();
        for (key, below) in value.as_object()?.iter().filter(|(key, _)| *key != ".") {
            let children = Self::from_value(below)?;
            let member = below.as_object().is_some_and(|b| b.is_empty() || b.contains_key("."));
            let branch = Branch { member, children };
            if !branch.is_empty() {
                out.0.insert(PathElement::parse(key)?, branch);
            }
        }
        Some(out)
    }
}
