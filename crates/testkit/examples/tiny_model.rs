//! Writes the tiny model as a GGUF file, for trying a node or the demo by hand without the real model:
//! `cargo run -p openledger-testkit --example tiny_model -- tiny.gguf`. A number behind the file is how many layers it gets:
//! with many of them an answer takes long enough to be stopped in the middle.

use std::io::{Error, ErrorKind};

use openledger_engine::format::DType;
use openledger_testkit::TinySpec;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "tiny.gguf".to_owned());
    let default = TinySpec::default();
    let layers = match arguments.next().map(|text| text.parse()) {
        None => default.layers,
        Some(Ok(layers)) => layers,
        Some(Err(_)) => return Err(Error::new(ErrorKind::InvalidInput, "the number of layers is no whole number")),
    };
    TinySpec { layers, ..default }.write_gguf(path.as_ref(), DType::F32)
}
