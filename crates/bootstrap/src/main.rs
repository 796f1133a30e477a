//! bootstrap: init, join, reset and token of a cluster.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match bootstrap::cli::Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nbootstrap: {failure}");
            ExitCode::FAILURE
        }
    }
}
