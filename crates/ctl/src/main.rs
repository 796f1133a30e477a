//! ctl: the command line.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ctl::end_on_broken_pipe();
    let cli = match ctl::cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            // Help goes to standard output and is no failure. A closed output leaves nobody to tell.
            usage.print().ok();
            return if usage.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match cli.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ctl::error::report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
