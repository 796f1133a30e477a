//! What changing verbs print, and whether they change anything.

use serde_json::Value;

use super::Format;
use crate::error::Result;
use crate::resources::ApiResource;

/// Flags of every verb that changes objects.
#[derive(clap::Args, Clone, Debug)]
pub struct Outcome {
    /// Print the result: yaml, json, name, jsonpath=...
    #[arg(long, short = 'o', global = true, value_name = "FORMAT")]
    output: Option<String>,
    /// client: send nothing. server: have everything checked, but nothing stored.
    #[arg(long, global = true, value_enum, value_name = "none|client|server", default_value = "none")]
    dry_run: DryRun,
    /// The name that the server remembers these fields' owner by.
    #[arg(long, global = true, value_name = "NAME")]
    field_manager: Option<String>,
}

/// How far a change goes.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// All the way.
    None,
    /// It is not sent.
    Client,
    /// It is checked, but not stored.
    Server,
}

impl Outcome {
    /// Whether nothing is to be sent.
    pub fn is_client_side(&self) -> bool {
        self.dry_run == DryRun::Client
    }

    /// Whether the change is to be made.
    pub fn is_real(&self) -> bool {
        self.dry_run == DryRun::None
    }

    /// The query parameters of the write; `manager` owns the fields unless the user says otherwise.
    pub fn query<'a>(&'a self, manager: &'a str) -> [(&'static str, &'a str); 2] {
        [
            ("dryRun", if self.dry_run == DryRun::Server { "All" } else { "" }),
            ("fieldManager", self.field_manager.as_deref().unwrap_or(manager)),
        ]
    }

    /// `created`, `created (server dry run)`.
    pub fn done(&self, done: &str) -> String {
        match self.dry_run {
            DryRun::None => done.to_owned(),
            DryRun::Client => format!("{done} (dry run)"),
            DryRun::Server => format!("{done} (server dry run)"),
        }
    }

    /// Prints `pod/web created`, or the object as `-o` asks for.
    ///
    /// # Errors
    /// When `-o` asks for something that does not exist.
    pub fn print(&self, resource: &ApiResource, object: Value, done: &str) -> Result<()> {
        match Format::parse(self.output.as_deref())? {
            Format::Table { .. } => println!("{} {}", resource.describe(&object), self.done(done)),
            format => {
                let mut object = object;
                crate::verbs::get::hide_managed_fields(&mut object);
                print!("{}", format.render(&[(object, resource.clone())], false)?);
            }
        }
        Ok(())
    }

    /// Whether `-o name` is asked for.
    pub fn is_name(&self) -> bool {
        self.output.as_deref() == Some("name")
    }
}
