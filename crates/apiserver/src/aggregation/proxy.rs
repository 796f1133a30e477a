//! Requests for remote group versions: passed on in the user's name.

use std::sync::Arc;

use access::UserInfo;
use http::header::{HOST, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};

use super::Remote;
use crate::error::{Error, Result};
use crate::filters::Call;
use crate::http::body::Body;
use crate::http::respond;
use crate::streams::relay;

/// Passes a request on to the server that serves its group version.
///
/// # Errors
/// The request cannot be put into the form in which it is passed on.
pub async fn serve(remote: Arc<Remote>, call: Call) -> Result<Response<Body>> {
    if !remote.is_available() {
        return Ok(unavailable("service unavailable"));
    }
    let clients = remote.clients();
    let client = match &clients.requests {
        Ok(client) => client,
        Err(why) => return Ok(respond::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n"))),
    };
    let path = call.parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri: Uri = format!("{}{path}", client.origin()).parse().map_err(Error::internal)?;
    let user = call.user.clone();
    let (mut request, ours) = relay::outgoing(call, uri);
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let headers = request.headers_mut();
    speak_for(headers, &user);
    if let Some(authority) = authority.and_then(|authority| HeaderValue::from_str(&authority).ok()) {
        headers.insert(HOST, authority);
    }
    match client.forward(request).await {
        Ok(response) => relay::incoming(response, ours),
        Err(error) => {
            tracing::warn!(apiservice = remote.name, %error, "cannot pass a request on");
            // The checks find out whether this was more than bad luck.
            remote.nudge.notify_one();
            Ok(unavailable(&format!("error trying to reach service: {error}")))
        }
    }
}

fn unavailable(why: &str) -> Response<Body> {
    respond::text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"))
}

/// Says for whom the request is, in the headers that aggregated servers believe a front proxy.
fn speak_for(headers: &mut HeaderMap, user: &UserInfo) {
    let claimed: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("x-remote-")).cloned().collect();
    for name in claimed {
        headers.remove(name);
    }
    let mut add = |name: &str, value: &str| {
        let pair = (HeaderName::try_from(name), HeaderValue::from_str(value));
        match pair {
            (Ok(name), Ok(value)) => drop(headers.append(name, value)),
            _ => tracing::warn!(name, "a part of the user's identity cannot be a header; it is left out"),
        }
    };
    add("x-remote-user", &user.name);
    if !user.uid.is_empty() {
        add("x-remote-uid", &user.uid);
    }
    for group in &user.groups {
        add("x-remote-group", group);
    }
    for (key, values) in &user.extra {
        for value in values {
            add(&format!("x-remote-extra-{}", escape(key)), value);
        }
    }
}

/// Percent-encodes what a header's name may not contain (RFC 9110, 5.6.2), and `%` itself.
fn escape(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte) {
            out.push(char::from(byte.to_ascii_lowercase()));
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_named_and_nobody_else() {
        let mut headers = HeaderMap::new();
        headers.insert("x-remote-user", HeaderValue::from_static("mallory"));
        headers.insert("x-remote-extra-scopes", HeaderValue::from_static("all"));
        let mut user = UserInfo::new("alice", ["a", "b"]);
        user.extra.insert("example.com/key".into(), vec!["v".into()]);
        speak_for(&mut headers, &user);
        assert_eq!(headers["x-remote-user"], "alice");
        assert_eq!(headers.get_all("x-remote-group").iter().count(), 2);
        assert_eq!(headers["x-remote-extra-example.com%2fkey"], "v");
        assert!(!headers.contains_key("x-remote-extra-scopes"));
    }
}
