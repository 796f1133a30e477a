//! The add-ons that make a cluster usable: pod network, kube-proxy and cluster DNS.

use kube::Client;
use minijinja::{Environment, UndefinedBehavior, context};

use crate::api;
use crate::cluster::Cluster;
use crate::failure::{Attempt, Result};
use crate::progress;
use crate::runtime::images::Bundle;

/// The manifests, each with the image that it runs.
const MANIFESTS: [(&str, &str, &str); 3] = [
    ("network", "coxswain-network", include_str!("../../../../deploy/addons/network.yaml")),
    ("kube-proxy", "kube-proxy", include_str!("../../../../deploy/addons/kube-proxy.yaml")),
    ("dns", "coxswain-dns", include_str!("../../../../deploy/addons/dns.yaml")),
];

/// Creates or updates every add-on.
pub async fn install(client: &Client, cluster: &Cluster, bundle: &Bundle) -> Result<()> {
    for (name, image, manifest) in MANIFESTS {
        let text = render(name, manifest, cluster, bundle.reference(image)?)?;
        api::apply_all(client, &text).await?;
        progress::note(format!("applied {name}"));
    }
    Ok(())
}

fn render(name: &str, manifest: &str, cluster: &Cluster, image: &str) -> Result<String> {
    let attempted = || format!("render the add-on {name}");
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_template("manifest", manifest).attempt(attempted)?;
    let template = templates.get_template("manifest").attempt(attempted)?;
    let values = context! {
        image => image,
        server => cluster.server(),
        pod_cidr => &cluster.pod_cidr,
        service_cidr => &cluster.service_cidr,
        dns_ip => cluster.dns_ip.to_string(),
        domain => &cluster.domain,
    };
    template.render(values).attempt(attempted)
}
