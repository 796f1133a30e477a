//! Why the server was not reached, in words that name the cure.

use std::error::Error as StdError;
use std::io::ErrorKind;

use client::kube;
use rustls::CertificateError::{
    BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer,
};

use crate::error::{Error, causes};

/// The failure of a request to `server` (`HOST:PORT`); `attempted` is an infinitive without "to".
pub fn failure(server: &str, attempted: String, error: kube::Error) -> Error {
    if let kube::Error::Api(status) = error {
        return Error::Server(status);
    }
    let mut next: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(cause) = next {
        if let Some(text) = explained(server, cause) {
            return Error::Unreachable(text);
        }
        next = cause.source();
    }
    if let kube::Error::Service(_) | kube::Error::HyperError(_) = &error {
        return Error::Unreachable(format!("Unable to connect to the server {server}: {}", causes(&error)));
    }
    Error::Request { attempted, source: Box::new(error) }
}

fn explained(server: &str, cause: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(error) = cause.downcast_ref::<rustls::Error>() {
        return Some(tls(server, error));
    }
    let io = cause.downcast_ref::<std::io::Error>()?;
    // An error wrapped in an io::Error is not among its sources.
    if let Some(error) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return Some(tls(server, error));
    }
    let text = match io.kind() {
        ErrorKind::ConnectionRefused => {
            format!(
                "The connection to the server {server} was refused - did you specify the right host or port?"
            )
        }
        ErrorKind::TimedOut => {
            format!(
                "Unable to connect to the server: {server} does not answer; is the host up and the port open?"
            )
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            format!("Unable to connect to the server: there is no route to {server}: {io}")
        }
        _ => return None,
    };
    Some(text)
}

fn tls(server: &str, error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(reason) = error else {
        return format!("Unable to connect to the server: no TLS with {server}: {error}");
    };
    let (why, cure) = match reason {
        UnknownIssuer | BadSignature => (
            "x509: certificate signed by unknown authority",
            "the kubeconfig's certificate-authority did not sign it: the file belongs to another cluster, or to an earlier one at this address",
        ),
        Expired | ExpiredContext { .. } => (
            "x509: certificate has expired or is not yet valid",
            "renew the server's certificate, or set this machine's clock",
        ),
        NotValidForName | NotValidForNameContext { .. } => (
            "x509: certificate is not valid for this name",
            "use a name of the server's certificate, or give one as tls-server-name in the kubeconfig",
        ),
        other => {
            return format!(
                "Unable to connect to the server: tls: failed to verify certificate of {server}: {other:?}"
            );
        }
    };
    format!("Unable to connect to the server: tls: failed to verify certificate: {why}\n({server}: {cure})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: std::io::Error) -> String {
        failure("10.0.0.1:6443", "GET /".into(), kube::Error::Service(Box::new(source))).to_string()
    }

    #[test]
    fn each_cause_has_its_words() {
        assert_eq!(
            text(ErrorKind::ConnectionRefused.into()),
            "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?"
        );
        let foreign = rustls::Error::InvalidCertificate(UnknownIssuer);
        let shown = text(std::io::Error::new(ErrorKind::InvalidData, foreign));
        assert!(shown.contains("certificate signed by unknown authority\n(10.0.0.1:6443: "), "{shown}");
        assert!(
            text(std::io::Error::other("odd")).starts_with("Unable to connect to the server 10.0.0.1:6443: ")
        );
    }
}
