//! `ctl get --watch`: objects, then what becomes of them.

use futures::TryStreamExt;
use futures::io::AsyncBufReadExt;
use serde_json::Value;

use super::get::{Flags, hide_managed_fields};
use crate::error::{Error, Result};
use crate::output::Format;
use crate::output::table::Widths;
use crate::session::{Session, with_query};
use crate::target::Target;

/// Shows a collection or an object, then every change of it, until interrupted or the server ends the watch.
pub(super) async fn run(session: &Session, flags: &Flags, format: &Format, target: &Target) -> Result<()> {
    let mut collection = target.clone();
    let mut selection = flags.selection.clone();
    if let Some(name) = collection.name.take() {
        // A watch is of a collection; the object must exist all the same.
        session.get(&target.path()).await?;
        selection.field_selector = format!("metadata.name={name}");
    }
    let path = with_query(collection.path(), &selection.query());
    let mut shown = Shown { flags, format, target, widths: Widths::default(), headed: flags.no_headers };
    let first = if format.is_table() { session.table(&path).await? } else { session.get(&path).await? };
    if !flags.watch_only {
        shown.first(&first)?;
    }
    let version = first["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    let changes = follow(session, &path, version, &mut shown);
    let limit = session.request_timeout();
    if limit.is_zero() {
        return changes.await;
    }
    // The time that was asked for is over: that is how such a watch ends, not a failure.
    tokio::time::timeout(limit, changes).await.unwrap_or(Ok(()))
}

async fn follow(session: &Session, path: &str, version: &str, shown: &mut Shown<'_>) -> Result<()> {
    let path = with_query(path.to_owned(), &[("watch", "true"), ("resourceVersion", version)]);
    let accept = if shown.format.is_table() {
        "application/json;as=Table;v=v1;g=meta.k8s.io"
    } else {
        "application/json"
    };
    let failed = |error| session.failure("watch", error);
    let request = http::Request::get(&path).header("accept", accept).body(Vec::new());
    let request = request.map_err(|error| failed(client::kube::Error::HttpError(error)))?;
    let mut lines = session.client().request_stream(request).await.map_err(failed)?.lines();
    let read = |source| Error::Io { attempted: "read the watch", source };
    while let Some(line) = lines.try_next().await.map_err(read)? {
        let event: Value = serde_json::from_str(&line).map_err(Error::Json)?;
        let object = &event["object"];
        match event["type"].as_str().unwrap_or_default() {
            "ERROR" => {
                let message = object["message"].as_str().unwrap_or("the watch failed");
                return Err(Error::Usage(message.to_owned()));
            }
            "BOOKMARK" => {}
            kind => shown.change(kind, object)?,
        }
    }
    Ok(())
}

/// What is on the screen so far: columns keep the widths that they had.
struct Shown<'a> {
    flags: &'a Flags,
    format: &'a Format,
    target: &'a Target,
    widths: Widths,
    headed: bool,
}

impl Shown<'_> {
    fn first(&mut self, answer: &Value) -> Result<()> {
        if self.format.is_table() {
            if answer["rows"].as_array().is_some_and(|rows| !rows.is_empty()) {
                self.change("ADDED", answer)?;
            }
            return Ok(());
        }
        for item in answer["items"].as_array().into_iter().flatten() {
            let mut item = item.clone();
            item["kind"] = Value::String(self.target.resource.kind.clone());
            item["apiVersion"] = Value::String(self.target.resource.api_version());
            self.change("ADDED", &item)?;
        }
        Ok(())
    }

    fn change(&mut self, event: &str, object: &Value) -> Result<()> {
        if !self.format.is_table() {
            let mut object = object.clone();
            if !self.flags.show_managed_fields {
                hide_managed_fields(&mut object);
            }
            if matches!(self.format, Format::Yaml) {
                println!("---");
            }
            print!("{}", self.format.render(&[(object, self.target.resource.clone())], false)?);
            return Ok(());
        }
        let mut table = self.flags.table(object, self.format, &self.target.resource, false);
        if self.flags.output_watch_events {
            table.prepend("EVENT", event);
        }
        if std::mem::replace(&mut self.headed, true) {
            table.heading.clear();
        }
        print!("{}", table.render_remembering(&mut self.widths));
        Ok(())
    }
}
