"""Makes the golden files of this folder with other implementations.

    python3 -m venv /tmp/goldens
    /tmp/goldens/bin/pip install torch==2.15.0 transformers==5.23.0 peft==0.21.2 safetensors==0.8.0 \
        jinja2==3.1.6 regex xllamacpp==2026.10.11549 gguf==0.19.0
    /tmp/goldens/bin/python crates/engine/tests/golden/make_goldens.py SmolLM2-135M-Instruct.Q4_1.gguf

Models:    transformers + peft, in double precision, of tiny random models.
Tokens:    llama.cpp's tokenizer on the GGUF file, and a byte-pair encoder in plain Python; both must agree.
Templates: jinja2, set up as transformers sets it up.
Files:     gguf's own writer for the quantised blocks and their values.

The ids do not depend on versions; logits and gradients may differ in the last digits.
"""

import json
import os
import sys
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
BYTE_TOKENS = 256
CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_characters():
    """GPT-2's printable character for each byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {byte: chr(byte) for byte in printable}
    others = (byte for byte in range(256) if byte not in table)
    return table | {byte: chr(0x100 + index) for index, byte in enumerate(others)}


# --- models -----------------------------------------------------------------------------------------------------


def tiny_tokenizer():
    characters = byte_characters()
    tokens = CONTROLS + [characters[byte] for byte in range(BYTE_TOKENS)]
    added = [
        {"id": i, "content": t, "special": True, "normalized": False, "lstrip": False, "rstrip": False, "single_word": False}
        for i, t in enumerate(CONTROLS)
    ]
    bytes_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": bytes_level, "post_processor": None, "decoder": bytes_level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)}, "merges": [],
        },
    }


def model_classes():
    import transformers as t

    sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                 num_key_value_heads=2, vocab_size=len(CONTROLS) + BYTE_TOKENS, max_position_embeddings=128,
                 bos_token_id=1, eos_token_id=2, pad_token_id=0)
    llama3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 4.0, "low_freq_factor": 1.0,
              "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
    plain = {"rope_type": "default", "rope_theta": 5000.0}
    return {
        "llama": (t.LlamaForCausalLM, t.LlamaConfig(**sizes, rms_norm_eps=1e-5, rope_parameters=plain)),
        "llama3": (t.LlamaForCausalLM, t.LlamaConfig(**sizes, tie_word_embeddings=True, rope_parameters=llama3)),
        "mistral": (t.MistralForCausalLM, t.MistralConfig(**sizes, sliding_window=64, head_dim=16)),
        "qwen2": (t.Qwen2ForCausalLM, t.Qwen2Config(**sizes, tie_word_embeddings=True)),
        "qwen3": (t.Qwen3ForCausalLM, t.Qwen3Config(**sizes, head_dim=16)),
        "gemma": (t.GemmaForCausalLM, t.GemmaConfig(**sizes, head_dim=16)),
        "gemma2": (t.Gemma2ForCausalLM, t.Gemma2Config(**sizes, head_dim=16, query_pre_attn_scalar=24,
                                                       attn_logit_softcapping=5.0, final_logit_softcapping=8.0,
                                                       sliding_window=64)),
    }


def randomise(model, seed):
    import torch

    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        if "norm" in name:
            centre = 0.0 if "gemma" in type(model).__name__.lower() else 1.0
            parameter.data = centre + 0.2 * values
        elif "bias" in name:
            parameter.data = 0.3 * values
        elif "embed" in name:
            parameter.data = 0.6 * values
        else:
            parameter.data = values / parameter.shape[-1] ** 0.5


def make_model(name, model_class, config, seed):
    import peft
    import torch
    from safetensors.torch import save_file

    folder = HERE / name
    config._attn_implementation = "eager"
    model = model_class(config)
    randomise(model, seed)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(tiny_tokenizer(), ensure_ascii=False))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": CONTROLS[1], "eos_token": CONTROLS[2]}))

    generator = torch.Generator().manual_seed(seed + 1000)
    tokens = torch.randint(3, config.vocab_size, (24,), generator=generator)
    # The target of each position is the next token; the first ten positions are a masked prompt.
    targets = [None] * 10 + tokens[11:].tolist() + [None]

    model = model.double().eval()
    with torch.no_grad():
        logits = model(tokens[None]).logits[0]
    modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    lora = peft.LoraConfig(r=4, lora_alpha=8, target_modules=modules, lora_dropout=0.0, task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(model, lora)
    for parameter_name, parameter in adapted.named_parameters():
        if "lora_" in parameter_name:
            scale = 0.3 / parameter.shape[-1] ** 0.5
            parameter.data = (scale * torch.randn(parameter.shape, generator=generator)).double()
    adapted = adapted.double().eval()

    positions = [i for i, target in enumerate(targets) if target is not None]
    wanted = torch.tensor([targets[i] for i in positions])
    adapted_logits = adapted(tokens[None]).logits[0]
    loss = torch.nn.functional.cross_entropy(adapted_logits[positions], wanted, reduction="sum")
    (loss / len(positions)).backward()
    result = {"logits": logits, "logits_lora": adapted_logits.detach()}
    for parameter_name, parameter in adapted.named_parameters():
        if "lora_" in parameter_name:
            path = parameter_name.removeprefix("base_model.model.").replace(".default.weight", "")
            result[f"grad.{path}"] = parameter.grad
    save_file({key: value.float().contiguous() for key, value in result.items()}, folder / "golden.safetensors")
    golden = {"tokens": tokens.tolist(), "targets": targets, "loss_sum": loss.item(), "gradient_of": "mean loss"}
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")

    adapted = adapted.float()
    adapted.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink(missing_ok=True)
    adapter_config = folder / "adapter" / "adapter_config.json"
    saved = json.loads(adapter_config.read_text())
    saved["base_model_name_or_path"] = name
    saved["target_modules"] = sorted(saved["target_modules"])
    adapter_config.write_text(json.dumps(saved, indent=1, sort_keys=True) + "\n")


# --- tokens -----------------------------------------------------------------------------------------------------


def texts():
    words = ["Hello", " world", "the", " APT29", "don't", "I'll", "naïve", "Straße", "你好", "мир", "🎉", "👩‍👩‍👧", "e\u0301", "\u00a0"]
    fixed = [
        "", " ", "  ", "   a", "\n", "\n\n", "\r\n", "\t", " \n ", "a  b", "a\n\nb", "a \n b", "\n a", "trailing ", "trailing  ",
        "0", "12", "123", "1234567890", "3.14159", "1,000,000", "v1.2.3-rc4", "2024-01-31T23:59:59Z", "0xDEADBEEF", "٣٤", "½ ² Ⅷ",
        "He said: \"don't!\"", "it's we're they've I'm you'll he'd", "IT'S WE'RE", "’s ‘quoted’ “double”", "a'b'c", "''", "'s",
        "def f(x):\n    return x ** 2  # square\n", "for (int i = 0; i < n; ++i) { a[i] += b[i]; }", "<div class=\"x\">&nbsp;</div>",
        "https://example.org/a?b=c&d=%20#e", "user@example.org", "C:\\Windows\\System32\\cmd.exe", "$PATH:${HOME}/bin", "SELECT * FROM t WHERE a<>1;",
        "|---|:--:|", "- [ ] item", "**bold** _it_ `code`", "\\frac{1}{2} \\alpha", "!!!???...", "…—–-", "(((())))", "=====", "~~~", "a/b\\c|d",
        "\u200b", "\ufeff", "\u00ad", "\u0000", "\u007f", "\u0080", "\u2028", "\u3000", "a\u00a0b", "\ud7ff", "\ue000", "\ufdd0", "\U0010ffff",
        "日本語のテキスト。", "한국어 문장입니다", "العربية نص", "עברית", "हिन्दी", "ไทยไม่มีช่องว่าง", "Ελληνικά", "Ünïcödé", "ﬁ ligature", "ａｂｃ",
        "🙂🙃", "🏳️‍🌈", "👍🏽", "🇺🇳", "a🎉b", "é" * 5, "\u0301\u0301", "İıŞş", "ǅ", "ß", "K",
        "APT29 has used spearphishing emails with malicious links (T1566.002).", "CVE-2021-44228", "powershell.exe -enc SQBFAFgA",
        "<|im_end|", "|im_end|>", "< |im_end|>", "<|IM_END|>", "<|", "|>", "<|im_start", "im_end",
        "x" * 300, " " * 100, "ab" * 100, "\n" * 50, "1" * 70, "the " * 40,
    ]
    pairs = [a + b for a in words for b in words if words.index(a) % 3 == words.index(b) % 3]
    joined = ["".join(words[i:i + 4]) for i in range(len(words) - 3)] + [" ".join(words[i:i + 3]) for i in range(len(words) - 2)]
    controls = ["<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "<|endoftext|>", "a<|im_end|>b", " <|im_end|> ", "<|im_end|><|im_end|>",
                "<file_sep>code", "<repo_name>x<reponame>", "<|im_start|><|im_start", "<<|im_end|>>"]
    return fixed + pairs + joined, controls


class PlainBpe:
    """Byte-pair encoding as GPT-2 published it, after splitting off single digits."""

    def __init__(self, tokens, merges, controls):
        import regex

        self.ids = {token: i for i, token in enumerate(tokens)}
        self.ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(merges)}
        self.controls = regex.compile("|".join(regex.escape(c) for c in sorted(controls, key=len, reverse=True)))
        self.split = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
        self.digits = regex.compile(r"\p{Nd}|\p{Nl}|\p{No}")
        self.characters = byte_characters()

    def word(self, text):
        parts = [self.characters[byte] for byte in text.encode()]
        while len(parts) > 1:
            best = min(zip(parts, parts[1:]), key=lambda pair: self.ranks.get(pair, 1 << 60))
            if best not in self.ranks:
                break
            merged, i = [], 0
            while i < len(parts):
                if i + 1 < len(parts) and (parts[i], parts[i + 1]) == best:
                    merged.append(parts[i] + parts[i + 1])
                    i += 2
                else:
                    merged.append(parts[i])
                    i += 1
            parts = merged
        return [self.ids[part] for part in parts]

    def plain(self, text):
        pieces, at = [], 0
        for digit in self.digits.finditer(text):
            pieces += [text[at:digit.start()], digit.group()]
            at = digit.end()
        pieces.append(text[at:])
        return [i for piece in pieces for match in self.split.finditer(piece) for i in self.word(match.group())]

    def encode(self, text):
        ids, at = [], 0
        for control in self.controls.finditer(text):
            ids += self.plain(text[at:control.start()]) + [self.ids[control.group()]]
            at = control.end()
        return ids + self.plain(text[at:])


def llama_cpp(path):
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = 64
    params.warmup = False
    server = xllamacpp.Server(params)

    def tokenize(text, special):
        body = json.dumps({"content": text, "parse_special": special, "add_special": False}).encode()
        request = urllib.request.Request(server.listening_address + "/tokenize", body, {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(request))["tokens"]

    return tokenize


def make_tokens(path):
    import gguf

    reader = gguf.GGUFReader(path)
    field = lambda name: reader.fields["tokenizer.ggml." + name].contents()
    tokens, merges, kinds = field("tokens"), field("merges"), field("token_type")
    bpe = PlainBpe(tokens, merges, [token for token, kind in zip(tokens, kinds) if kind == 3])
    try:
        other = llama_cpp(path)
    except Exception as error:  # noqa: BLE001
        other = None
        print("llama.cpp's tokenizer was not asked:", error)
    plain, controls = texts()
    cases = []
    for text, special in [(text, True) for text in plain + controls] + [(text, False) for text in controls]:
        ids = bpe.encode(text) if special else bpe.plain(text)
        if other is not None:
            theirs = other(text, special)
            if theirs != ids:
                print("llama.cpp differs on", repr(text), theirs, ids)
        cases.append({"text": text, "special": special, "ids": ids})
    (HERE / "smollm2_tokens.json").write_text(lines(cases))
    # The merges that those texts need, so that the test needs no download.
    used = used_tokenizer(tokens, merges, kinds, cases)
    (HERE / "smollm2_tokenizer_part.json").write_text(json.dumps(used, ensure_ascii=True) + "\n")


def used_tokenizer(tokens, merges, kinds, cases):
    """The part of the tokenizer that decides the cases: every merge whose result occurs in any case's text."""
    characters = byte_characters()
    spelled = ["".join(characters[byte] for byte in case["text"].encode()) for case in cases]
    haystack = "\n".join(spelled)
    kept = [merge for merge in merges if merge.replace(" ", "") in haystack]
    ids = {token: i for i, token in enumerate(tokens)}
    names = set(characters.values()) | {merge.replace(" ", "") for merge in kept}
    names |= {token for token, kind in zip(tokens, kinds) if kind == 3}
    names &= ids.keys()
    return {"vocab": {name: ids[name] for name in sorted(names, key=ids.get)}, "merges": kept,
            "controls": [token for token, kind in zip(tokens, kinds) if kind == 3]}


def lines(cases):
    return "[\n" + ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases) + "\n]\n"


# --- templates --------------------------------------------------------------------------------------------------

TEMPLATES = {
    "smollm2": "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "headers": """{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{%- if strftime_now is defined %}
    {%- set date_string = strftime_now("%d %b %Y") %}
{%- else %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" + system_message + "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "alternating": """{{ bos_token }}{% for message in messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}
{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'].strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'].strip() + eos_token }}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}
{% endfor %}""",
    "turns": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}""",
    "thinking": """{%- set ns = namespace(last=-1, found=false) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if not ns.found and message.role == "user" and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.found = true %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if message.role == "assistant" and '</think>' in content %}
        {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- if loop.index0 > ns.last %}
            {{- '<|im_start|>assistant\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content }}
        {%- else %}
            {{- '<|im_start|>assistant\\n' + content }}
        {%- endif %}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + content }}
    {%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "features": """{# a comment #}
{%- macro tag(name, body='none', upper=false) -%}
<{{ name.upper() if upper else name }}>{{ body }}</{{ name }}>
{%- endmacro -%}
{% set roles = messages | map(attribute='role') | list %}
{{ roles | join(', ') }} {{ roles | length }} {{ roles | unique | list | tojson }}
{% for m in messages if m.role != 'system' %}
  {% if loop.first %}[{% endif %}
{{ loop.index }}/{{ loop.length }}{{ tag(m.role, m.content|trim|replace('\\n', '\\\\n'), upper=loop.last) }}
  {% if loop.last %}]{% else %},{% endif %}
{% else %}
nothing
{% endfor %}
{% set block %}  kept {{ messages[-1].content[:3] }}|{{ messages[-1].content[-2:] }}  {% endset %}
{{ block }}{{ {'a': [1, 2.5, none, true], "b": {"c": "é\\"<>&"}} | tojson }}
{{ {'k': 'v', 'n': [1, {'x': 2}]} | tojson(indent=2) }}
{{ none }} {{ true }} {{ 7 // 2 }} {{ 7 % 3 }} {{ 2 ** 5 }} {{ 'x' * 3 }} {{ 1 < 2 and not false }} {{ 'b' in 'abc' }} {{ undefined_name is defined }} {{ missing | default('d') }}
{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for key, value in {'p': 1, 'q': 2}.items() %}{{ key }}={{ value }};{% endfor %}
{{ messages[0].get('content', 'x') | length }} {{ messages[0].get('nothing', 'fallback') }} {{ 'a,b,,c'.split(',') | join('|') }} {{ ' x '.strip() ~ 1 }} {{ "it's".title() }} {{ 'abc'.find('c') }} {{ 'aXbX'.replace('X', '-') }} {{ 'x y'.split() | last }}
{{- '\\n' if add_generation_prompt else '' -}}
   end""",
}

CHATS = [
    [("user", "Hi")],
    [("system", "Be brief."), ("user", "What is 2+2?")],
    [("user", "One"), ("assistant", "Two"), ("user", "Three\n")],
    [("system", "  spaced  "), ("user", " é漢🎉 "), ("assistant", "<think>\nhm\n</think>\n\nok"), ("user", "{{ 7*7 }} {% raw %}"), ("assistant", "<think>a</think>b")],
    [("user", ""), ("assistant", ""), ("user", "\n\n")],
    [("assistant", "first"), ("assistant", "second")],
    [("user", "quote \" ' \\ < > & \t")],
]


def make_templates():
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    result = []
    for name, source in TEMPLATES.items():
        template = environment.from_string(source)
        cases = []
        for chat in CHATS:
            for prompt in (False, True):
                messages = [{"role": role, "content": content} for role, content in chat]
                case = {"messages": messages, "add_generation_prompt": prompt}
                try:
                    case["text"] = template.render(messages=messages, tools=None, documents=None, add_generation_prompt=prompt,
                                                   bos_token="<s>", eos_token="</s>")
                except jinja2.exceptions.TemplateError as error:
                    case["error"] = str(error)
                cases.append(case)
        result.append({"name": name, "template": source, "cases": cases})
    (HERE / "chat_templates.json").write_text(json.dumps(result, ensure_ascii=True, indent=1) + "\n")


# --- quantised blocks -------------------------------------------------------------------------------------------


def make_blocks():
    import gguf
    import numpy

    generator = numpy.random.default_rng(5)
    values = (generator.standard_normal((2, 256)) * numpy.array([[0.01], [2.0]])).astype(numpy.float32)
    result = []
    kinds = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
    for kind in kinds:
        number = gguf.GGMLQuantizationType[kind]
        try:
            blocks = gguf.quants.quantize(values, number)
        except NotImplementedError:
            # No encoder in Python: any bytes are blocks, once the f16 factors are small and finite.
            _, size = gguf.GGML_QUANT_SIZES[number]
            blocks = generator.integers(0, 256, (2, size), dtype=numpy.uint8)
            factors = {"Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}[kind]
            for at in factors:
                factor = numpy.float16(generator.uniform(0.001, 0.05))
                blocks[:, at:at + 2] = numpy.frombuffer(factor.tobytes(), dtype=numpy.uint8)
        expected = gguf.quants.dequantize(blocks, number).astype(numpy.float32)
        raw = numpy.ascontiguousarray(blocks).view(numpy.uint8)
        result.append({"type": kind, "bytes": raw.tobytes().hex(), "values": expected.tobytes().hex()})
    (HERE / "blocks.json").write_text(lines(result))


def main():
    if hasattr(os, "RTLD_LAZY"):
        sys.setdlopenflags(os.RTLD_LAZY | os.RTLD_GLOBAL)
    wanted = sys.argv[2:] or ["models", "tokens", "templates", "blocks"]
    if "models" in wanted:
        for seed, (name, (model_class, config)) in enumerate(model_classes().items()):
            make_model(name, model_class, config, seed)
    if "tokens" in wanted:
        make_tokens(sys.argv[1])
    if "templates" in wanted:
        make_templates()
    if "blocks" in wanted:
        make_blocks()


if __name__ == "__main__":
    main()
