//! Which objects of a document a patch takes apart: the text of the patched document shows it by their sorted keys.

use serde_json::Value;

use crate::go_json::Opened;

/// The objects that a JSON Patch goes through.
pub fn opened_by_json(patch: &Value) -> Opened {
    let mut opened = Opened::default();
    for operation in patch.as_array().into_iter().flatten() {
        for pointer in ["path", "from"].iter().filter_map(|key| operation.get(key)?.as_str()) {
            let mut current = &mut opened;
            let above = pointer.rsplit_once('/').map_or("", |(above, _)| above);
            for token in above.split('/').skip(1) {
                current = current.open(&token.replace("~1", "/").replace("~0", "~"));
            }
        }
    }
    opened
}

/// The objects that a JSON Merge Patch merges into.
pub fn opened_by_merge(document: &Value, patch: &Value) -> Opened {
    let mut opened = Opened::default();
    merge(document, patch, &mut opened);
    opened
}

fn merge(document: &Value, patch: &Value, opened: &mut Opened) {
    for (key, change) in patch.as_object().into_iter().flatten() {
        if let Some(before) = document.get(key).filter(|before| before.is_object())
            && change.is_object()
        {
            merge(before, change, opened.open(key));
        }
    }
}
