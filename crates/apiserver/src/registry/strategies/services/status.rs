//! What a load balancer's controller may report.

use std::net::IpAddr;

use api_types::field::{Error, ErrorList, Path};
use api_types::name;
use serde_json::Value;

use super::fields;

/// Checks `status.loadBalancer`.
pub fn check(service: &Value) -> ErrorList {
    let path = Path::new("status.loadBalancer.ingress");
    let mut errors = ErrorList::new();
    let points =
        service["status"]["loadBalancer"]["ingress"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !points.is_empty() && fields::kind(service) != "LoadBalancer" {
        errors.push(Error::forbidden(&path, "may only be used when `spec.type` is 'LoadBalancer'"));
        return errors;
    }
    for (i, point) in points.iter().enumerate() {
        check_point(point, &path.index(i), &mut errors);
    }
    errors
}

fn check_point(point: &Value, at: &Path<'_>, errors: &mut ErrorList) {
    let text = |key: &str| point[key].as_str().filter(|text| !text.is_empty());
    if let Some(ip) = text("ip")
        && ip.parse::<IpAddr>().is_err()
    {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        errors.push(Error::invalid(&at.child("ip"), ip, why));
    }
    if let Some(mode) = text("ipMode")
        && !matches!(mode, "Proxy" | "VIP")
    {
        errors.push(Error::not_supported(&at.child("ipMode"), mode, &["Proxy", "VIP"]));
    }
    if let Some(host) = text("hostname") {
        let path = at.child("hostname");
        for why in name::dns1123_subdomain(host) {
            errors.push(Error::invalid(&path, host, why));
        }
        if host.parse::<IpAddr>().is_ok() {
            errors.push(Error::invalid(&path, host, "must be a DNS name, not an IP address"));
        }
    }
}
