//! Environments: which variables an expression may use, and of which types.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ty::Object;
use crate::{CompileError, Program, Type, check, parse};

/// The declarations that expressions are compiled against; cheap to clone. All libraries are always there.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: Arc<BTreeMap<String, Type>>,
    /// Object types that expressions may construct: exact names, and prefixes of open ones (`Object`).
    constructible: Arc<Vec<(String, Type)>>,
}

impl Environment {
    /// An environment without variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a variable; the name may be dotted (`authorizer.requestResource`). A second one of a name replaces the first.
    #[must_use]
    pub fn with(mut self, name: &str, declared: Type) -> Self {
        Arc::make_mut(&mut self.variables).insert(name.to_owned(), declared);
        self
    }

    /// With what mutations construct: `Object`, `Object.spec` and so on with any fields, and `JSONPatch`.
    #[must_use]
    pub fn with_patch_types(mut self) -> Self {
        let text = |name: &str| (name.to_owned(), Type::String);
        let fields = [text("op"), text("path"), text("from"), ("value".to_owned(), Type::Dyn)];
        let types = Arc::make_mut(&mut self.constructible);
        types.push(("JSONPatch".to_owned(), Type::object("JSONPatch", fields)));
        types.push(("Object".to_owned(), Type::open_object("Object")));
        self
    }

    /// Reads and checks an expression.
    ///
    /// # Errors
    /// The expression is no expression, or its names and types do not fit; worded as upstream words it.
    pub fn compile(&self, source: &str) -> Result<Program, CompileError> {
        let tree = parse::parse(source)?;
        let checked = check::check(self, &tree.root, tree.nodes);
        if checked.issues.is_empty() {
            Ok(Program::new(source, tree, checked))
        } else {
            Err(CompileError::new(source, checked.issues))
        }
    }

    pub(crate) fn variable_type(&self, name: &str) -> Option<&Type> {
        self.variables.get(name)
    }

    /// The type that `Name{…}` constructs.
    pub(crate) fn object_type(&self, name: &str) -> Option<Object> {
        self.constructible.iter().find_map(|(known, declared)| match declared {
            Type::Object(object) if known == name => Some(object.clone()),
            Type::Object(object) if object.is_open() && name.starts_with(&format!("{known}.")) => {
                match Type::open_object(name) {
                    Type::Object(below) => Some(below),
                    _ => None,
                }
            }
            _ => None,
        })
    }
}
