//! Failures in the words of Go's network and HTTP libraries, and of client-go.

use std::io;

use api_types::field::quote;
use http::StatusCode;
use rustls::CertificateError;

/// Why no TCP connection was made.
pub(super) fn dial(address: &str, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {address}: {why}")
}

/// Why TLS was not agreed upon.
pub(super) fn handshake(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(why)) => {
            format!("tls: failed to verify certificate: x509: {}", certificate(why))
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            "tls: first record does not look like a TLS handshake".to_owned()
        }
        Some(other) => format!("tls: {other}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        None => error.to_string(),
    }
}

fn certificate(why: &CertificateError) -> String {
    match why {
        // A signer of the right name with another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "certificate signed by unknown authority".to_owned()
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "certificate has expired or is not yet valid".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().map(|name| bare_name(name)).collect();
            format!("certificate is valid for {}, not {}", names.join(", "), expected.to_str())
        }
        CertificateError::NotValidForName => "certificate is not valid for any names".to_owned(),
        other => other.to_string(),
    }
}

/// `DnsName("a.b")` without its wrapping.
fn bare_name(presented: &str) -> &str {
    presented.split_once('(').map_or(presented, |(_, rest)| rest.trim_end_matches(')').trim_matches('"'))
}

/// What an answer that is no success means; `text` is its body when that is text.
pub(super) fn refusal(status: StatusCode, text: &str) -> String {
    let text = if text.is_empty() { "unknown" } else { text };
    match status.as_u16() {
        400 => "the server rejected our request for an unknown reason".to_owned(),
        401 => "the server has asked for the client to provide credentials".to_owned(),
        403 => text.to_owned(),
        404 => "the server could not find the requested resource".to_owned(),
        405 => "the server does not allow this method on the requested resource".to_owned(),
        406 => "the server was unable to respond with a content type that the client supports".to_owned(),
        409 => "the server reported a conflict".to_owned(),
        415 => "the body of the request was in an unknown format - accepted media types include: ".to_owned(),
        422 => "the server rejected our request due to an error in our request".to_owned(),
        429 => "the server has received too many requests and has asked us to try again later".to_owned(),
        503 => "the server is currently unable to handle the request".to_owned(),
        504 => "the server was unable to return a response in the time allotted, but may still be processing the request".to_owned(),
        code if code >= 500 => {
            format!("an error on the server ({}) has prevented the request from succeeding", quote(text))
        }
        code => {
            format!("the server responded with the status code {code} but did not return more information")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_read_as_administrators_know_them() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(dial("10.0.0.1:443", &refused), "dial tcp 10.0.0.1:443: connect: connection refused");
        let stranger = io::Error::other(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert_eq!(
            handshake(&stranger),
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        );
        for (code, words) in [
            (302, "the server responded with the status code 302 but did not return more information"),
            (404, "the server could not find the requested resource"),
            (500, r#"an error on the server ("boom") has prevented the request from succeeding"#),
        ] {
            assert_eq!(refusal(StatusCode::from_u16(code).unwrap(), "boom"), words);
        }
    }
}
