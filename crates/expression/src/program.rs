//! Compiled expressions.

use crate::ast::Node;
use crate::check::{Checked, Reference};
use crate::eval::Evaluation;
use crate::parse::Tree;
use crate::{Error, Estimate, Meter, Sizes, Type, Value, estimate};

/// An expression that was checked, to be evaluated any number of times from any thread.
#[derive(Debug)]
pub struct Program {
    source: String,
    root: Node,
    types: Vec<Type>,
    references: Vec<Reference>,
}

/// The values of variables during an evaluation.
pub trait Variables<'a> {
    /// The value of a declared variable, by its full name.
    fn variable(&self, name: &str) -> Option<Value<'a>>;
}

impl<'a, const N: usize> Variables<'a> for [(&str, Value<'a>); N] {
    fn variable(&self, name: &str) -> Option<Value<'a>> {
        self.as_slice().variable(name)
    }
}

impl<'a> Variables<'a> for [(&str, Value<'a>)] {
    fn variable(&self, name: &str) -> Option<Value<'a>> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }
}

impl Program {
    pub(crate) fn new(source: &str, tree: Tree, checked: Checked) -> Self {
        Self {
            source: source.to_owned(),
            root: tree.root,
            types: checked.types,
            references: checked.references,
        }
    }

    /// The expression as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The type of the result.
    pub fn result_type(&self) -> &Type {
        &self.types[self.root.id]
    }

    /// Whether a variable is mentioned.
    pub fn mentions(&self, variable: &str) -> bool {
        self.root.mentions(variable)
    }

    /// The value of the expression. What the evaluation costs is charged to `meter`.
    ///
    /// # Errors
    /// The expression failed, or the meter ran out.
    pub fn evaluate<'a>(
        &'a self,
        variables: &dyn Variables<'a>,
        meter: &mut Meter,
    ) -> Result<Value<'a>, Error> {
        Evaluation::new(&self.references, variables, meter).run(&self.root)
    }

    /// What evaluations may cost, from the sizes that variables can have.
    pub fn estimate(&self, sizes: &dyn Sizes) -> Estimate {
        estimate::estimate(&self.root, &self.types, &self.references, sizes)
    }
}
