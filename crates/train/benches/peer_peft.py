"""transformers and peft on the workload of examples/train_speed.rs, float32 on the CPU; prints one JSON object, or null if not installed.

usage: peer_peft.py THREADS STEPS [MODEL_FOLDER]; without a folder a random model of SmolLM2-135M's shape is used, which computes as fast.
"""

import json
import sys
import time

RECORD_TOKENS, BATCH, LEARNT_TOKENS, RANK = 59, 8, 12, 8


def main():
    try:
        import torch
        import transformers
        import peft
    except ImportError:
        print("null")
        return
    threads, steps = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if len(sys.argv) > 3:
        model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[3], dtype=torch.float32)
    else:
        config = transformers.LlamaConfig(
            hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
            vocab_size=49152, rope_theta=1e5, tie_word_embeddings=True,
        )
        model = transformers.LlamaForCausalLM(config)
    modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = peft.get_peft_model(model, peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=modules))
    model.train()
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    vocab = model.config.vocab_size

    def step(n):
        tokens = torch.randint(0, vocab, (BATCH, RECORD_TOKENS + 1))
        labels = tokens.clone()
        labels[:, : RECORD_TOKENS + 1 - LEARNT_TOKENS] = -100
        loss = model(input_ids=tokens, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()

    step(0)
    started = time.time()
    for n in range(steps):
        step(n + 1)
    tps = steps * BATCH * RECORD_TOKENS / (time.time() - started)
    print(json.dumps({"tps": tps, "torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}))


main()
