//! Log lines as upstream's daemons write them, to standard error: klog's text form or JSON, filtered by `--v`.
//!
//! `info` is v=0, `debug` v=4 and `trace` v=6. The crates below us (hyper, h2, rustls) speak up at v=8.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

use crate::flags::{Logging, LoggingFormat};

/// Sets the process's logging up; a second call changes nothing.
pub fn install(options: &Logging) {
    let filter = filter(options);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let installed = match options.logging_format {
        LoggingFormat::Text => {
            tracing_subscriber::registry().with(layer.event_format(Klog).with_filter(filter)).try_init()
        }
        LoggingFormat::Json => {
            tracing_subscriber::registry().with(layer.event_format(Json).with_filter(filter)).try_init()
        }
    };
    if installed.is_err() {
        tracing::debug!("logging was already set up");
    }
}

fn filter(options: &Logging) -> Targets {
    let ours = level(options.v);
    let theirs = if options.v >= 8 { ours } else { LevelFilter::WARN };
    let mut targets = Targets::new().with_default(ours);
    for noisy in [
        "hyper",
        "hyper_util",
        "h2",
        "rustls",
        "tower",
        "kube_client",
        "tonic",
        "hickory_proto",
        "hickory_server",
        "netlink_packet_route",
        "tungstenite",
    ] {
        targets = targets.with_target(noisy, theirs);
    }
    if options.v < 8 {
        // It warns at every connection when a kubeconfig skips the verification of the server.
        targets = targets.with_target("kube_client::client::tls", LevelFilter::ERROR);
    }
    for setting in &options.vmodule {
        if let Some((module, v)) = setting.split_once('=')
            && let Ok(v) = v.parse()
        {
            targets = targets.with_target(module, level(v));
        }
    }
    targets
}

fn level(v: u8) -> LevelFilter {
    match v {
        0..4 => LevelFilter::INFO,
        4..6 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

/// `I1120 09:47:05.123456   17 file.rs:12] "message" key="value"`.
struct Klog;

impl<S, N> FormatEvent<S, N> for Klog
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let meta = event.metadata();
        let severity = match *meta.level() {
            Level::ERROR => 'E',
            Level::WARN => 'W',
            _ => 'I',
        };
        let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
        let mut fields = Fields::default();
        event.record(&mut fields);
        write!(
            writer,
            "{severity}{:02}{:02} {:02}:{:02}:{:02}.{:06} {:7} {}:{}] {:?}",
            now.month(),
            now.day(),
            now.hour(),
            now.minute(),
            now.second(),
            now.subsec_nanosecond() / 1000,
            std::process::id(),
            file_name(meta.file()),
            meta.line().unwrap_or(0),
            fields.message,
        )?;
        for (key, value) in &fields.rest {
            match value {
                serde_json::Value::String(text) => write!(writer, " {key}={text:?}")?,
                other => write!(writer, " {key}={other}")?,
            }
        }
        writeln!(writer)
    }
}

/// `{"ts":1700000000123.456,"caller":"file.rs:12","msg":"message","v":0,"key":"value"}`.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let meta = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let caller = format!("{}:{}", file_name(meta.file()), meta.line().unwrap_or(0));
        let millis = jiff::Timestamp::now().as_nanosecond() as f64 / 1e6;
        write!(writer, "{{\"ts\":{millis:.3},\"caller\":{:?},\"msg\":{}", caller, quote(&fields.message))?;
        match *meta.level() {
            Level::ERROR => {}
            Level::TRACE => writer.write_str(",\"v\":6")?,
            Level::DEBUG => writer.write_str(",\"v\":4")?,
            _ => writer.write_str(",\"v\":0")?,
        }
        for (key, value) in &fields.rest {
            write!(writer, ",{}:{value}", quote(key))?;
        }
        writeln!(writer, "}}")
    }
}

fn quote(text: &str) -> serde_json::Value {
    serde_json::Value::String(text.to_owned())
}

fn file_name(path: Option<&str>) -> &str {
    path.and_then(|path| path.rsplit('/').next()).unwrap_or("?")
}

/// An event's message and its other fields, in order.
#[derive(Default)]
struct Fields {
    message: String,
    rest: Vec<(&'static str, serde_json::Value)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a String cannot fail; a Debug implementation that does leaves what it wrote so far.
        if write!(text, "{value:?}").is_err() {
            text.push_str("<unprintable>");
        }
        self.push(field, text.into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value.into());
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        self.push(field, text.into());
    }
}

impl Fields {
    fn push(&mut self, field: &Field, value: serde_json::Value) {
        match (field.name(), value) {
            ("message", serde_json::Value::String(text)) => self.message = text,
            (name, value) => self.rest.push((name, value)),
        }
    }
}
