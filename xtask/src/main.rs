//! Repository tasks. `cargo xtask` without arguments lists them.

mod bench;
mod generate;
mod licences;
mod process;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <task>

  test [LANE]...            every test, or lanes of them: rust, contracts, web, browser
  tidy                      layering, file sizes, where unsafe may stand, crate READMEs
  gen [--check]             remake generated artefacts; with --check fail when that changes a file
  bench <serve|train|attribution|chain> [MODEL] [--peer]   one JSON object; runs the named peer too where it is installed
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test", lanes @ ..] => test::run(lanes),
        ["tidy"] => tidy::run(),
        ["gen"] => generate::run(),
        ["gen", "--check"] => generate::check(),
        ["bench", subject, rest @ ..] => bench::run(subject, rest),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
