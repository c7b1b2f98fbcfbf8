//! The `openledger` binary: reads arguments and configuration, wires the parts together, prints results.
//!
//! Standard output carries the result and nothing else; progress and messages go to standard error.

mod accounts;
mod args;
mod commands;
mod config;
mod demo;
#[cfg(test)]
mod documented;
mod jobs;
mod node;
mod output;
mod pools;
mod progress;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Arguments, Command};
use crate::commands::Context;

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
    let context = Context::new(&arguments);
    match arguments.command {
        Command::Demo(options) => demo::run(options).await?,
        Command::Up(options) => commands::up::run(options).await?,
        Command::Model(group) => commands::model::run(&context, group.json, group.command).await?,
        Command::Datanet(group) => commands::datanet::run(&context, group.json, group.command).await?,
        Command::Train(group) => commands::train::run(&context, group.json, group.command).await?,
        Command::Chat(options) => commands::chat::run(&context, options).await?,
        Command::Channel(group) => commands::channel::run(&context, group.json, group.command).await?,
        Command::Receipt(group) => return commands::receipt::run(&context, group.json, group.command).await,
        Command::Account(group) => commands::account::run(&context, group.json, group.command).await?,
        Command::Chain(group) => commands::chain::run(&context, group.json, group.command).await?,
        Command::Doctor(options) => return commands::doctor::run(options).await,
        Command::Completions { shell } => args::print_completions(shell),
    }
    Ok(ExitCode::SUCCESS)
}
