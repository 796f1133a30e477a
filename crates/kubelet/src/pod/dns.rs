//! How a pod resolves names: resolv.conf, host name, and its part of /etc/hosts.

use std::fs;

use api_types::k8s::api::core::v1::Pod;

use super::PodExt;
use crate::cri::v1::DnsConfig;

/// What the node knows about name resolution.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// clusterDNS: addresses of the cluster's name servers.
    pub cluster_dns: Vec<String>,
    /// clusterDomain, such as `cluster.local`.
    pub cluster_domain: String,
    /// resolvConf: the file that gives the node's own servers; empty for none.
    pub resolv_conf: String,
}

/// The result, and what the user should know about it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resolution {
    /// For the sandbox.
    pub config: DnsConfig,
    /// Text of a warning event, if any.
    pub warning: Option<String>,
}

/// At most so many servers are used by the resolver (resolv.conf(5)).
const MAX_SERVERS: usize = 3;
/// At most so many search domains.
const MAX_SEARCHES: usize = 32;

/// The DNS configuration of a pod, from its policy and dnsConfig.
pub fn resolve(pod: &Pod, settings: &Settings) -> Resolution {
    let host = fs::read_to_string(&settings.resolv_conf).map(|text| parse(&text)).unwrap_or_default();
    resolve_with(pod, settings, host)
}

fn resolve_with(pod: &Pod, settings: &Settings, host: DnsConfig) -> Resolution {
    let spec = pod.spec();
    let mut warning = None;
    let policy = match spec.dns_policy.as_deref().unwrap_or("ClusterFirst") {
        "ClusterFirst" if pod.host_network() => "Default",
        "ClusterFirstWithHostNet" => "ClusterFirst",
        other => other,
    };
    let mut config = match policy {
        "None" => DnsConfig::default(),
        "ClusterFirst" if !settings.cluster_dns.is_empty() => {
            let domain = &settings.cluster_domain;
            let mut searches = Vec::new();
            if !domain.is_empty() {
                searches = vec![
                    format!("{}.svc.{domain}", pod.namespace()),
                    format!("svc.{domain}"),
                    domain.clone(),
                ];
            }
            for search in host.searches {
                if !searches.contains(&search) {
                    searches.push(search);
                }
            }
            DnsConfig { servers: settings.cluster_dns.clone(), searches, options: vec!["ndots:5".into()] }
        }
        "ClusterFirst" => {
            warning = Some(format!(
                "pod: \"{}\". kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" policy. Falling back to \"Default\" policy.",
                pod.display()
            ));
            host
        }
        _ => host,
    };
    if let Some(extra) = &spec.dns_config {
        merge(&mut config, extra);
    }
    if config.servers.len() > MAX_SERVERS {
        config.servers.truncate(MAX_SERVERS);
        warning = Some(format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
            config.servers.join(" ")
        ));
    }
    config.searches.truncate(MAX_SEARCHES);
    Resolution { config, warning }
}

fn merge(config: &mut DnsConfig, extra: &api_types::k8s::api::core::v1::PodDNSConfig) {
    for server in extra.nameservers.iter().flatten() {
        if !config.servers.contains(server) {
            config.servers.push(server.clone());
        }
    }
    for search in extra.searches.iter().flatten() {
        if !config.searches.contains(search) {
            config.searches.push(search.clone());
        }
    }
    for option in extra.options.iter().flatten() {
        let name = option.name.as_deref().unwrap_or_default();
        config.options.retain(|known| known.split(':').next() != Some(name));
        config.options.push(match &option.value {
            Some(value) => format!("{name}:{value}"),
            None => name.to_owned(),
        });
    }
}

/// The servers, search list and options of a resolv.conf.
fn parse(text: &str) -> DnsConfig {
    let mut config = DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => config.servers.extend(words.next().map(str::to_owned)),
            Some("search" | "domain") => config.searches = words.map(str::to_owned).collect(),
            Some("options") => config.options.extend(words.map(str::to_owned)),
            _ => {}
        }
    }
    config
}

/// The host name that a pod sees, and the domain below which it is known when it has a subdomain.
pub fn hostname(pod: &Pod, cluster_domain: &str) -> (String, Option<String>) {
    let spec = pod.spec();
    if let Some(name) = spec.hostname_override.as_deref().filter(|name| !name.is_empty()) {
        return (name.to_owned(), None);
    }
    let name = match spec.hostname.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => name.to_owned(),
        // A name longer than HOST_NAME_MAX allows for a label is cut, and may not end in a separator.
        None => pod.name().chars().take(63).collect::<String>().trim_end_matches(['-', '.']).to_owned(),
    };
    let subdomain = spec.subdomain.as_deref().filter(|subdomain| !subdomain.is_empty());
    let domain = subdomain.map(|subdomain| format!("{subdomain}.{}.svc.{cluster_domain}", pod.namespace()));
    (name, domain)
}

/// The name that the sandbox gets: the fully qualified one with setHostnameAsFQDN, none on the node's own network.
pub fn sandbox_hostname(pod: &Pod, cluster_domain: &str) -> String {
    if pod.host_network() && pod.spec().hostname_override.is_none() {
        return String::new();
    }
    let (name, domain) = hostname(pod, cluster_domain);
    match domain {
        Some(domain) if pod.spec().set_hostname_as_fqdn == Some(true) => format!("{name}.{domain}"),
        _ => name,
    }
}

/// Contents of the pod's /etc/hosts. On the node's network that is the node's own file, `node_hosts`, with the aliases.
pub fn hosts_file(pod: &Pod, ips: &[String], cluster_domain: &str, node_hosts: &str) -> String {
    let mut text = String::new();
    if pod.host_network() {
        text.push_str("# Kubernetes-managed hosts file (host network).\n");
        text.push_str(node_hosts);
        if !node_hosts.is_empty() && !node_hosts.ends_with('\n') {
            text.push('\n');
        }
    } else {
        text.push_str(
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
        );
        let (name, domain) = hostname(pod, cluster_domain);
        for ip in ips {
            match &domain {
                Some(domain) => text.push_str(&format!("{ip}\t{name}.{domain}\t{name}\n")),
                None => text.push_str(&format!("{ip}\t{name}\n")),
            }
        }
    }
    let aliases = pod.spec().host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            text.push_str(&format!(
                "{}\t{}\n",
                alias.ip,
                alias.hostnames.as_deref().unwrap_or_default().join("\t")
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            cluster_dns: vec!["10.96.0.10".into()],
            cluster_domain: "cluster.local".into(),
            ..Settings::default()
        }
    }

    fn pod(spec: &str) -> Pod {
        serde_yaml::from_str(&format!(
            "{{metadata: {{name: p, namespace: n}}, spec: {{containers: [] {spec}}}}}"
        ))
        .unwrap()
    }

    #[test]
    fn policies_choose_servers() {
        let host = parse("nameserver 1.1.1.1\nsearch corp\noptions rotate\n");
        for (spec, servers, searches) in [
            ("", "10.96.0.10", "n.svc.cluster.local svc.cluster.local cluster.local corp"),
            (", hostNetwork: true", "1.1.1.1", "corp"),
            (", dnsPolicy: Default", "1.1.1.1", "corp"),
            (", dnsPolicy: None, dnsConfig: {nameservers: [9.9.9.9], searches: [x]}", "9.9.9.9", "x"),
        ] {
            let config = resolve_with(&pod(spec), &settings(), host.clone()).config;
            assert_eq!(
                (config.servers.join(" "), config.searches.join(" ")),
                (servers.into(), searches.into()),
                "{spec}"
            );
        }
    }

    #[test]
    fn own_options_replace_the_defaults() {
        let pod = pod(", dnsConfig: {options: [{name: ndots, value: '2'}, {name: edns0}]}");
        assert_eq!(
            resolve_with(&pod, &settings(), DnsConfig::default()).config.options,
            ["ndots:2", "edns0"]
        );
    }

    #[test]
    fn hosts_name_the_pod_below_its_subdomain() {
        let pod = pod(", hostname: h, subdomain: s");
        let text = hosts_file(&pod, &["10.0.0.5".into()], "cluster.local", "");
        assert!(text.contains("10.0.0.5\th.s.n.svc.cluster.local\th\n"), "{text}");
    }
}
