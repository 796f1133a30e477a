//! Which etcd keeps which resource: that of `--etcd-servers`, or one of `--etcd-servers-overrides`.

use anyhow::Context as _;
use api_types::resource::ResourceInfo;
use storage::Store;

use crate::options::Etcd;

/// The server's connections to etcd clusters.
pub struct Stores {
    main: Store,
    overrides: Vec<(Override, Store)>,
}

/// One value of `--etcd-servers-overrides`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    group: String,
    resource: String,
    servers: Vec<String>,
}

impl Override {
    /// Reads `group/resource#servers`, servers separated by semicolons; the core group is empty.
    pub fn parse(text: &str) -> Option<Self> {
        let (what, servers) = text.split_once('#')?;
        let (group, resource) = what.split_once('/')?;
        let servers: Vec<String> =
            servers.split(';').filter(|url| !url.is_empty()).map(str::to_owned).collect();
        let complete = !resource.is_empty() && !resource.contains('/') && !servers.is_empty();
        complete.then(|| Override { group: group.to_owned(), resource: resource.to_owned(), servers })
    }
}

impl Stores {
    /// Connects to all of them.
    ///
    /// # Errors
    /// Certificates cannot be read; an override is malformed.
    pub async fn connect(etcd: &Etcd) -> anyhow::Result<Self> {
        let main = Store::connect(options(etcd, &etcd.etcd_servers)).await.context("cannot use etcd")?;
        let mut overrides: Vec<(Override, Store)> = Vec::new();
        for text in &etcd.etcd_servers_overrides {
            let wanted = Override::parse(text).with_context(|| {
                format!("--etcd-servers-overrides {text:?} is not of the form group/resource#servers")
            })?;
            let known = overrides.iter().find(|(other, _)| other.servers == wanted.servers);
            let store = match known {
                Some((_, store)) => store.clone(),
                None => Store::connect(options(etcd, &wanted.servers)).await.with_context(|| {
                    format!("cannot use the etcd of {}/{}", wanted.group, wanted.resource)
                })?,
            };
            overrides.push((wanted, store));
        }
        Ok(Stores { main, overrides })
    }

    /// The etcd of all that has none of its own.
    pub fn main(&self) -> &Store {
        &self.main
    }

    /// Where a resource is kept. It may be served in several groups, and is kept in one.
    pub fn of(&self, info: &ResourceInfo) -> &Store {
        let group = info.stored_api_version.split_once('/').map_or("", |(group, _)| group);
        let own = self.overrides.iter().find(|(o, _)| o.group == group && *o.resource == *info.plural);
        own.map_or(&self.main, |(_, store)| store)
    }

    /// The stores of overrides, each once.
    pub fn overrides(&self) -> Vec<Store> {
        let mut servers: Vec<&[String]> = Vec::new();
        let fresh = self.overrides.iter().filter(|(o, _)| {
            let is_fresh = !servers.contains(&o.servers.as_slice());
            servers.push(&o.servers);
            is_fresh
        });
        fresh.map(|(_, store)| store.clone()).collect()
    }
}

fn options(etcd: &Etcd, servers: &[String]) -> storage::Options {
    storage::Options {
        endpoints: servers.to_vec(),
        ca_file: etcd.etcd_cafile.clone(),
        cert_file: etcd.etcd_certfile.clone(),
        key_file: etcd.etcd_keyfile.clone(),
        prefix: etcd.etcd_prefix.clone(),
        compaction_interval: etcd.etcd_compaction_interval.0,
        ..storage::Options::default()
    }
}

#[cfg(test)]
mod tests {
    use super::Override;

    #[test]
    fn overrides_name_a_resource_and_its_servers() {
        let parsed = Override::parse("/events#https://a:2379;https://b:2379").unwrap();
        assert_eq!(
            (parsed.group.as_str(), parsed.resource.as_str(), parsed.servers.len()),
            ("", "events", 2)
        );
        assert_eq!(Override::parse("apps/deployments#http://a").unwrap().group, "apps");
        for wrong in ["events#http://a", "/events", "/#http://a", "/events#", "a/b/c#http://a"] {
            assert_eq!(Override::parse(wrong), None, "{wrong}");
        }
    }
}
