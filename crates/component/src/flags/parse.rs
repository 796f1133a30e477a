//! From `argv` to options: Go's conventions made palatable to clap, and all problems collected.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::builder::{TypedValueParser, ValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};

use crate::run::{Daemon, Options};

/// Everything wrong with a command line or configuration, one line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", render(.daemon, .lines))]
pub struct Problems {
    /// The program's name, put before each line.
    pub daemon: String,
    /// What is wrong, each with the flag it concerns.
    pub lines: Vec<String>,
}

fn render(daemon: &str, lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| format!("{daemon}: {line}")).collect();
    lines.join("\n")
}

/// What parsing ends in when the daemon should not go on to start.
#[derive(Debug)]
pub enum Stop {
    /// `--help` or `--version`: print this and succeed.
    Print(String),
    /// The command line is wrong.
    Problems(Problems),
}

/// Parses the process's own arguments; prints and exits on `--help`, `--version` and on problems (status 1).
pub fn parse<O: Options>(daemon: &Daemon) -> O {
    match parse_from(daemon, std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(Stop::Print(text)) => {
            println!("{text}");
            std::process::exit(0)
        }
        Err(Stop::Problems(problems)) => {
            eprintln!("{problems}");
            std::process::exit(1)
        }
    }
}

/// Parses `args` (without the program's name).
///
/// # Errors
/// [`Stop`] when there is nothing to run.
pub fn parse_from<O: Options>(
    daemon: &Daemon,
    args: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<O, Stop> {
    let command = command::<O>(daemon);
    let mut lines = Vec::new();
    let mut tokens = tokenize(daemon, &command, args.into_iter().map(Into::into), &mut lines)?;
    let matches = loop {
        let argv = std::iter::once(OsString::from(daemon.name)).chain(tokens.iter().map(OsString::from));
        match command.clone().try_get_matches_from(argv) {
            Ok(matches) => break Some(matches),
            Err(error) if error.kind() == ErrorKind::DisplayHelp => {
                return Err(Stop::Print(error.to_string()));
            }
            Err(error) => {
                let (line, flag) = explain(&error);
                lines.push(line);
                let before = tokens.len();
                tokens.retain(|token| flag.as_deref() != Some(flag_name(token)));
                // Nothing to take out: what remains cannot be parsed at all, for example a missing required flag.
                if tokens.len() == before {
                    break None;
                }
            }
        }
    };
    let options =
        matches.and_then(|matches| O::from_arg_matches(&matches).map_err(|e| lines.push(explain(&e).0)).ok());
    match options {
        Some(options) => {
            options.validate(&mut lines);
            if lines.is_empty() { Ok(options) } else { Err(stop(daemon, lines)) }
        }
        None => Err(stop(daemon, lines)),
    }
}

/// The clap command of a daemon, with Go's conventions applied to every argument.
pub fn command<O: Options>(daemon: &Daemon) -> Command {
    let command = O::augment_args(Command::new(daemon.name).about(daemon.about))
        .args_override_self(true)
        .disable_version_flag(true)
        .arg(
            Arg::new("version")
                .long("version")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .help("Print version information and quit (=raw for more)"),
        );
    command.mut_args(|arg| {
        let boolean = arg.get_value_parser().type_id() == std::any::TypeId::of::<bool>();
        match arg.get_action() {
            ArgAction::SetTrue => go_bool(arg.default_value("false")),
            ArgAction::Set if boolean => go_bool(arg),
            ArgAction::Set | ArgAction::Append => arg.allow_hyphen_values(true),
            _ => arg,
        }
    })
}

fn go_bool(arg: Arg) -> Arg {
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .value_parser(ValueParser::new(
            clap::builder::StringValueParser::new()
                .try_map(|text| super::parse_bool(&text).ok_or("use true or false")),
        ))
}

/// Brings `argv` into the form `--name=value`, handles `--version`, and refuses what no daemon takes.
fn tokenize(
    daemon: &Daemon,
    command: &Command,
    args: impl Iterator<Item = OsString>,
    problems: &mut Vec<String>,
) -> Result<Vec<String>, Stop> {
    let takes_value: BTreeMap<&str, bool> = command
        .get_arguments()
        .filter_map(|arg| {
            Some((
                arg.get_long()?,
                arg.get_num_args().is_none_or(|n| n.min_values() > 0) && arg.get_action().takes_values(),
            ))
        })
        .collect();
    let upstream: BTreeMap<&str, bool> = super::upstream(daemon.name).collect();
    let mut tokens = Vec::new();
    let mut args = args.map(|arg| arg.to_string_lossy().into_owned());
    while let Some(arg) = args.next() {
        let Some(long) = arg.strip_prefix("--") else {
            match arg.strip_prefix("-v") {
                Some("") => tokens.push(format!("--v={}", args.next().unwrap_or_default())),
                Some(level) => tokens.push(format!("--v={}", level.trim_start_matches('='))),
                None if arg == "-h" => tokens.push("--help".into()),
                None => {
                    problems.push(format!("unexpected argument {arg:?}: {} takes flags only", daemon.name))
                }
            }
            continue;
        };
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name.replace('_', "-"), Some(value.to_owned())),
            None => (long.replace('_', "-"), None),
        };
        match (name.as_str(), takes_value.get(name.as_str()), upstream.get(name.as_str())) {
            ("version", ..) => return Err(Stop::Print(version(value.as_deref()))),
            (_, Some(true), _) => match value.or_else(|| args.next()) {
                Some(value) => tokens.push(format!("--{name}={value}")),
                None => problems.push(format!("flag needs an argument: --{name}")),
            },
            (_, Some(false), _) => tokens.push(match value {
                Some(value) => format!("--{name}={value}"),
                None => format!("--{name}"),
            }),
            (_, None, Some(boolean)) => {
                if value.is_none() && !boolean {
                    args.next();
                }
                problems.push(format!(
                    "flag --{name} is an upstream flag that Coxswain does not serve yet; remove it"
                ));
            }
            (_, None, None) => tokens.push(format!("--{long}")),
        }
    }
    Ok(tokens)
}

fn version(value: Option<&str>) -> String {
    match value {
        Some("raw") => format!(
            "version.Info{{Major:\"{}\", Minor:\"{}\", GitVersion:\"{}\"}}",
            crate::version::MAJOR,
            crate::version::MINOR,
            crate::version::GIT_VERSION
        ),
        _ => format!("Kubernetes {}", crate::version::GIT_VERSION),
    }
}

/// One line for a clap error, and the flag it is about when there is one.
fn explain(error: &clap::Error) -> (String, Option<String>) {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let flag = argument.as_deref().map(|text| flag_name(text).to_owned());
    let rendered = error.to_string();
    let first = rendered.lines().next().unwrap_or_default();
    (first.trim_start_matches("error: ").to_owned(), flag)
}

/// `--name` of `--name=value`, `--name <VALUE>` or `--name`.
fn flag_name(token: &str) -> &str {
    token.split(['=', ' ', '[']).next().unwrap_or(token)
}

fn stop(daemon: &Daemon, lines: Vec<String>) -> Stop {
    Stop::Problems(Problems { daemon: daemon.name.to_owned(), lines })
}
