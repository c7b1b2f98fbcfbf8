//! A Llama-shaped model small enough to make in a test: random weights, a byte-level tokenizer, ChatML.
//!
//! The same [`TinySpec`] gives the same model in memory, as a GGUF file and as a safetensors folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::Path;

use openledger_engine::format::gguf::{GgufWriter, q8_0_bytes};
use openledger_engine::format::{DType, RawModel, RawTensor, interleave, safetensors};
use openledger_engine::template::{ChatTemplate, TemplateTokens};
use openledger_engine::tokenizer::Tokenizer;
use openledger_engine::{Model, ModelConfig, ModelOptions, SiteInfo, SiteKind};
use serde_json::{Value, json};

/// ChatML without a default system message.
pub const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] \
                          + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

const CONTROLS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
const BOS: u32 = 1;
const EOS: u32 = 2;
const HIDDEN: usize = 64;
const FFN: usize = 128;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const CONTEXT: usize = 512;

/// Pairs that the tokenizer merges, in order of rank.
const MERGES: [(&str, &str); 45] = [
    ("Ġ", "t"),
    ("Ġ", "a"),
    ("i", "n"),
    ("h", "e"),
    ("r", "e"),
    ("o", "n"),
    ("e", "r"),
    ("Ġt", "he"),
    ("a", "t"),
    ("Ġ", "s"),
    ("Ġ", "o"),
    ("e", "n"),
    ("Ġ", "c"),
    ("e", "s"),
    ("Ġ", "w"),
    ("n", "d"),
    ("i", "t"),
    ("o", "r"),
    ("i", "s"),
    ("Ġ", "p"),
    ("in", "g"),
    ("Ġ", "f"),
    ("Ġ", "b"),
    ("e", "d"),
    ("a", "n"),
    ("Ġ", "m"),
    ("o", "u"),
    ("a", "l"),
    ("a", "r"),
    ("Ġt", "o"),
    ("Ġ", "d"),
    ("o", "f"),
    ("Ġ", "h"),
    ("Ġ", "in"),
    ("Ġ", "of"),
    ("i", "c"),
    ("Ġa", "nd"),
    ("l", "e"),
    ("a", "s"),
    ("i", "on"),
    ("Ġ", "is"),
    ("s", "t"),
    ("u", "s"),
    ("e", "r"),
    ("l", "l"),
];

/// Which tiny model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TinySpec {
    /// Determines every weight.
    pub seed: u64,
    /// Decoder layers.
    pub layers: usize,
}

impl Default for TinySpec {
    fn default() -> Self {
        Self { seed: 1, layers: 2 }
    }
}

/// The default tiny model, as the engine runs it.
///
/// # Panics
/// Never, while engine and testkit agree on formats.
pub fn tiny_model() -> Model {
    TinySpec::default().model()
}

impl TinySpec {
    /// The model, as the engine runs it.
    ///
    /// # Panics
    /// If `layers` is not one that the engine accepts.
    pub fn model(&self) -> Model {
        Model::from_raw(&self.raw(), ModelOptions::default()).expect("the engine runs the tiny model")
    }

    /// Sizes: hidden 64, feed-forward 128, 4 query and 2 key heads of 16, context 512.
    pub fn config(&self) -> ModelConfig {
        let base = ModelConfig::llama(self.layers, HIDDEN, FFN, HEADS, KV_HEADS, vocab().len());
        ModelConfig { context: CONTEXT, tied: true, ..base }
    }

    /// The model as if read from disk.
    ///
    /// # Panics
    /// Never, while engine and testkit agree on formats.
    pub fn raw(&self) -> RawModel {
        let tensor = |(name, (shape, values)): (String, (Vec<usize>, Vec<f32>))| {
            let tensor = RawTensor::from_f32(&name, shape, values).expect("as many values as the shape says");
            (name, tensor)
        };
        let json = tokenizer_json().to_string();
        let tokenizer = Tokenizer::from_json(json.as_bytes(), Some(CONTROLS[1]), Some(CONTROLS[2]));
        let tokenizer = tokenizer.expect("the engine reads the tiny tokenizer");
        let tokens = TemplateTokens { bos: Some(CONTROLS[1].into()), eos: Some(CONTROLS[2].into()) };
        RawModel {
            config: self.config(),
            tensors: self.tensors().into_iter().map(tensor).collect(),
            tokenizer,
            chat_template: Some(ChatTemplate::new(CHATML, tokens).expect("ChatML is a template")),
        }
    }

    /// Every weight, by its Hugging Face name, with its shape.
    pub fn tensors(&self) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
        let mut random = Random(self.seed);
        let mut tensors = BTreeMap::new();
        let embedding = random.uniform(vocab().len() * HIDDEN, 0.5);
        tensors.insert("model.embed_tokens.weight".to_owned(), (vec![vocab().len(), HIDDEN], embedding));
        for site in SiteInfo::all(&self.config()) {
            let bound = 1.5 / (site.d_in as f32).sqrt();
            let values = random.uniform(site.d_in * site.d_out, bound);
            tensors.insert(format!("{}.weight", site.path()), (vec![site.d_out, site.d_in], values));
        }
        let of_layers = (0..self.layers).flat_map(|layer| {
            ["input_layernorm", "post_attention_layernorm"].map(|name| format!("model.layers.{layer}.{name}.weight"))
        });
        for name in of_layers.chain(["model.norm.weight".to_owned()]) {
            let values = random.uniform(HIDDEN, 0.2).into_iter().map(|value| 1.0 + value).collect();
            tensors.insert(name, (vec![HIDDEN], values));
        }
        tensors
    }

    /// Writes the model as a GGUF file, its matrices in `dtype` (`F32` or `Q8_0`).
    ///
    /// # Errors
    /// What the file system returns.
    ///
    /// # Panics
    /// For another `dtype`.
    pub fn write_gguf(&self, path: &Path, dtype: DType) -> io::Result<()> {
        self.gguf(dtype).write_to(&mut BufWriter::new(File::create(path)?))
    }

    /// The GGUF file that [`write_gguf`](Self::write_gguf) writes, for tests that add to it.
    ///
    /// # Panics
    /// For another `dtype`.
    pub fn gguf(&self, dtype: DType) -> GgufWriter {
        let mut gguf = GgufWriter::new();
        self.set_metadata(&mut gguf);
        for (name, (shape, values)) in self.tensors() {
            let values = file_rows(&name, &shape, values);
            let name = gguf_name(&name);
            match dtype {
                DType::Q8_0 if shape.len() == 2 => gguf.raw(&name, &shape, DType::Q8_0, q8_0_bytes(&values)),
                DType::F32 | DType::Q8_0 => gguf.f32(&name, &shape, &values),
                other => panic!("the tiny model is not written as {}", other.name()),
            };
        }
        gguf
    }

    fn set_metadata(&self, gguf: &mut GgufWriter) {
        let config = self.config();
        gguf.set("general.architecture", "llama").set("general.type", "model").set("general.name", "tiny");
        gguf.set("llama.block_count", config.layers as u32).set("llama.context_length", config.context as u32);
        gguf.set("llama.embedding_length", HIDDEN as u32).set("llama.feed_forward_length", FFN as u32);
        gguf.set("llama.attention.head_count", HEADS as u32).set("llama.attention.head_count_kv", KV_HEADS as u32);
        gguf.set("llama.attention.layer_norm_rms_epsilon", config.eps);
        gguf.set("llama.rope.freq_base", config.rope_theta as f32);
        gguf.set("tokenizer.ggml.model", "gpt2").set("tokenizer.ggml.pre", "smollm");
        gguf.set("tokenizer.ggml.tokens", vocab());
        let kinds: Vec<i64> = (0..vocab().len()).map(|id| if id < CONTROLS.len() { 3 } else { 1 }).collect();
        gguf.set("tokenizer.ggml.token_type", kinds);
        let merges: Vec<String> = merges().map(|(left, right)| format!("{left} {right}")).collect();
        gguf.set("tokenizer.ggml.merges", merges);
        gguf.set("tokenizer.ggml.bos_token_id", BOS).set("tokenizer.ggml.eos_token_id", EOS);
        gguf.set("tokenizer.chat_template", CHATML);
    }

    /// Writes the model as a folder with `config.json`, `model.safetensors` and the tokenizer's files.
    ///
    /// # Errors
    /// What the file system returns.
    pub fn write_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let config = self.config();
        let json = json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
            "num_hidden_layers": config.layers, "hidden_size": HIDDEN, "intermediate_size": FFN,
            "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "vocab_size": config.vocab,
            "max_position_embeddings": config.context, "rms_norm_eps": 1e-5, "rope_theta": config.rope_theta,
            "tie_word_embeddings": true, "bos_token_id": BOS, "eos_token_id": EOS,
        });
        fs::write(folder.join("config.json"), json.to_string())?;
        fs::write(folder.join("tokenizer.json"), tokenizer_json().to_string())?;
        let tokenizer_config = json!({"bos_token": CONTROLS[1], "eos_token": CONTROLS[2], "chat_template": CHATML});
        fs::write(folder.join("tokenizer_config.json"), tokenizer_config.to_string())?;
        let mut out = BufWriter::new(File::create(folder.join("model.safetensors"))?);
        safetensors::write_f32(&mut out, &self.tensors(), &BTreeMap::new())
    }
}

/// GGUF stores Llama's q and k with the halves of each head interleaved.
fn file_rows(name: &str, shape: &[usize], values: Vec<f32>) -> Vec<f32> {
    if name.contains("q_proj") {
        interleave(&values, shape[0], HEADS)
    } else if name.contains("k_proj") {
        interleave(&values, shape[0], KV_HEADS)
    } else {
        values
    }
}

fn gguf_name(name: &str) -> String {
    const PARTS: [(&str, &str); 5] = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("model.layers", "blk"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
    ];
    let modules = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];
    let sites = SiteKind::ALL.map(SiteKind::path).into_iter().zip(modules);
    PARTS.into_iter().chain(sites).fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

/// Spelling of every token, by id: controls, bytes, merges.
fn vocab() -> Vec<String> {
    let controls = CONTROLS.into_iter().map(str::to_owned);
    let bytes = (0..=u8::MAX).map(|byte| spelling(byte).to_string());
    controls.chain(bytes).chain(merges().map(|(left, right)| format!("{left}{right}"))).collect()
}

fn merges() -> impl Iterator<Item = (&'static str, &'static str)> {
    // A pair listed twice would give a token two ids.
    let first = |index: usize| MERGES[..index].iter().all(|earlier| *earlier != MERGES[index]);
    (0..MERGES.len()).filter(move |index| first(*index)).map(|index| MERGES[index])
}

/// GPT-2's printable character for a byte.
fn spelling(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|byte| !printable(*byte)).count() as u32;
    char::from_u32(0x100 + before).expect("68 code points from U+0100 are all characters")
}

fn tokenizer_json() -> Value {
    let vocab: serde_json::Map<String, Value> =
        vocab().into_iter().enumerate().map(|(id, token)| (token, id.into())).collect();
    let merges: Vec<Value> = merges().map(|(left, right)| json!([left, right])).collect();
    let controls: Vec<Value> = CONTROLS
        .iter()
        .enumerate()
        .map(|(id, content)| {
            json!({"id": id, "content": content, "special": true, "normalized": false, "lstrip": false,
                "rstrip": false, "single_word": false})
        })
        .collect();
    json!({
        "version": "1.0",
        "added_tokens": controls,
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        ]},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": merges},
    })
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `count` values, uniform within `bound` of zero.
    fn uniform(&mut self, count: usize, bound: f32) -> Vec<f32> {
        (0..count).map(|_| ((self.next() >> 40) as f32 / (1_u64 << 23) as f32 - 1.0) * bound).collect()
    }
}
