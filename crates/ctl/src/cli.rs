//! The command line: one subcommand per verb.

use clap::{CommandFactory, Parser, Subcommand};

use crate::error::Result;
use crate::kubeconfig::GlobalFlags;
use crate::session::Session;
use crate::verbs::*;

/// The command line of a Coxswain or Kubernetes cluster.
#[derive(Parser, Debug)]
#[command(name = "ctl", version, about, arg_required_else_help = true, disable_version_flag = true)]
pub struct Cli {
    #[command(flatten)]
    global: GlobalFlags,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Show objects
    Get(get::Flags),
    /// Show all that is known about objects, and what happened to them
    Describe(describe::Flags),
    /// Create objects from files (-f) or from flags
    #[command(args_conflicts_with_subcommands = true)]
    Create(CreateFlags),
    /// Create objects or change them to what files say
    Apply(write::Flags),
    /// Show what apply would change
    Diff(diff::Flags),
    /// Run an image in a new pod
    Run(run::Flags),
    /// Set images and environment variables of workloads
    #[command(subcommand)]
    Set(set::Command),
    /// Replace objects by what files say
    Replace(write::Flags),
    /// Change fields of objects
    Patch(patch::Flags),
    /// Change an object in an editor
    Edit(edit::Flags),
    /// Delete objects
    Delete(delete::Flags),
    /// Set or remove labels
    Label(labels::Flags),
    /// Set or remove annotations
    Annotate(labels::Flags),
    /// Change the number of pods of a workload
    Scale(scale::Flags),
    /// Look at and control rollouts
    #[command(subcommand)]
    Rollout(rollout::Command),
    /// Replace a ReplicationController's pods one by one
    RollingUpdate(rolling_update::Flags),
    /// Make a Service for a workload
    Expose(expose::Flags),
    /// Show logs of containers
    #[command(alias = "log")]
    Logs(logs::Flags),
    /// Run a program in a container
    Exec(exec::Flags),
    /// Connect to the program that runs in a container
    Attach(exec::Flags),
    /// Make local ports lead into a pod
    PortForward(port_forward::Flags),
    /// Keep new pods off nodes
    Cordon(node::CordonFlags),
    /// Let pods onto nodes again
    Uncordon(node::CordonFlags),
    /// Move all pods off nodes
    Drain(node::DrainFlags),
    /// Set or remove taints of nodes
    Taint(node::TaintFlags),
    /// Wait until objects are as they should be
    Wait(wait::Flags),
    /// Show the kinds of objects that the server has
    ApiResources(api::ResourcesFlags),
    /// Show the versions of the API that the server has
    ApiVersions,
    /// Show whether the control plane answers
    ClusterInfo,
    /// Show this program's and the server's version
    Version,
    /// Look at and change the kubeconfig
    #[command(subcommand)]
    Config(config::Command),
    /// Print the shell's completion script: source <(ctl completion bash)
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Ask who one is and what one may do
    #[command(subcommand)]
    Auth(AuthVerb),
}

#[derive(Subcommand, Debug)]
enum AuthVerb {
    /// Whether one may do something
    CanI(api::CanIFlags),
    /// Who one is
    Whoami,
}

#[derive(clap::Args, Debug)]
struct CreateFlags {
    #[command(flatten)]
    files: write::Flags,
    #[command(subcommand)]
    kind: Option<create::Kind>,
}

impl Cli {
    /// Runs what was asked for.
    ///
    /// # Errors
    /// What the verb says.
    pub async fn run(self) -> Result<()> {
        match &self.verb {
            Verb::Config(command) => return config::run(&self.global, command),
            Verb::Completion { shell } => {
                clap_complete::generate(*shell, &mut Self::command(), "ctl", &mut std::io::stdout());
                return Ok(());
            }
            _ => {}
        }
        let session = &Session::open(&self.global).await?;
        match &self.verb {
            Verb::Get(flags) => get::run(session, flags).await,
            Verb::Describe(flags) => describe::run(session, flags).await,
            Verb::Create(CreateFlags { kind: Some(kind), files }) => {
                create::run(session, kind, &files.outcome).await
            }
            Verb::Create(CreateFlags { files, .. }) => write::run(session, write::Verb::Create, files).await,
            Verb::Apply(flags) => write::run(session, write::Verb::Apply, flags).await,
            Verb::Diff(flags) => diff::run(session, flags).await,
            Verb::Run(flags) => run::run(session, flags).await,
            Verb::Set(command) => set::run(session, command).await,
            // These need no session.
            Verb::Config(_) | Verb::Completion { .. } => Ok(()),
            Verb::Replace(flags) => write::run(session, write::Verb::Replace, flags).await,
            Verb::Patch(flags) => patch::run(session, flags).await,
            Verb::Edit(flags) => edit::run(session, flags).await,
            Verb::Delete(flags) => delete::run(session, flags).await,
            Verb::Label(flags) => labels::run(session, flags, "labels").await,
            Verb::Annotate(flags) => labels::run(session, flags, "annotations").await,
            Verb::Scale(flags) => scale::run(session, flags).await,
            Verb::Rollout(command) => rollout::run(session, command).await,
            Verb::RollingUpdate(flags) => rolling_update::run(session, flags).await,
            Verb::Expose(flags) => expose::run(session, flags).await,
            Verb::Logs(flags) => logs::run(session, flags).await,
            Verb::Exec(flags) => exec::exec(session, flags).await,
            Verb::Attach(flags) => exec::attach(session, flags).await,
            Verb::PortForward(flags) => port_forward::run(session, flags).await,
            Verb::Cordon(flags) => node::cordon(session, flags, true).await,
            Verb::Uncordon(flags) => node::cordon(session, flags, false).await,
            Verb::Drain(flags) => node::drain(session, flags).await,
            Verb::Taint(flags) => node::taint(session, flags).await,
            Verb::Wait(flags) => wait::run(session, flags).await,
            Verb::ApiResources(flags) => api::resources(session, flags).await,
            Verb::ApiVersions => api::versions(session).await,
            Verb::ClusterInfo => api::cluster_info(session).await,
            Verb::Version => api::version(session).await,
            Verb::Auth(AuthVerb::Whoami) => api::whoami(session).await,
            Verb::Auth(AuthVerb::CanI(flags)) => api::can_i(session, flags).await,
        }
    }
}
