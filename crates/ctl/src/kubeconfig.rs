//! Which server, as whom: kubeconfig files, and the flags that override them.

use std::path::PathBuf;
use std::time::Duration;

use client::kube::config::{AuthInfo, Config, KubeConfigOptions, Kubeconfig, KubeconfigError};

use crate::error::{Error, Result, causes};

/// Flags that every verb takes.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub struct GlobalFlags {
    /// Kubeconfig file; by default those of $KUBECONFIG, then ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Cluster of the kubeconfig to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// User of the kubeconfig to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// Address of the apiserver, instead of the kubeconfig's.
    #[arg(long, short = 's', global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Bearer token, instead of the kubeconfig's credentials.
    #[arg(long, global = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Act as another user.
    #[arg(long = "as", global = true, value_name = "USER")]
    pub impersonate: Option<String>,
    /// Act as a member of these groups. May be repeated.
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    pub impersonate_groups: Vec<String>,
    /// Do not check the server's certificate.
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub insecure_skip_tls_verify: Option<bool>,
    /// How long one request may take; 0 for as long as it takes.
    #[arg(long, global = true, default_value = "0", value_parser = crate::verbs::duration, value_name = "TIME")]
    pub request_timeout: Duration,
    /// Namespace of the objects.
    #[arg(long, short = 'n', global = true, value_name = "NAME")]
    pub namespace: Option<String>,
}

impl GlobalFlags {
    /// The kubeconfig files that count, the most important first. One named by `--kubeconfig` must exist, the others need not.
    pub fn files(&self) -> Vec<PathBuf> {
        if let Some(file) = &self.kubeconfig {
            return vec![file.clone()];
        }
        match std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
            Some(list) => std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect(),
            None => std::env::home_dir().map(|home| home.join(".kube/config")).into_iter().collect(),
        }
    }

    /// The files, merged; `None` when there is none.
    ///
    /// # Errors
    /// When one is malformed, or the named one is missing.
    pub fn load(&self) -> Result<Option<Kubeconfig>> {
        let mut merged: Option<Kubeconfig> = None;
        for file in self.files() {
            if self.kubeconfig.is_none() && !file.exists() {
                continue;
            }
            let failed =
                |source| Error::Connect(client::connect::Error::Kubeconfig { path: file.clone(), source });
            let next = match Kubeconfig::read_from(&file) {
                Err(KubeconfigError::ReadConfig(source, path)) => {
                    return Err(Error::file(path.display(), source));
                }
                other => other.map_err(failed)?,
            };
            merged = Some(match merged {
                Some(before) => before.merge(next).map_err(failed)?,
                None => next,
            });
        }
        Ok(merged)
    }

    /// Where to connect to, and as whom.
    ///
    /// # Errors
    /// When there is no kubeconfig, or it does not hold what the flags ask for.
    pub async fn config(&self) -> Result<Config> {
        let mut config = match self.load()? {
            Some(file) => self.choose(file).await?,
            None => match (Config::incluster(), &self.server) {
                (Ok(config), _) => config,
                (Err(_), Some(_)) => Config::new(http::Uri::from_static("https://localhost")),
                (Err(_), None) => return Err(self.nothing()),
            },
        };
        if let Some(server) = &self.server {
            let address = if server.contains("://") { server.clone() } else { format!("https://{server}") };
            config.cluster_url = address
                .parse()
                .map_err(|error| Error::Usage(format!("--server={server} is not an address: {error}")))?;
        }
        if let Some(token) = &self.token {
            config.auth_info = AuthInfo { token: Some(token.clone().into()), ..AuthInfo::default() };
        }
        if self.impersonate.is_some() {
            config.auth_info.impersonate = self.impersonate.clone();
            config.auth_info.impersonate_groups = Some(self.impersonate_groups.clone());
        }
        if let Some(insecure) = self.insecure_skip_tls_verify {
            config.accept_invalid_certs = insecure;
        }
        config.connect_timeout = Some(Duration::from_secs(10));
        config.default_retry = false;
        Ok(config)
    }

    async fn choose(&self, file: Kubeconfig) -> Result<Config> {
        let context = self.context.as_ref().or(file.current_context.as_ref());
        let Some(context) = context.filter(|name| !name.is_empty()) else {
            return Err(Error::Usage(
                "the kubeconfig has no current context; choose one with --context or 'ctl config use-context'".into(),
            ));
        };
        if !file.contexts.iter().any(|known| known.name == *context) {
            return Err(Error::Usage(format!("context {context:?} does not exist")));
        }
        let options = KubeConfigOptions {
            context: Some(context.clone()),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
        };
        Config::from_custom_kubeconfig(file, &options)
            .await
            .map_err(|error| Error::Usage(format!("cannot use the kubeconfig: {}", causes(&error))))
    }

    fn nothing(&self) -> Error {
        let looked: Vec<String> = self.files().iter().map(|file| file.display().to_string()).collect();
        Error::Usage(format!(
            "there is no kubeconfig (looked for {}): name one with --kubeconfig or $KUBECONFIG; \
             'bootstrap init' writes /etc/kubernetes/admin.conf",
            looked.join(", ")
        ))
    }
}
