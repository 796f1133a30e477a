//! Which of the names that a definition asks for it gets: those that no other definition of its group has.

use std::collections::HashSet;

use super::definition::{Definition, Names};

/// What became of the names.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The names to be used from now on: those asked for, but the present one where another definition has it.
    pub names: Names,
    /// Reason and message of the first of the conflicts that upstream reports last.
    pub conflict: Option<(&'static str, String)>,
}

/// The names in use within one group.
#[derive(Debug, Default)]
pub struct Claims<'a> {
    resources: HashSet<&'a str>,
    kinds: HashSet<&'a str>,
}

impl<'a> Claims<'a> {
    /// The accepted names of a group's definitions.
    pub fn of(definitions: impl Iterator<Item = &'a Definition>) -> Self {
        let mut claims = Claims::default();
        for definition in definitions {
            let names = &definition.status.accepted_names;
            claims.resources.extend([names.plural.as_str(), names.singular.as_str()]);
            claims.resources.extend(names.short_names.iter().map(String::as_str));
            claims.kinds.extend([names.kind.as_str(), names.list_kind.as_str()]);
        }
        claims
    }

    /// Decides about the names of a definition that may be among those claimed.
    pub fn judge(&self, definition: &Definition) -> Verdict {
        let (wanted, present) = (&definition.spec.names, &definition.status.accepted_names);
        let mut verdict = Verdict { names: present.clone(), conflict: None };
        let Verdict { names, conflict } = &mut verdict;
        let mut one = |wanted: &String, present: &String, into: &mut String, taken: bool, reason| {
            if wanted == present || !taken {
                into.clone_from(wanted);
            } else {
                *conflict = Some((reason, in_use(wanted)));
            }
        };
        let taken = |name: &String| self.resources.contains(name.as_str());
        let kind_taken = |name: &String| self.kinds.contains(name.as_str());
        one(&wanted.plural, &present.plural, &mut names.plural, taken(&wanted.plural), "PluralConflict");
        let singular_taken = taken(&wanted.singular);
        one(&wanted.singular, &present.singular, &mut names.singular, singular_taken, "SingularConflict");
        let mut short_conflict = None;
        if wanted.short_names != present.short_names {
            let fresh = wanted.short_names.iter().filter(|name| !present.short_names.contains(name));
            let refused: Vec<String> = fresh.filter(|name| taken(name)).map(|name| in_use(name)).collect();
            match refused.as_slice() {
                [] => names.short_names.clone_from(&wanted.short_names),
                [only] => short_conflict = Some(only.clone()),
                many => short_conflict = Some(format!("[{}]", many.join(", "))),
            }
        }
        one(&wanted.kind, &present.kind, &mut names.kind, kind_taken(&wanted.kind), "KindConflict");
        let list_taken = kind_taken(&wanted.list_kind);
        one(&wanted.list_kind, &present.list_kind, &mut names.list_kind, list_taken, "ListKindConflict");
        names.categories.clone_from(&wanted.categories);
        if conflict.is_none() || matches!(conflict, Some(("PluralConflict" | "SingularConflict", _))) {
            *conflict = short_conflict.map(|why| ("ShortNamesConflict", why)).or_else(|| conflict.take());
        }
        verdict
    }
}

fn in_use(name: &str) -> String {
    format!("{} is already in use", api_types::field::quote(name))
}
