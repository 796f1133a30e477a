//! Where a scale subresource finds what it shows.

use serde_json::Value;

use crate::field::{ErrorList, Path};
use crate::validation::get::{get, text};

/// Rules of the subresources of a version, or of all versions.
pub(super) fn validate(errors: &mut ErrorList, path: &Path<'_>, owner: &Value) {
    let Some(scale) = get(owner, "subresources").and_then(|found| get(found, "scale")) else { return };
    let cases: [(&str, &str, &str, &[&str], &str); 3] = [
        ("specReplicasPath", "scale.specReplicasPath", "required", &[".spec."], ".spec"),
        ("statusReplicasPath", "scale.statusReplicasPath", "required", &[".status."], ".status"),
        (
            "labelSelectorPath",
            "scale.labelSelectorPath",
            "",
            &[".spec.", ".status."],
            "either .spec or .status",
        ),
    ];
    for (key, at, required, below, place) in cases {
        let at = path.child(at);
        match text(scale, key) {
            "" if required.is_empty() => {}
            "" => errors.required(&at, ""),
            found if !found.starts_with('.') => {
                errors.invalid(&at, found, "must be a simple json path starting with .");
            }
            found if !below.iter().any(|prefix| found.starts_with(prefix)) => {
                errors.invalid(&at, found, format!("should be a json path under {place}"));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_into_spec_and_status() {
        let found = |scale: Value| {
            let mut errors = ErrorList::new();
            validate(
                &mut errors,
                &Path::new("spec.subresources"),
                &json!({"subresources": {"scale": scale}}),
            );
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let fine = json!({"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"});
        assert!(found(fine).is_empty());
        let wrong = json!({"specReplicasPath": "spec.n", "labelSelectorPath": ".other"});
        assert_eq!(
            found(wrong),
            [
                "spec.subresources.scale.specReplicasPath: Invalid value: \"spec.n\": must be a simple json path starting with .",
                "spec.subresources.scale.statusReplicasPath: Required value",
                "spec.subresources.scale.labelSelectorPath: Invalid value: \".other\": should be a json path under either .spec or .status",
            ]
        );
    }
}
