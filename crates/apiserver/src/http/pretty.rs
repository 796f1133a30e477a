//! JSON for people: indented, for browsers and command-line tools, or where `?pretty` asks for it.
//!
//! The text is laid out while it streams: no document is parsed or held.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;

use super::body::Body;
use super::query::Query;

/// Clients that show a response to a person.
const SHOWN_BY: [&str; 3] = ["curl", "Wget", "Mozilla/5.0"];

/// Whether the client wants indented JSON.
pub fn wanted(headers: &HeaderMap, query: &Query) -> bool {
    if let Some(asked) = query.get("pretty").filter(|asked| !asked.is_empty()) {
        return matches!(asked, "1" | "t" | "T" | "true" | "TRUE" | "True");
    }
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    SHOWN_BY.iter().any(|prefix| agent.starts_with(prefix))
}

/// Whether a response is JSON that is not compressed already.
pub fn applies(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json")
        && !headers.contains_key(CONTENT_ENCODING)
}

/// The response with its JSON body indented by two spaces.
pub fn indent(response: Response<Body>) -> Response<Body> {
    let mut indenter = Indenter::default();
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    let body = body.map_frame(move |frame| {
        frame.map_data(|data| {
            let mut out = Vec::with_capacity(data.len() * 2);
            indenter.push(&data, &mut out);
            Bytes::from(out)
        })
    });
    Response::from_parts(parts, body.boxed_unsync())
}

/// Lays out JSON text that comes in pieces.
#[derive(Default)]
struct Indenter {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// A container was opened, and nothing has been written in it yet.
    opened: bool,
}

impl Indenter {
    fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for &byte in text {
            if self.in_string {
                out.push(byte);
                self.in_string = self.escaped || byte != b'"';
                self.escaped = !self.escaped && byte == b'\\';
                continue;
            }
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' => {}
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if !std::mem::take(&mut self.opened) {
                        self.line(out);
                    }
                    out.push(byte);
                }
                b',' => {
                    out.push(byte);
                    self.line(out);
                }
                b':' => out.extend_from_slice(b": "),
                _ => self.value(byte, out),
            }
        }
    }

    fn value(&mut self, byte: u8, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.opened) {
            self.line(out);
        }
        out.push(byte);
        match byte {
            b'{' | b'[' => {
                self.depth += 1;
                self.opened = true;
            }
            b'"' => self.in_string = true,
            _ => {}
        }
    }

    fn line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        out.resize(out.len() + 2 * self.depth, b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_laid_out_across_pieces() {
        let value = serde_json::json!({"a": [1, {"b": "x\\\"{,:"}], "c": {}, "d": [], "e": null});
        let text = format!("{value}\n");
        for cut in 0..text.len() {
            let (mut indenter, mut out) = (Indenter::default(), Vec::new());
            indenter.push(&text.as_bytes()[..cut], &mut out);
            indenter.push(&text.as_bytes()[cut..], &mut out);
            assert_eq!(
                String::from_utf8(out).unwrap(),
                serde_json::to_string_pretty(&value).unwrap(),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn tools_and_queries_ask_for_it() {
        let agent =
            |name: &'static str| HeaderMap::from_iter([(USER_AGENT, http::HeaderValue::from_static(name))]);
        let cases = [
            ("curl/8", "", true),
            ("curl/8", "pretty=false", false),
            ("kubectl/1.36", "", false),
            ("kubectl/1.36", "pretty=true", true),
            ("kubectl/1.36", "pretty=yes", false),
        ];
        for (name, query, expected) in cases {
            assert_eq!(wanted(&agent(name), &Query::parse(query)), expected, "{name} {query}");
        }
    }
}
