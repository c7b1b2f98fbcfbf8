//! GGUF: what is written is read; what is wrong is named.

use std::path::Path;

use openledger_engine::format::gguf::{self, Gguf, GgufWriter, Value};
use openledger_engine::format::{DType, FormatError, interleave, load};
use openledger_engine::{Model, OpenModelError, RopeScaling};
use openledger_testkit::TinySpec;

fn open(bytes: &[u8]) -> Result<Gguf, FormatError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.gguf");
    std::fs::write(&path, bytes).unwrap();
    Gguf::open(&path)
}

fn written(gguf: &GgufWriter) -> Vec<u8> {
    let mut bytes = Vec::new();
    gguf.write_to(&mut bytes).unwrap();
    bytes
}

/// Magic, version, counts.
fn header(version: u32, tensors: u64, entries: u64) -> Vec<u8> {
    let mut bytes = gguf::MAGIC.to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(tensors.to_le_bytes());
    bytes.extend(entries.to_le_bytes());
    bytes
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

/// One tensor's description.
fn tensor(name: &str, dimensions: &[u64], dtype: u32, offset: u64) -> Vec<u8> {
    let mut bytes = string(name);
    bytes.extend((dimensions.len() as u32).to_le_bytes());
    dimensions.iter().for_each(|dimension| bytes.extend(dimension.to_le_bytes()));
    bytes.extend(dtype.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

#[test]
fn metadata_and_tensors_come_back_as_written() {
    let mut gguf = GgufWriter::new();
    gguf.set("a.uint", 7_u32).set("a.text", "é").set("a.float", 0.5_f32).set("a.bool", true);
    gguf.set("a.strings", vec!["x".to_owned(), String::new()]).set("a.ints", vec![-1, 1 << 40]);
    gguf.f32("t", &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let read = open(&written(&gguf)).unwrap();
    assert_eq!(read.get("a.uint"), Some(&Value::Uint(7)));
    assert_eq!(read.get("a.text").unwrap().as_str(), Some("é"));
    assert_eq!(read.get("a.float").unwrap().as_f64(), Some(0.5));
    assert_eq!(read.get("a.bool").unwrap().as_bool(), Some(true));
    assert_eq!(read.get("a.strings").unwrap().as_strings().unwrap(), ["x", ""]);
    assert_eq!(read.get("a.ints").unwrap().as_ints().unwrap(), [-1, 1 << 40]);
    assert_eq!((read.tensors()["t"].shape.as_slice(), read.tensors()["t"].dtype), (&[2, 3][..], DType::F32));
}

#[test]
fn a_model_reads_back_its_weights_in_hugging_faces_row_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    let spec = TinySpec::default();
    spec.write_gguf(&path, DType::F32).unwrap();
    let raw = load(&path).unwrap();
    assert_eq!(raw.config, spec.config());
    for (name, (shape, values)) in spec.tensors() {
        assert_eq!(raw.tensor(&name, &shape).unwrap().to_f32().unwrap(), values, "{name}");
    }
}

#[test]
fn q8_0_weights_are_within_half_a_step_of_the_original() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    let spec = TinySpec::default();
    spec.write_gguf(&path, DType::Q8_0).unwrap();
    let raw = load(&path).unwrap();
    for (name, (shape, values)) in spec.tensors().into_iter().filter(|(_, (shape, _))| shape.len() == 2) {
        let read = raw.tensor(&name, &shape).unwrap().to_f32().unwrap();
        for (ours, original) in read.chunks(32).zip(values.chunks(32)) {
            let amax = original.iter().fold(0_f32, |max, value| max.max(value.abs()));
            let worst = ours.iter().zip(original).fold(0_f32, |max, (a, b)| max.max((a - b).abs()));
            assert!(worst <= amax / 127.0 * 0.51 + amax * 1e-3, "{name}: {worst} of {amax}");
        }
    }
}

#[test]
fn llamas_rows_are_interleaved_as_the_converter_does() {
    // Two heads of four rows of one value: row (half, pair) goes to (pair, half).
    let rows: Vec<f32> = (0..8).map(|row| row as f32).collect();
    assert_eq!(interleave(&rows, 8, 2), [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
}

#[test]
fn lying_counts_and_lengths_are_refused_before_they_are_believed() {
    let huge = u64::MAX;
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"GGUF".to_vec(), "version needs 4 bytes at offset 4, but the file ends at 4"),
        (b"GGU".to_vec(), "magic needs 4 bytes"),
        (header(1, 0, 0), "GGUF version = 1 is not supported"),
        (header(0x0300_0000, 0, 0), "GGUF version = 50331648 is not supported"),
        (header(3, huge, 0), "tensor count is 18446744073709551615; at most 65536"),
        (header(3, 1000, 0), "tensor count needs 32000 bytes"),
        (header(3, 0, 5000), "metadata count is 5000; at most 4096"),
        (header(3, 0, 100), "metadata count needs 1300 bytes"),
        (
            [header(3, 0, 1), huge.to_le_bytes().to_vec(), vec![0; 20]].concat(),
            "length of metadata key 0 is 18446744073709551615",
        ),
        (
            [header(3, 0, 1), string("k"), 8_u32.to_le_bytes().to_vec(), (1_u64 << 30).to_le_bytes().to_vec()].concat(),
            "length of k is",
        ),
        (
            [header(3, 0, 1), string("k"), 99_u32.to_le_bytes().to_vec()].concat(),
            "value type of k = 99 is not supported",
        ),
        ([header(3, 0, 1), string("k"), 7_u32.to_le_bytes().to_vec(), vec![2]].concat(), "k: a boolean is 2"),
        (
            [header(3, 0, 1), string("k"), 8_u32.to_le_bytes().to_vec(), 1_u64.to_le_bytes().to_vec(), vec![0xff]]
                .concat(),
            "k: invalid utf-8",
        ),
        (
            [
                header(3, 0, 1),
                string("k"),
                9_u32.to_le_bytes().to_vec(),
                9_u32.to_le_bytes().to_vec(),
                1_u64.to_le_bytes().to_vec(),
                vec![0; 8],
            ]
            .concat(),
            "value type of k = 9",
        ),
        (
            [
                header(3, 0, 1),
                string("k"),
                9_u32.to_le_bytes().to_vec(),
                0_u32.to_le_bytes().to_vec(),
                (1_u64 << 21).to_le_bytes().to_vec(),
            ]
            .concat(),
            "element count of k is 2097152; at most 1048576",
        ),
        (
            [
                header(3, 0, 1),
                string("k"),
                9_u32.to_le_bytes().to_vec(),
                8_u32.to_le_bytes().to_vec(),
                1000_u64.to_le_bytes().to_vec(),
            ]
            .concat(),
            "element count of k needs 8000 bytes",
        ),
    ];
    for (bytes, expected) in cases {
        let error = open(&bytes).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}, not {expected}");
    }
}

#[test]
fn lying_tensors_are_refused_by_name() {
    let file = |tensors: &[Vec<u8>]| {
        let mut bytes = header(3, tensors.len() as u64, 0);
        tensors.iter().for_each(|tensor| bytes.extend(tensor));
        bytes.resize(bytes.len().next_multiple_of(32) + 64, 0);
        open(&bytes).unwrap_err().to_string()
    };
    let cases = [
        (vec![tensor("t", &[4; 5], 0, 0)], "dimension count of t is 5; at most 4"),
        (vec![tensor("t", &[u64::MAX], 0, 0)], "dimension of t is 18446744073709551615"),
        (
            vec![tensor("t", &[1 << 31, 1 << 31, 1 << 31], 0, 0)],
            "t: shape [2147483648, 2147483648, 2147483648] overflows",
        ),
        (vec![tensor("t", &[0, 4], 0, 0)], "t: shape [4, 0] is empty"),
        (vec![tensor("t", &[1 << 20], 0, 0)], "t needs 4194304 bytes at offset 64, but the file ends at 128"),
        (vec![tensor("t", &[4], 0, 32 << 40)], "t needs 16 bytes"),
        (vec![tensor("t", &[4], 0, 7)], "offset of t: 7 is no multiple of the alignment 32"),
        (vec![tensor("t", &[4], 10, 0)], "type of t = Q2_K is not supported; supported: F32, F16"),
        (vec![tensor("t", &[16, 2], 3, 0)], "t: rows of 16 are no whole number of Q4_1 blocks"),
        (vec![tensor("t", &[4], 0, 0), tensor("t", &[4], 0, 32)], "t: appears twice"),
        (vec![tensor("t", &[16], 0, 0), tensor("u", &[4], 0, 32)], "u: overlaps t"),
    ];
    for (tensors, expected) in cases {
        let error = file(&tensors);
        assert!(error.starts_with(expected), "{error}, not {expected}");
    }
}

#[test]
fn models_that_are_not_run_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let said = |set: &dyn Fn(&mut GgufWriter)| {
        let mut gguf = GgufWriter::new();
        set(&mut gguf);
        std::fs::write(&path, written(&gguf)).unwrap();
        load(&path).unwrap_err().to_string()
    };
    let error = said(&|gguf| {
        gguf.set("general.architecture", "mamba");
    });
    assert!(error.starts_with("general.architecture = mamba is not supported; supported: llama, mistral"), "{error}");
    let error = said(&|gguf| {
        gguf.set("general.architecture", 3_u32);
    });
    assert_eq!(error, "general.architecture: is an unsigned integer, not a string");
    let error = said(&|gguf| {
        gguf.set("general.architecture", "llama").set("llama.expert_count", 8_u32);
    });
    assert!(error.starts_with("llama.expert_count = 8 is not supported"), "{error}");
    assert_eq!(said(&|_| ()), "general.architecture is missing");
}

/// The tiny model with something added, opened.
fn open_with(add: impl Fn(&mut GgufWriter)) -> Result<Model, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut gguf = TinySpec { layers: 1, ..TinySpec::default() }.gguf(DType::F32);
    add(&mut gguf);
    std::fs::write(&path, written(&gguf)).unwrap();
    Model::open(&path).map_err(|error| match error {
        OpenModelError::Format(error) => error.to_string(),
        other => other.to_string(),
    })
}

#[test]
fn tensors_that_the_decoder_would_not_use_are_refused_by_name() {
    let refused = [
        ("blk.0.attn_output.bias", "model.layers.0.self_attn.o_proj.bias"),
        ("blk.0.ffn_down.bias", "model.layers.0.mlp.down_proj.bias"),
        ("blk.0.attn_k.bias", "model.layers.0.self_attn.k_proj.bias"),
        ("blk.1.attn_norm.weight", "model.layers.1.input_layernorm.weight"),
        ("blk.0.attn_q_norm.weight", "model.layers.0.self_attn.q_norm.weight"),
        ("blk.0.attn_sub_norm.weight", "blk.0.attn_sub_norm.weight"),
        ("output_norm.bias", "output_norm.bias"),
        ("rope_factors_long.weight", "rope_factors_long.weight"),
    ];
    for (name, shown) in refused {
        let rows = if name.contains("attn_k") { 32 } else { 64 };
        let add = |gguf: &mut GgufWriter| {
            gguf.f32(name, &[rows], &vec![0.5; rows]);
        };
        let error = open_with(add).unwrap_err();
        assert!(error.starts_with(&format!("tensor = {shown} is not supported")), "{error}");
    }
    let table = |gguf: &mut GgufWriter| {
        gguf.f32("blk.0.attn_rot_embd.weight", &[8], &[1.0; 8]);
    };
    let model = TinySpec { layers: 1, ..TinySpec::default() }.model();
    assert_eq!(open_with(table).unwrap().hash(), model.hash());
}

#[test]
fn positions_are_scaled_as_files_of_any_age_say() {
    let scaling = |entries: &[(&str, Value)]| {
        let add = |gguf: &mut GgufWriter| {
            entries.iter().for_each(|(key, value)| {
                gguf.set(key, value.clone());
            });
        };
        open_with(add).map(|model| model.config().rope_scaling)
    };
    let (factor, old) = ("llama.rope.scaling.factor", "llama.rope.scale_linear");
    let kind = |name: &str| ("llama.rope.scaling.type", Value::from(name));
    let linear = |factor: f64| Ok(Some(RopeScaling::Linear { factor }));
    assert_eq!(scaling(&[(factor, 4.0_f32.into())]), linear(4.0));
    assert_eq!(scaling(&[(old, 2.0_f32.into())]), linear(2.0));
    assert_eq!(scaling(&[(old, 2.0_f32.into()), (factor, 4.0_f32.into())]), linear(4.0));
    assert_eq!(scaling(&[kind("linear"), (old, 2.0_f32.into())]), linear(2.0));
    assert_eq!(scaling(&[kind("none"), (factor, 4.0_f32.into())]), Ok(None));
    for nothing in [0.0_f32, 1.0] {
        assert_eq!(scaling(&[(factor, nothing.into())]), Ok(None));
    }
    assert_eq!(scaling(&[kind("linear")]), Err("llama.rope.scaling.factor is missing".to_owned()));
    assert!(scaling(&[kind("yarn"), (factor, 4.0_f32.into())]).unwrap_err().contains("yarn is not supported"));
}

#[test]
fn infinities_and_nans_among_weights_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    TinySpec::default().write_gguf(&path, DType::F32).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 64;
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let raw = load(&path).unwrap();
    let refused: Vec<String> =
        raw.tensors.values().filter_map(|tensor| Some(tensor.to_f32().err()?.to_string())).collect();
    assert_eq!(refused.len(), 1);
    assert!(refused[0].contains("holds NaN at element"), "{}", refused[0]);
}

#[test]
fn pickles_are_refused_whatever_they_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let names = [
        "model.gguf",
        "model.bin",
        "pytorch_model.bin",
        "adapter_model.bin",
        "model.safetensors",
        "weights.pt",
        "x.pth",
        "y.ckpt",
        "z.pkl",
        "plain",
    ];
    let zip: &[u8] = b"PK\x03\x04\x00\x00archive/data.pkl";
    let mut refused = 0;
    for name in names {
        for protocol in 0..=5_u8 {
            for body in [
                b"}q\x00.".as_slice(),
                b"cos\nsystem\n(S'id'\ntR.",
                b"\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins",
                zip,
            ] {
                let bytes = if body == zip { zip.to_vec() } else { [&[0x80, protocol], body].concat() };
                refused += usize::from(is_pickle_error(&folder.path().join(name), &bytes));
            }
        }
    }
    assert_eq!(refused, 240);
    // Protocol 0 has no mark: such files are recognised by their names, and are no model by any other.
    for (index, extension) in
        ["bin", "pt", "pth", "pkl", "pickle", "ckpt", "BIN", "Pt"].iter().cycle().take(260).enumerate()
    {
        let body = format!("(dp0\nS'weight{index}'\np1\nI1\ns.");
        assert!(is_pickle_error(&folder.path().join(format!("{index}.{extension}")), body.as_bytes()));
    }
    let path = folder.path().join("protocol0");
    std::fs::write(&path, "cos\nsystem\n(S'id'\ntR.").unwrap();
    assert!(matches!(load(&path), Err(FormatError::NotAModel { .. })));
}

fn is_pickle_error(path: &Path, bytes: &[u8]) -> bool {
    std::fs::write(path, bytes).unwrap();
    matches!(load(path), Err(FormatError::Pickle { .. }))
}
