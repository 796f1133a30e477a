//! Values of the libraries' own types.

use std::net::IpAddr;
use std::sync::Arc;

use api_types::quantity::Quantity;

use super::authorizer::{AccessCheck, Authorizer, AuthorizerDecision};
use super::format::Named;
use super::net::Cidr;
use super::url::Url;

/// A value of a library's own type.
#[derive(Clone)]
pub enum Opaque<'a> {
    /// `kubernetes.Quantity`
    Quantity(Quantity),
    /// `net.IP`
    Ip(IpAddr),
    /// `net.CIDR`
    Cidr(Cidr),
    /// `kubernetes.URL`
    Url(Arc<Url>),
    /// `kubernetes.NamedFormat`
    Format(&'static Named),
    /// `kubernetes.Semver`
    Semver(Arc<::semver::Version>),
    /// `kubernetes.authorization.Authorizer`: who decides.
    Authorizer(&'a dyn Authorizer),
    /// A check in the making, of a path, group or resource.
    Check(Arc<Check<'a>>),
    /// `kubernetes.authorization.Decision`
    Decision(Arc<AuthorizerDecision>),
}

/// A check in the making.
#[derive(Clone)]
pub struct Check<'a> {
    pub(crate) authorizer: &'a dyn Authorizer,
    pub(crate) kind: CheckKind,
    pub(crate) access: AccessCheck,
}

/// How far a check has been spelled out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckKind {
    /// An authorizer for somebody else.
    Authorizer,
    Path,
    Group,
    Resource,
}

impl Opaque<'_> {
    /// The type's name.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Ip(_) => "net.IP",
            Self::Cidr(_) => "net.CIDR",
            Self::Url(_) => "kubernetes.URL",
            Self::Format(_) => "kubernetes.NamedFormat",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Authorizer(_) => "kubernetes.authorization.Authorizer",
            Self::Check(check) => match check.kind {
                CheckKind::Authorizer => "kubernetes.authorization.Authorizer",
                CheckKind::Path => "kubernetes.authorization.PathCheck",
                CheckKind::Group => "kubernetes.authorization.GroupCheck",
                CheckKind::Resource => "kubernetes.authorization.ResourceCheck",
            },
            Self::Decision(_) => "kubernetes.authorization.Decision",
        }
    }

    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Ip(ip) => {
                if ip.is_ipv4() {
                    4
                } else {
                    16
                }
            }
            Self::Cidr(cidr) => {
                if cidr.ip.is_ipv4() {
                    4
                } else {
                    16
                }
            }
            _ => 1,
        }
    }

    pub(crate) fn equal(&self, other: &Opaque<'_>) -> bool {
        match (self, other) {
            (Self::Quantity(a), Opaque::Quantity(b)) => a == b,
            (Self::Ip(a), Opaque::Ip(b)) => a == b,
            (Self::Cidr(a), Opaque::Cidr(b)) => a == b,
            (Self::Url(a), Opaque::Url(b)) => a == b,
            (Self::Format(a), Opaque::Format(b)) => a.name == b.name,
            (Self::Semver(a), Opaque::Semver(b)) => a.cmp_precedence(b).is_eq(),
            _ => false,
        }
    }
}

impl std::fmt::Debug for Opaque<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.type_name())
    }
}
