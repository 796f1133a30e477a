//! `/statusz` and `/flagz`: what runs here and how it was started, for people (KEP-4827, KEP-4828).

use std::sync::LazyLock;
use std::time::Instant;

use component::{flags, version};
use jiff::Timestamp;

use crate::filters::Call;
use crate::http::media;
use crate::options::Options;
use crate::server::Server;

const PROGRAM: &str = "kube-apiserver";
const NOT_FOR_MACHINES: &str = "Warning: This endpoint is not meant to be machine parseable, has no formatting \
    compatibility guarantees and is for debugging purposes only.";

/// When the server began.
pub static STARTED: LazyLock<(Timestamp, Instant)> = LazyLock::new(|| (Timestamp::now(), Instant::now()));

/// Whether the client asks for plain text.
pub(super) fn takes_text(call: &Call) -> bool {
    media::accept_clauses(&call.parts.headers).iter().any(|clause| clause.media_type == "text/plain")
}

/// `/statusz`
pub(super) fn status(server: &Server) -> String {
    let (started, since) = *STARTED;
    let up = since.elapsed().as_secs();
    let is_page = |path: &String| !path.starts_with("/api") && path.matches('/').count() == 1;
    let paths: Vec<String> = server.root_paths().into_iter().filter(is_page).collect();
    format!(
        "\n{PROGRAM} statusz\n{NOT_FOR_MACHINES}\n\nStarted: {started}\nUp: {} hr {:02} min {:02} sec\n\
         Binary version: {}\nEmulation version: {}.{}\nPaths: {}\n",
        up / 3600,
        up / 60 % 60,
        up % 60,
        version::GIT_VERSION,
        version::MAJOR,
        version::MINOR,
        paths.join(" "),
    )
}

/// `/flagz`: every flag with its value, given or not.
pub(super) fn flags() -> String {
    let command = flags::command::<Options>(&component::Daemon::new(PROGRAM, ""));
    let mut lines: Vec<String> = Vec::new();
    for flag in command.get_arguments() {
        let Some(name) = flag.get_long().filter(|name| !matches!(*name, "help" | "version")) else {
            continue;
        };
        let given = given(name, std::env::args().skip(1));
        let values = match given.is_empty() {
            true => {
                flag.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect()
            }
            false => given,
        };
        lines.push(format!("{name}={}", values.join(",")));
    }
    lines.sort();
    format!("\n{PROGRAM} flagz\n{NOT_FOR_MACHINES}\n\n{}\n", lines.join("\n"))
}

/// The values that a command line, which has been found right, gives a flag: `--name=value` or `--name value`, and
/// `--name` alone for a switch.
fn given(name: &str, mut arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut values = Vec::new();
    let mut next = arguments.next();
    while let Some(argument) = next {
        next = arguments.next();
        let Some(flag) = argument.strip_prefix("--") else { continue };
        match flag.split_once('=') {
            Some((flag, value)) if flag == name => values.push(value.to_owned()),
            None if flag == name => {
                let value = next.clone().filter(|value| !value.starts_with("--"));
                values.push(value.unwrap_or_else(|| "true".to_owned()));
            }
            _ => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    #[test]
    fn flags_are_listed_with_their_defaults() {
        let text = super::flags();
        assert!(text.contains("\nmax-requests-inflight=400\n"), "{text}");
        assert!(text.contains("\netcd-prefix=/registry\n"), "{text}");
    }

    #[test]
    fn given_values_are_found() {
        let line = ["--a=1", "--b", "2", "--c", "--a=3"];
        let given = |name| super::given(name, line.iter().map(|word| (*word).to_owned()));
        assert_eq!(
            (given("a"), given("b"), given("c")),
            (vec!["1".into(), "3".into()], vec!["2".into()], vec!["true".into()])
        );
        assert!(given("d").is_empty());
    }
}
