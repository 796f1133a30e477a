//! How objects are shown.

pub mod jsonpath;
pub mod outcome;
pub mod table;
pub mod tabs;
pub mod time;
pub mod yaml;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::resources::ApiResource;
use jsonpath::Template;

/// What `-o` asks for.
#[derive(Debug)]
pub enum Format {
    /// The server's columns; all of them when `wide`.
    Table {
        /// Whether to show the columns of lower priority too.
        wide: bool,
    },
    /// YAML.
    Yaml,
    /// JSON.
    Json,
    /// `KIND/NAME`.
    Name,
    /// A JSONPath template.
    JsonPath(Template),
    /// What a JSONPath finds, as a JSON list.
    JsonPathAsJson(Template),
    /// Columns of the user's own: heading and path.
    CustomColumns(Vec<(String, Template)>),
}

impl Format {
    /// Parses the value of `-o`; nothing means the table.
    ///
    /// # Errors
    /// When there is no such format, or its template cannot be parsed.
    pub fn parse(value: Option<&str>) -> Result<Self> {
        let Some(value) = value else { return Ok(Self::Table { wide: false }) };
        let (name, argument) = value.split_once('=').unwrap_or((value, ""));
        let template = |text: &str| Template::parse(text).map_err(|error| Error::Usage(error.to_string()));
        match name {
            "wide" => Ok(Self::Table { wide: true }),
            "yaml" => Ok(Self::Yaml),
            "json" => Ok(Self::Json),
            "name" => Ok(Self::Name),
            "jsonpath" => Ok(Self::JsonPath(template(argument)?)),
            "jsonpath-as-json" => Ok(Self::JsonPathAsJson(template(argument)?)),
            "jsonpath-file" => {
                let text =
                    std::fs::read_to_string(argument).map_err(|source| Error::file(argument, source))?;
                Ok(Self::JsonPath(template(text.trim_end())?))
            }
            "custom-columns" => {
                let columns = argument.split(',').map(|column| {
                    let (heading, path) = column.split_once(':').ok_or_else(|| {
                        Error::Usage(format!(
                            "unexpected custom-columns spec: {column}, expected <header>:<json-path-expr>"
                        ))
                    })?;
                    Ok((heading.to_owned(), template(path)?))
                });
                Ok(Self::CustomColumns(columns.collect::<Result<_>>()?))
            }
            _ => Err(Error::Usage(format!(
                "unable to match a printer suitable for the output format {value:?}, allowed formats are: \
                 custom-columns,json,jsonpath,jsonpath-as-json,jsonpath-file,name,wide,yaml"
            ))),
        }
    }

    /// Whether it is the table with all columns.
    pub fn is_wide(&self) -> bool {
        matches!(self, Self::Table { wide: true })
    }

    /// Whether the server renders this one.
    pub fn is_table(&self) -> bool {
        matches!(self, Self::Table { .. })
    }

    /// Renders objects that the client has whole. `as_list` wraps them in a List even when there is just one.
    ///
    /// # Errors
    /// When an object cannot be written as YAML.
    pub fn render(&self, objects: &[(Value, ApiResource)], as_list: bool) -> Result<String> {
        let whole = || match objects {
            [(object, _)] if !as_list => object.clone(),
            _ => {
                let items: Vec<&Value> = objects.iter().map(|(object, _)| object).collect();
                json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
            }
        };
        match self {
            Self::Yaml => Ok(yaml::to_string(&whole())),
            Self::Json => pretty(&whole()),
            Self::JsonPath(template) => {
                template.render(&whole()).map_err(|error| Error::Usage(error.to_string()))
            }
            Self::JsonPathAsJson(template) => {
                let whole = whole();
                let found = template.values(&whole);
                pretty(&json!(found))
            }
            Self::Name => {
                let line =
                    |(object, resource): &(Value, ApiResource)| format!("{}\n", resource.describe(object));
                Ok(objects.iter().map(line).collect())
            }
            Self::CustomColumns(columns) => {
                let cell = |object: &Value, template: &Template| {
                    let values: Vec<String> = template.values(object).into_iter().map(cell_text).collect();
                    if values.is_empty() { "<none>".to_owned() } else { values.join(",") }
                };
                let rows = objects
                    .iter()
                    .map(|(object, _)| columns.iter().map(|(_, template)| cell(object, template)).collect());
                let heading = columns.iter().map(|(heading, _)| heading.clone()).collect();
                Ok(table::Table { heading, rows: rows.collect() }.render())
            }
            Self::Table { .. } => Err(Error::Usage("a table is made by the server".into())),
        }
    }
}

fn cell_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<none>".to_owned(),
        other => other.to_string(),
    }
}

/// JSON as kubectl prints it, four spaces deep.
fn pretty(value: &Value) -> Result<String> {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    serde::Serialize::serialize(value, &mut serializer).map_err(Error::Json)?;
    out.push(b'\n');
    Ok(String::from_utf8_lossy(&out).into_owned())
}
