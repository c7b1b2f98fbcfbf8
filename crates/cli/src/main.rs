//! The `openledger` binary: reads arguments and configuration, wires the parts together, prints results.
//!
//! Standard output carries the result and nothing else; progress and messages go to standard error.

mod accounts;
mod args;
mod commands;
mod config;
mod demo;
mod node;
mod output;
mod progress;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    output::init_logging(&arguments.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::fail(&anyhow::Error::new(error).context("could not start the runtime")),
    };
    match runtime.block_on(run(arguments)) {
        Ok(code) => code,
        Err(error) => output::fail(&error),
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Demo(options) => demo::run(options).await?,
        Command::Up(options) => commands::up::run(options).await?,
        Command::Completions { shell } => args::print_completions(shell),
        _ => anyhow::bail!("not wired yet"),
    }
    Ok(ExitCode::SUCCESS)
}
