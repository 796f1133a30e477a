//! Columns of text, as `get` prints them.

use serde_json::Value;

/// Space between two columns.
const GAP: usize = 3;

/// Widths of a table's columns.
#[derive(Clone, Debug, Default)]
pub struct Widths(Vec<usize>);

/// Rows of cells under a heading.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Heading; empty for none.
    pub heading: Vec<String>,
    /// Cells, row by row.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Takes what is to be shown from a server's `meta.k8s.io/v1 Table`: columns of priority 0, all of them when `wide`;
    /// with the namespace in front when `namespaces`; names as `KIND/NAME` when `kind` is given.
    pub fn from_server(table: &Value, wide: bool, namespaces: bool, kind: Option<&str>) -> Self {
        let columns = table["columnDefinitions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let shown = |column: &Value| wide || column["priority"].as_i64().unwrap_or(0) == 0;
        let mut heading: Vec<String> = Vec::new();
        if namespaces {
            heading.push("NAMESPACE".into());
        }
        let named = columns.iter().filter(|column| shown(column));
        heading.extend(named.map(|column| column["name"].as_str().unwrap_or_default().to_uppercase()));
        let rows = table["rows"].as_array().map(Vec::as_slice).unwrap_or_default().iter().map(|row| {
            let mut cells = Vec::new();
            if namespaces {
                cells.push(text(&row["object"]["metadata"]["namespace"]));
            }
            let values = row["cells"].as_array().map(Vec::as_slice).unwrap_or_default();
            for (column, value) in columns.iter().zip(values).filter(|(column, _)| shown(column)) {
                let is_name = column["format"] == "name";
                cells.push(match kind {
                    Some(kind) if is_name => format!("{kind}/{}", text(value)),
                    _ => text(value),
                });
            }
            cells
        });
        Self { heading, rows: rows.collect() }
    }

    /// The table as text, a line per row, columns aligned.
    pub fn render(&self) -> String {
        self.render_remembering(&mut Widths::default())
    }

    /// Puts one more column in front, with the same cell in every row.
    pub fn prepend(&mut self, heading: &str, cell: &str) {
        self.heading.insert(0, heading.to_owned());
        self.rows.iter_mut().for_each(|row| row.insert(0, cell.to_owned()));
    }

    /// The same, under a table printed earlier: columns are at least as wide as they were.
    pub fn render_remembering(&self, widths: &mut Widths) -> String {
        let widths = &mut widths.0;
        let lines = || std::iter::once(&self.heading).filter(|heading| !heading.is_empty()).chain(&self.rows);
        for row in lines() {
            for (index, cell) in row.iter().enumerate() {
                let width = cell.chars().count();
                match widths.get_mut(index) {
                    Some(known) => *known = (*known).max(width),
                    None => widths.push(width),
                }
            }
        }
        let mut out = String::new();
        for row in lines() {
            for (index, cell) in row.iter().enumerate() {
                out.push_str(cell);
                if index + 1 < row.len() {
                    let pad = widths[index] + GAP - cell.chars().count();
                    out.extend(std::iter::repeat_n(' ', pad));
                }
            }
            out.push('\n');
        }
        out
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.lines().next().unwrap_or_default().to_owned(),
        Value::Null => "<none>".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn priorities_namespaces_and_kinds() {
        let server = json!({
            "columnDefinitions": [
                {"name": "Name", "format": "name", "priority": 0},
                {"name": "Ready", "format": "", "priority": 0},
                {"name": "IP", "format": "", "priority": 1},
            ],
            "rows": [{"cells": ["a-long-name", "1/1", null], "object": {"metadata": {"namespace": "default"}}},
                     {"cells": ["b", 0, "10.0.0.1"], "object": {"metadata": {"namespace": "kube-system"}}}],
        });
        assert_eq!(
            Table::from_server(&server, false, false, None).render(),
            "NAME          READY\na-long-name   1/1\nb             0\n"
        );
        assert_eq!(
            Table::from_server(&server, true, true, Some("pod")).render(),
            "NAMESPACE     NAME              READY   IP\n\
             default       pod/a-long-name   1/1     <none>\n\
             kube-system   pod/b             0       10.0.0.1\n"
        );
    }
}
