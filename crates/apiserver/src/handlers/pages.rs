//! `/statusz` and `/flagz`: what runs here and how it was started, for people (KEP-4827, KEP-4828).

use std::sync::LazyLock;
use std::time::Instant;

use clap::Args as _;
use component::version;
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
    let mut command = Options::augment_args(clap::Command::new(PROGRAM)).ignore_errors(true);
    command.build();
    let given = command.clone().get_matches_from(std::env::args_os());
    let mut lines: Vec<String> = Vec::new();
    for flag in command.get_arguments() {
        let Some(name) = flag.get_long().filter(|name| !matches!(*name, "help" | "version")) else {
            continue;
        };
        let values = given.get_raw(flag.get_id().as_str()).into_iter().flatten();
        let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
        lines.push(format!("{name}={}", values.join(",")));
    }
    lines.sort();
    format!("\n{PROGRAM} flagz\n{NOT_FOR_MACHINES}\n\n{}\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn flags_are_listed_with_their_defaults() {
        let text = super::flags();
        assert!(text.contains("\nmax-requests-inflight=400\n"), "{text}");
        assert!(text.contains("\netcd-prefix=/registry\n"), "{text}");
    }
}
