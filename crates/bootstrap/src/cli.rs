//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::failure::Result;
use crate::phases::{init, join, reset, upgrade};
use crate::runtime::{images, supervisor};
use crate::token::{self, Token};
use crate::{api, files, kubeconfig};

/// Makes, joins and removes Kubernetes clusters.
#[derive(Parser)]
#[command(name = "bootstrap", version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make this host the control plane of a new cluster.
    Init(Box<init::Flags>),
    /// Make this host a node of an existing cluster.
    Join(Box<join::Flags>),
    /// Remove everything that init or join put onto this host.
    Reset(reset::Flags),
    /// Bring what runs on a host up to the programs and images that lie there now.
    Upgrade {
        #[command(subcommand)]
        command: UpgradeCommand,
    },
    /// Bootstrap tokens, with which nodes join.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
        /// Kubeconfig of an administrator.
        #[arg(long, global = true, value_name = "FILE", default_value = "/etc/kubernetes/admin.conf")]
        kubeconfig: PathBuf,
    },
    /// Images of the control plane and the add-ons, made without a registry.
    Images {
        #[command(subcommand)]
        command: ImagesCommand,
    },
    /// Keep a node's programs running (started by init and join on hosts without systemd).
    #[command(hide = true)]
    Supervise {
        /// The list of services.
        config: PathBuf,
    },
}

#[derive(Subcommand)]
enum UpgradeCommand {
    /// A node that has joined; on the control plane's host run `bootstrap init` again instead.
    Node(upgrade::Flags),
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a token.
    Create {
        /// The token to make; by default a random one.
        #[arg(value_name = "ID.SECRET")]
        token: Option<String>,
        /// Hours until it ends; 0 for never.
        #[arg(long, default_value_t = 24)]
        ttl_hours: u64,
        /// Print the whole command to run on the new node.
        #[arg(long)]
        print_join_command: bool,
        /// What it is for.
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Show all tokens.
    List,
    /// Delete a token by its ID, or in full.
    Delete {
        /// ID or ID.SECRET.
        token: String,
    },
}

#[derive(Subcommand)]
enum ImagesCommand {
    /// Build every image from programs and packages of this host.
    Build {
        /// Folder with Coxswain's programs.
        #[arg(long, value_name = "DIR")]
        programs: PathBuf,
        /// Folder to write the bundle to.
        #[arg(long, value_name = "DIR", default_value = "/var/lib/coxswain/images")]
        output: PathBuf,
    },
    /// List the images of a bundle.
    List {
        /// The bundle's folder.
        #[arg(long, value_name = "DIR", default_value = "/var/lib/coxswain/images")]
        bundle: PathBuf,
    },
}

impl Cli {
    /// Runs what was asked for.
    pub async fn run(self) -> Result<()> {
        match self.command {
            Command::Init(flags) => init::run(&flags).await,
            Command::Join(flags) => join::run(&flags).await,
            Command::Reset(flags) => reset::run(&flags).await,
            Command::Upgrade { command: UpgradeCommand::Node(flags) } => upgrade::run(&flags).await,
            Command::Token { command, kubeconfig } => command.run(&kubeconfig).await,
            Command::Images { command } => command.run(),
            Command::Supervise { config } => supervisor::run(&config).await,
        }
    }
}

impl TokenCommand {
    async fn run(self, kubeconfig_path: &std::path::Path) -> Result<()> {
        let client = api::connect(kubeconfig_path).await?;
        match self {
            Self::Create { token, ttl_hours, print_join_command, description } => {
                let token = token.as_deref().map_or_else(|| Ok(Token::generate()), Token::parse)?;
                let lifetime = (ttl_hours > 0).then(|| Duration::from_secs(ttl_hours * 3600));
                api::apply(&client, token.secret_object(lifetime, &description)).await?;
                if print_join_command {
                    let (server, authority) = kubeconfig::server_of(&files::read(kubeconfig_path)?)?;
                    println!("{}", token::join_command(&server, &token, &authority)?);
                } else {
                    println!("{token}");
                }
                Ok(())
            }
            Self::List => {
                println!("{:<25} {:<22} {:<24} DESCRIPTION", "TOKEN", "EXPIRES", "USAGES");
                for listed in token::list(&client).await? {
                    let token::Listed { token, expires, usages, description } = listed;
                    println!("{token:<25} {expires:<22} {usages:<24} {description}");
                }
                Ok(())
            }
            Self::Delete { token } => {
                let id = token.split_once('.').map_or(token.as_str(), |(id, _)| id);
                let path = format!("/api/v1/namespaces/kube-system/secrets/bootstrap-token-{id}");
                crate::failure::Attempt::attempt(api::delete(&client, &path).await, || {
                    format!("delete token {id}")
                })?;
                println!("token {id} is deleted");
                Ok(())
            }
        }
    }
}

impl ImagesCommand {
    fn run(self) -> Result<()> {
        match self {
            Self::Build { programs, output } => images::build(&programs, &output).map(drop),
            Self::List { bundle } => {
                for image in images::Bundle::open(&bundle)?.images().values() {
                    println!("{}", image.reference);
                }
                Ok(())
            }
        }
    }
}
