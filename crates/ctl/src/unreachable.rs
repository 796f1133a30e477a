//! Why the server was not reached, in words that name the cure.

use client::{Trouble, kube};

use crate::error::{Error, causes};

/// The failure of a request to `server` (`HOST:PORT`); `attempted` is an infinitive without "to".
pub fn failure(server: &str, attempted: String, error: kube::Error) -> Error {
    if let kube::Error::Api(status) = error {
        return Error::Server(status);
    }
    let trouble = Trouble::of(&error);
    Error::Unreachable(match &trouble {
        Trouble::Refused => {
            format!(
                "The connection to the server {server} was refused - did you specify the right host or port?"
            )
        }
        Trouble::Silent => {
            format!(
                "Unable to connect to the server: {server} does not answer; is the host up and the port open?"
            )
        }
        Trouble::NoRoute(why) => {
            format!("Unable to connect to the server: there is no route to {server}: {why}")
        }
        Trouble::ForeignServer | Trouble::ExpiredServer | Trouble::WrongName => {
            let cure = trouble.cure().unwrap_or_default();
            format!(
                "Unable to connect to the server: tls: failed to verify certificate: {trouble}\n({server}: {cure})"
            )
        }
        Trouble::Tls(why) => format!("Unable to connect to the server: no TLS with {server}: {why}"),
        _ => match &error {
            kube::Error::Service(_) | kube::Error::HyperError(_) => {
                format!("Unable to connect to the server {server}: {}", causes(&error))
            }
            _ => return Error::Request { attempted, source: Box::new(error) },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use rustls::CertificateError::UnknownIssuer;

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
