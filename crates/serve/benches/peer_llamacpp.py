"""llama.cpp (Python package xllamacpp) on the workload of examples/serve_speed.rs; prints one JSON object, or null if not installed.

usage: peer_llamacpp.py MODEL.gguf FOLDER_WITH_bench-N.gguf THREADS
"""

import json
import sys
import threading
import time

PROMPT_TOKENS, NEW_TOKENS, STREAMS = 74, 64, 8


def main():
    try:
        import xllamacpp as xlc
    except ImportError:
        print("null")
        return
    model, folder, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    params = xlc.CommonParams()
    params.model.path = model
    params.n_ctx = 8 * 256
    params.n_parallel = STREAMS
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.warmup = True
    adapters = []
    for n in range(STREAMS):
        adapter = xlc.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = f"{folder}/bench-{n}.gguf", 0.0
        adapters.append(adapter)
    params.lora_adapters = adapters
    server = xlc.Server(params)

    def ask(n, lora):
        prompt = [(n * 131 + t * 17 + 100) % 40000 for t in range(PROMPT_TOKENS)]
        request = {"prompt": prompt, "n_predict": NEW_TOKENS, "ignore_eos": True, "temperature": 0, "cache_prompt": False}
        request["lora"] = [{"id": i, "scale": 1.0 if i == lora else 0.0} for i in range(STREAMS)]
        server.handle_completions(request)

    def run(streams, lora):
        started = time.time()
        workers = [threading.Thread(target=ask, args=(n, lora(n))) for n in range(streams)]
        [w.start() for w in workers]
        [w.join() for w in workers]
        return streams * NEW_TOKENS / (time.time() - started)

    run(1, lambda n: -1)
    report = {
        "version": getattr(xlc, "__version__", "unknown"),
        "streams_1_base_tps": run(1, lambda n: -1),
        "streams_8_base_tps": run(STREAMS, lambda n: -1),
        "streams_8_adapters_8_tps": run(STREAMS, lambda n: n),
    }
    print(json.dumps(report))


main()
