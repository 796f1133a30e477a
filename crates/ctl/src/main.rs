//! ctl: the command line.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ctl::end_on_broken_pipe();
    match ctl::cli::Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ctl::error::report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
