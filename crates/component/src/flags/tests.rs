use clap::{ArgAction, Args};

use super::parse::Stop;
use super::*;
use crate::run::{Daemon, Options};

#[derive(Args, Debug)]
struct Sample {
    #[command(flatten)]
    logging: Logging,
    #[command(flatten)]
    gates: FeatureGates,
    #[command(flatten)]
    serving: SecureServing,
    #[command(flatten)]
    election: LeaderElection,
    #[arg(long)]
    profiling: bool,
    #[arg(long, value_delimiter = ',', action = ArgAction::Append)]
    controllers: Vec<String>,
}

impl Options for Sample {
    fn logging(&self) -> &Logging {
        &self.logging
    }
    fn feature_gates(&self) -> Option<&FeatureGates> {
        Some(&self.gates)
    }
    fn validate(&self, problems: &mut Vec<String>) {
        self.serving.validate(problems);
        self.election.validate(problems);
        self.gates.features(problems);
    }
}

const DAEMON: Daemon = Daemon::new("kube-controller-manager", "test");

fn sample(args: &[&str]) -> Result<Sample, Vec<String>> {
    parse_from::<Sample>(&DAEMON, args.iter().copied()).map_err(|stop| match stop {
        Stop::Problems(problems) => problems.lines,
        Stop::Print(text) => vec![text],
    })
}

#[test]
fn go_conventions_are_accepted() {
    let options = sample(&[
        "--v",
        "4",
        "--leader-elect=false",
        "--profiling",
        "--secure_port",
        "1234",
        "--controllers=a,b",
        "--controllers",
        "-c",
        "--secure-port=99",
    ])
    .unwrap();
    assert_eq!(options.logging.v, 4);
    assert!(!options.election.leader_elect);
    assert!(options.profiling);
    assert_eq!(options.serving.secure_port, Some(99));
    assert_eq!(options.controllers, ["a", "b", "-c"]);
    assert!(sample(&["--leader-elect"]).unwrap().election.leader_elect);
    assert!(!sample(&["--profiling=F"]).unwrap().profiling);
    assert_eq!(sample(&["-v=6"]).unwrap().logging.v, 6);
}

#[test]
fn every_problem_is_reported() {
    let problems = sample(&[
        "--secure-port=abc",
        "--leader-elect=perhaps",
        "--node-monitor-period=5s",
        "--no-such-flag=1",
        "--feature-gates=Nope=true",
        "--tls-cert-file=/x",
        "stray",
    ])
    .unwrap_err();
    assert_eq!(problems.len(), 7, "{problems:#?}");
    assert!(
        problems.contains(
            &"flag --node-monitor-period is an upstream flag that Coxswain does not serve yet; remove it"
                .to_owned()
        ),
        "{problems:#?}"
    );
}

#[test]
fn version_is_printed() {
    assert_eq!(sample(&["--version"]).unwrap_err(), ["Kubernetes v1.36.2+coxswain"]);
}
