//! `spec.successPolicy` of jobs (KEP-3998).

use serde_json::Value;

use super::check::NOT_NEGATIVE;
use super::get::{get, int, items};
use crate::field::{ErrorList, Path};

const MAX_RULES: usize = 20;

pub(super) fn validate(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    let Some(policy) = get(spec, "successPolicy") else { return };
    let is_indexed = super::get::text(spec, "completionMode") == "Indexed";
    if !is_indexed {
        errors.invalid(path, policy.clone(), "requires indexed completion mode");
        return;
    }
    let at = path.child("rules");
    let rules = items(policy, "rules");
    if rules.is_empty() {
        errors.required(&at, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > MAX_RULES {
        errors.too_many(&at, rules.len(), MAX_RULES);
    }
    let completions = int(spec, "completions").unwrap_or(0);
    for (i, rule) in rules.iter().enumerate() {
        validate_rule(errors, &at.index(i), rule, completions);
    }
}

fn validate_rule(errors: &mut ErrorList, path: &Path<'_>, rule: &Value, completions: i64) {
    let indexes = get(rule, "succeededIndexes").and_then(Value::as_str);
    let count = int(rule, "succeededCount");
    if indexes.is_none() && count.is_none() {
        errors.required(path, "at least one of succeededCount or succeededIndexes must be specified");
    }
    let mut total = 0;
    if let Some(text) = indexes {
        match count_indexes(text, completions) {
            Ok(found) => total = found,
            Err(why) => {
                let detail = format!("error parsing succeededIndexes: {why}");
                errors.invalid(&path.child("succeededIndexes"), text, detail);
            }
        }
    }
    let Some(count) = count else { return };
    let at = path.child("succeededCount");
    if count < 0 {
        errors.invalid(&at, count, NOT_NEGATIVE);
    }
    if count > completions {
        let detail =
            format!("must be less than or equal to {completions} (the number of specified completions)");
        errors.invalid(&at, count, detail);
    }
    if indexes.is_some() && count > total {
        let detail = format!(
            "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        );
        errors.invalid(&at, count, detail);
    }
}

/// How many indexes a list such as `0-3,5` names.
fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    let mut total = 0;
    let mut previous: Option<i64> = None;
    for interval in text.split(',') {
        let limits: Vec<&str> = interval.split('-').collect();
        if limits.len() > 2 {
            return Err(format!(
                "the fragment \"{interval}\" violates the requirement that an index interval can have at most two parts separated by '-'"
            ));
        }
        let mut bounds = Vec::with_capacity(2);
        for limit in &limits {
            let index: i64 = limit
                .parse()
                .map_err(|_| format!("cannot convert string to integer for index: \"{limit}\""))?;
            if index >= completions {
                return Err(format!("too large index: \"{limit}\""));
            }
            if let Some(previous) = previous.filter(|p| *p >= index) {
                return Err(format!("non-increasing order, previous: {previous}, current: {index}"));
            }
            previous = Some(index);
            bounds.push(index);
        }
        total += bounds.last().copied().unwrap_or(0) - bounds[0] + 1;
    }
    Ok(total)
}
