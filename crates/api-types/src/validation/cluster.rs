//! Kinds of the cluster as a whole: runtime classes, addresses, API services, certificate requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Validator;
use super::check::{self, go_struct, immutable};
use super::get::{get, int, items, text, texts};
use super::pod;
use crate::field::{BadValue, ErrorList, Path};
use crate::name;

/// Rules of `RuntimeClass`.
pub static RUNTIME_CLASS: Validator = Validator {
    name: name::subdomain_rule,
    create: runtime_class,
    update: |new, old| {
        let mut errors = ErrorList::new();
        immutable(&mut errors, &Path::ROOT, new, old, "handler");
        errors
    },
};
/// Rules of `IPAddress`; its name is the address.
pub static IP_ADDRESS: Validator = Validator { name: ip_name, create: ip_address, update: ip_address_update };
/// Rules of `ServiceCIDR`.
pub static SERVICE_CIDR: Validator = Validator {
    name: name::subdomain_rule,
    create: service_cidr,
    update: |new, old| {
        let mut errors = ErrorList::new();
        immutable(&mut errors, &SPEC, &new["spec"], &old["spec"], "cidrs");
        errors
    },
};
/// Rules of `APIService`.
pub static API_SERVICE: Validator =
    Validator { name: name::path_segment_rule, create: api_service, update: |new, _| api_service(new) };
/// Rules of `CertificateSigningRequest`.
pub static CERTIFICATE_SIGNING_REQUEST: Validator = Validator {
    name: |_, _| Vec::new(),
    create: certificate_request,
    update: |new, old| {
        let mut errors = ErrorList::new();
        let kind = "certificates.k8s.io/v1.CertificateSigningRequestSpec";
        check::immutable_struct(&mut errors, &Path::ROOT, (new, old), "spec", kind);
        errors
    },
};

const SPEC: Path<'static> = Path::new("spec");

fn runtime_class(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let handler = text(object, "handler");
    check::label(&mut errors, &Path::new("handler"), handler);
    if let Some(fixed) = get(object, "overhead").and_then(|o| get(o, "podFixed")) {
        pod::validate_resources(&mut errors, &Path::new("overhead.limits"), fixed);
    }
    let Some(scheduling) = get(object, "scheduling") else { return errors };
    let path = Path::new("scheduling");
    check::labels(&mut errors, &path, scheduling, "nodeSelector");
    let at = path.child("tolerations");
    let tolerations = items(scheduling, "tolerations");
    for (i, toleration) in tolerations.iter().enumerate() {
        if tolerations[..i].contains(toleration) {
            errors.duplicate(&at.index(i), shown_toleration(toleration));
        }
    }
    pod::validate_tolerations(&mut errors, &at, scheduling);
    errors
}

fn shown_toleration(toleration: &Value) -> BadValue {
    let mut copy = toleration.clone();
    if let Some(map) = copy.as_object_mut() {
        for key in ["key", "operator", "value", "effect"] {
            map.entry(key).or_insert_with(|| Value::from(""));
        }
    }
    let fields = [
        ("Key", "key"),
        ("Operator", "operator"),
        ("Value", "value"),
        ("Effect", "effect"),
        ("TolerationSeconds", "tolerationSeconds"),
    ];
    go_struct(&copy, &fields)
}

fn ip_name(name: &str, _: bool) -> Vec<String> {
    match name.parse::<std::net::IpAddr>() {
        Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()],
        Ok(ip) if ip.to_string() != name => vec![format!("must be in canonical form (\"{ip}\")")],
        Ok(_) => Vec::new(),
    }
}

fn ip_address(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = SPEC.child("parentRef");
    let Some(parent) = get(&object["spec"], "parentRef") else {
        errors.required(&path, "");
        return errors;
    };
    let group = text(parent, "group");
    if !group.is_empty() {
        errors.invalid_each(&path.child("group"), group, name::dns1123_subdomain(group));
    }
    check::path_segment(&mut errors, &path.child("resource"), text(parent, "resource"));
    check::path_segment(&mut errors, &path.child("name"), text(parent, "name"));
    let namespace = text(parent, "namespace");
    if !namespace.is_empty() {
        errors.invalid_each(&path.child("namespace"), namespace, name::path_segment(namespace, false));
    }
    errors
}

fn ip_address_update(new: &Value, old: &Value) -> ErrorList {
    let mut errors = ip_address(new);
    let (parent, before) = (&new["spec"]["parentRef"], &old["spec"]["parentRef"]);
    if parent.is_null() {
        errors.invalid(&SPEC.child("parentRef"), Value::Null, check::IMMUTABLE);
    } else if parent != before {
        let mut copy = parent.clone();
        if let Some(map) = copy.as_object_mut() {
            map.entry("group").or_insert_with(|| Value::from(""));
            map.entry("namespace").or_insert_with(|| Value::from(""));
        }
        let fields =
            [("Group", "group"), ("Resource", "resource"), ("Namespace", "namespace"), ("Name", "name")];
        errors.invalid(&SPEC.child("parentRef"), go_struct(&copy, &fields), check::IMMUTABLE);
    }
    errors
}

fn service_cidr(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = SPEC.child("cidrs");
    let cidrs: Vec<&str> = texts(&object["spec"], "cidrs").collect();
    if cidrs.is_empty() {
        errors.required(&path, "at least one CIDR required");
    } else if cidrs.len() > 2 {
        errors.invalid(
            &path,
            go_struct(&object["spec"], &[("CIDRs", "cidrs")]),
            "may only hold up to 2 values",
        );
        return errors;
    }
    for (i, cidr) in cidrs.iter().enumerate() {
        check::canonical_cidr(&mut errors, &path.index(i), cidr);
    }
    let families: Vec<bool> =
        cidrs.iter().filter_map(|c| check::parse_cidr(c)).map(|(ip, _)| ip.is_ipv4()).collect();
    if let [a, b] = families[..]
        && a == b
    {
        let detail = "may specify no more than one IP for each IP family";
        errors.invalid(&path, object["spec"]["cidrs"].clone(), detail);
    }
    errors
}

fn api_service(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    let required = format!("{}.{}", text(spec, "version"), text(spec, "group"));
    let name = text(&object["metadata"], "name");
    // An absent name is an error of the metadata.
    if name != required && !name.is_empty() {
        let detail = format!("must be `spec.version+\".\"+spec.group`: {required:?}");
        errors.invalid(&Path::new("metadata.name"), name, detail);
    }
    let group = text(spec, "group");
    if group.is_empty() {
        // Only the legacy group has no name; its version is v1.
        if text(spec, "version") != "v1" {
            errors.required(
                &SPEC.child("group"),
                "only v1 may have an empty group and it better be legacy kube",
            );
        }
    } else {
        errors.invalid_each(&SPEC.child("group"), group, name::dns1123_subdomain(group));
    }
    let version = text(spec, "version");
    errors.invalid_each(&SPEC.child("version"), version, name::dns1035_label(version));
    for (key, max) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1_000)] {
        let value = int(spec, key).unwrap_or(0);
        if value <= 0 || value > max {
            errors.invalid(&SPEC.child(key), value, format!("must be positive and less than {max}"));
        }
    }
    let insecure = super::get::flag(spec, "insecureSkipTLSVerify");
    match get(spec, "service") {
        None => {
            if !text(spec, "caBundle").is_empty() {
                errors.invalid(&SPEC.child("caBundle"), "", "local APIServices may not have a caBundle");
            }
            if insecure {
                let detail = "local APIServices may not have insecureSkipTLSVerify";
                errors.invalid(&SPEC.child("insecureSkipTLSVerify"), true, detail);
            }
        }
        Some(service) => {
            let path = SPEC.child("service");
            for key in ["namespace", "name"] {
                if text(service, key).is_empty() {
                    errors.required(&path.child(key), "");
                }
            }
            if insecure && !text(spec, "caBundle").is_empty() {
                let detail = "may not be true if caBundle is present";
                errors.invalid(&SPEC.child("insecureSkipTLSVerify"), true, detail);
            }
        }
    }
    errors
}

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

fn certificate_request(object: &Value) -> ErrorList {
    const SECONDS_MIN: i64 = 600;
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    let request = text(spec, "request");
    let pem = STANDARD.decode(request).unwrap_or_default();
    if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE REQUEST-----") {
        let detail = "PEM block type must be CERTIFICATE REQUEST";
        let shown = if request.is_empty() { Value::Null } else { request.into() };
        errors.invalid(&SPEC.child("request"), shown, detail);
    }
    let path = SPEC.child("usages");
    let usages: Vec<&str> = texts(spec, "usages").collect();
    if usages.is_empty() {
        errors.required(&path, "");
    }
    for (i, usage) in usages.iter().enumerate() {
        if !USAGES.contains(usage) {
            errors.not_supported(&path.index(i), *usage, &USAGES);
        }
        if usages[..i].contains(usage) {
            errors.duplicate(&path.index(i), *usage);
        }
    }
    let signer = text(spec, "signerName");
    if signer == "kubernetes.io/legacy-unknown" {
        let detail = "the legacy signerName is not allowed via this API version";
        errors.invalid(&SPEC.child("signerName"), signer, detail);
    } else {
        signer_name(&mut errors, &SPEC.child("signerName"), signer);
    }
    if let Some(seconds) = int(spec, "expirationSeconds").filter(|s| *s < SECONDS_MIN) {
        let detail = format!("may not specify a duration less than {SECONDS_MIN} seconds (10 minutes)");
        errors.invalid(&SPEC.child("expirationSeconds"), seconds, detail);
    }
    errors
}

/// `domain/path`, the name of a certificate signer.
fn signer_name(errors: &mut ErrorList, path: &Path<'_>, signer: &str) {
    if signer.is_empty() {
        return errors.required(path, "");
    }
    match signer.split('/').collect::<Vec<_>>()[..] {
        [domain, rest] if !rest.is_empty() => {
            errors.invalid_each(path, signer, name::dns1123_subdomain(domain));
            if !domain.contains('.') {
                errors.invalid(
                    path,
                    signer,
                    "should be a domain with at least two segments separated by dots",
                );
            }
            errors.invalid_each(path, signer, name::dns1123_subdomain(rest));
        }
        _ => {
            let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
            errors.invalid(path, signer, detail);
        }
    }
}
