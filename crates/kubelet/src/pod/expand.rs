//! `$(NAME)` references in commands, arguments, environment values and subPathExpr.

/// Replaces `$(NAME)` by what `lookup` knows; unknown names stay as written, `$$` is one dollar sign.
pub fn expand(input: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    expand_tracking(input, lookup).0
}

/// Like [`expand`], and says which names were not known.
pub fn expand_tracking(input: &str, lookup: impl Fn(&str) -> Option<String>) -> (String, Vec<String>) {
    let (mut output, mut unknown) = (String::with_capacity(input.len()), Vec::new());
    let mut rest = input;
    while let Some(dollar) = rest.find('$') {
        output.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            output.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            match lookup(name) {
                Some(value) => output.push_str(&value),
                None => {
                    output.push_str(&format!("$({name})"));
                    unknown.push(name.to_owned());
                }
            }
            rest = after;
        } else {
            output.push('$');
        }
    }
    output.push_str(rest);
    (output, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_once() {
        let lookup = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "B" => Some("$(A)".to_owned()),
            _ => None,
        };
        for (input, expected) in [
            ("plain", "plain"),
            ("$(A)-$(B)", "1-$(A)"),
            ("$$(A) $$$$", "$(A) $$"),
            ("$(C) $X $(A", "$(C) $X $(A"),
            ("cost 5$", "cost 5$"),
        ] {
            assert_eq!(expand(input, lookup), expected, "{input}");
        }
    }
}
