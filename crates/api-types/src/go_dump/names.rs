//! Go names of fields, and the order of fields in upstream's internal types.

static GO_NAMES: &str = include_str!("../../schema/go_names.txt");
static ORDER: &str = include_str!("../../schema/internal_order.txt");

/// The words after the type on its line.
fn line_of(table: &'static str, type_name: &str) -> Option<std::str::SplitAsciiWhitespace<'static>> {
    table.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some(type_name)).then_some(words)
    })
}

/// The Go name of a JSON field.
pub(super) fn go(type_name: &str, json: &str) -> String {
    let irregular = line_of(GO_NAMES, type_name).and_then(|mut words| {
        words.find_map(|word| word.split_once('=').filter(|(name, _)| *name == json).map(|(_, go)| go))
    });
    if let Some(go) = irregular {
        return go.to_owned();
    }
    match json {
        "hostPID" | "hostIPC" => json.replace('h', "H"),
        _ => {
            let mut letters = json.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
        }
    }
}

/// The order of a type's fields where it is not that of the served version.
pub(super) fn order(type_name: &str) -> Option<Vec<&'static str>> {
    line_of(ORDER, type_name).map(Iterator::collect)
}
