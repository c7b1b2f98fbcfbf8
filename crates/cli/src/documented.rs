//! Every command that a document shows is one that this program takes.

use std::path::{Path, PathBuf};

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::args::Arguments;

const PROGRAM: &str = "openledger ";
/// The program as it is called from the source tree.
const FROM_SOURCE: &str = "cargo run --release -- ";

/// The pages that show commands.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let named = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "web/README.md", "docs/formats.md"];
    let crates = std::fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path().join("README.md"));
    named.iter().map(|name| root.join(name)).chain(crates.filter(|page| page.is_file())).collect()
}

/// A command's words as a shell would pass them: without comment and redirection.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for letter in command.split(" #").next().unwrap().split(" > ").next().unwrap().chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            _ => word.push(letter),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn parse(command: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(std::iter::once("openledger".to_owned()).chain(words(command)))
}

#[test]
fn every_line_of_a_tour_can_be_typed_as_it_stands() {
    let mut typed = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for line in text.lines() {
            let Some(command) = [PROGRAM, FROM_SOURCE].iter().find_map(|start| line.strip_prefix(start)) else {
                continue;
            };
            parse(command).unwrap_or_else(|error| panic!("{}: {line}\n{error}", page.display()));
            typed += 1;
        }
    }
    assert!(typed >= 13, "only {typed} commands were found");
}

/// In running text a command may stand without its values.
#[test]
fn every_command_that_a_sentence_names_exists() {
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for span in text.split('`').skip(1).step_by(2) {
            let Some(command) = [PROGRAM, FROM_SOURCE].iter().find_map(|start| span.strip_prefix(start)) else {
                continue;
            };
            if let Err(error) = parse(command) {
                let unknown = matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument);
                assert!(!unknown, "{}: `{span}`\n{error}", page.display());
            }
        }
    }
}
