use std::borrow::Cow;

use super::managed::{Entry, Operation};
use super::path::path_text;
use super::set::Set;
use crate::field::quote;
use crate::status::{ApiError, Cause};

/// Fields that an apply would change although another manager owns them.
#[derive(Debug, Clone)]
pub(super) struct Conflict {
    /// The other manager's entry, without its fields.
    pub owner: Entry,
    /// The fields in question.
    pub fields: Set,
}

impl Conflict {
    fn owner_text(&self) -> String {
        let Entry { manager, operation, api_version, subresource, .. } = &self.owner;
        let mut out = quote(manager);
        if !subresource.is_empty() {
            out = format!("{out} with subresource {}", quote(subresource));
        }
        match operation {
            Operation::Apply => out,
            Operation::Update => format!("{out} using {api_version}"),
        }
    }
}

/// 409 with one cause per field.
pub(super) fn conflict_error(mut conflicts: Vec<Conflict>) -> ApiError {
    conflicts.sort_by_key(Conflict::owner_text);
    let mut causes = Vec::new();
    let mut lines = Vec::new();
    for conflict in &conflicts {
        let owner = conflict.owner_text();
        lines.push(format!("conflicts with {owner}:"));
        for path in conflict.fields.paths() {
            let field = path_text(&path);
            lines.push(format!("- {field}"));
            let message = format!("conflict with {owner}");
            causes.push(Cause { reason: Cow::Borrowed("FieldManagerConflict"), message, field });
        }
    }
    let message = match causes.as_slice() {
        [one] => format!("Apply failed with 1 conflict: {}: {}", one.message, one.field),
        many => format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n")),
    };
    ApiError::apply_conflict(causes, message)
}
