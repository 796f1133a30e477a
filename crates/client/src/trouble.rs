//! Why requests fail, told apart by types and codes, with the cure.

use std::error::Error as StdError;
use std::fmt;
use std::io::ErrorKind;

use rustls::CertificateError::{
    BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer,
};

/// What is wrong between this process and the apiserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing listens at the address.
    Refused,
    /// The address does not answer.
    Silent,
    /// No route leads to the address.
    NoRoute(String),
    /// The server's certificate is not one that the client's CA signed.
    ForeignServer,
    /// The server's certificate has ended, or begins in the future of this machine's clock.
    ExpiredServer,
    /// The server's certificate is for other names.
    WrongName,
    /// TLS fails for another reason.
    Tls(String),
    /// The server does not know who asks (401).
    Unauthorized,
    /// The server knows who asks and refuses (403), with its message.
    Forbidden(String),
    /// Any other answer of the server, by its message.
    Answer(String),
    /// Anything else.
    Other(String),
}

impl Trouble {
    /// What an error means.
    pub fn of(error: &kube::Error) -> Self {
        if let kube::Error::Api(status) = error {
            return match status.code {
                401 => Self::Unauthorized,
                403 => Self::Forbidden(status.message.clone()),
                _ => Self::Answer(status.message.clone()),
            };
        }
        let mut next: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(cause) = next {
            if let Some(trouble) = of_cause(cause) {
                return trouble;
            }
            next = cause.source();
        }
        Self::Other(innermost(error))
    }

    /// What mends it, where that can be said.
    pub fn cure(&self) -> Option<&'static str> {
        Some(match self {
            Self::Refused => "is kube-apiserver running, and is this its address and port?",
            Self::Silent => "is the host up, and does a firewall let its port through?",
            Self::NoRoute(_) => "check this machine's addresses and routes",
            Self::ForeignServer => {
                "the kubeconfig's certificate-authority did not sign it: the file belongs to another cluster, or to an earlier one at this address"
            }
            Self::ExpiredServer => "renew the server's certificate, or set this machine's clock",
            Self::WrongName => {
                "use a name of the server's certificate, or give one as tls-server-name in the kubeconfig"
            }
            Self::Unauthorized => {
                "the certificate or token of the kubeconfig's user has expired or belongs to another cluster: get a new one"
            }
            Self::Forbidden(_) => {
                "use the kubeconfig that was made for this component, or grant its user the access with RBAC"
            }
            Self::Tls(_) | Self::Answer(_) | Self::Other(_) => return None,
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::Silent => f.write_str("no answer in time"),
            Self::NoRoute(text) | Self::Tls(text) | Self::Other(text) => f.write_str(text),
            Self::ForeignServer => f.write_str("x509: certificate signed by unknown authority"),
            Self::ExpiredServer => f.write_str("x509: certificate has expired or is not yet valid"),
            Self::WrongName => f.write_str("x509: certificate is not valid for this name"),
            Self::Unauthorized => f.write_str("the server does not know this client (401 Unauthorized)"),
            Self::Forbidden(message) | Self::Answer(message) => f.write_str(message),
        }
    }
}

fn of_cause(cause: &(dyn StdError + 'static)) -> Option<Trouble> {
    if let Some(error) = cause.downcast_ref::<rustls::Error>() {
        return Some(of_tls(error));
    }
    let io = cause.downcast_ref::<std::io::Error>()?;
    // An error wrapped in an io::Error is not among its sources.
    if let Some(error) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return Some(of_tls(error));
    }
    match io.kind() {
        ErrorKind::ConnectionRefused => Some(Trouble::Refused),
        ErrorKind::TimedOut => Some(Trouble::Silent),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Some(Trouble::NoRoute(io.to_string())),
        _ => None,
    }
}

fn of_tls(error: &rustls::Error) -> Trouble {
    match error {
        rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature) => Trouble::ForeignServer,
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => Trouble::ExpiredServer,
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            Trouble::WrongName
        }
        rustls::Error::InvalidCertificate(other) => {
            Trouble::Tls(format!("tls: failed to verify certificate: {other:?}"))
        }
        other => Trouble::Tls(other.to_string()),
    }
}

fn innermost(error: &kube::Error) -> String {
    let mut last: &dyn StdError = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: std::io::Error) -> Trouble {
        Trouble::of(&kube::Error::Service(Box::new(source)))
    }

    #[test]
    fn causes_are_told_apart() {
        assert_eq!(of(ErrorKind::ConnectionRefused.into()), Trouble::Refused);
        let foreign = rustls::Error::InvalidCertificate(UnknownIssuer);
        assert_eq!(of(std::io::Error::new(ErrorKind::InvalidData, foreign)), Trouble::ForeignServer);
        assert_eq!(of(std::io::Error::other("odd")), Trouble::Other("odd".into()));
    }
}
