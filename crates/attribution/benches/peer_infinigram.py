"""infini-gram's `attribute` on the text and the answers of examples/attribution_speed.rs; prints one JSON object, or null if not installed.

usage: peer_infinigram.py FOLDER MIN_LEN MAX_COUNT; the folder holds `tokens.u16` (little-endian, 0xffff before each record) and
`answers.json` (lists of token ids). The package's own index format is written beside them; its suffix array is sorted here.
"""

import importlib.metadata
import json
import os
import sys
import time

SEPARATOR = 0xFFFF


def suffix_array(keys, numpy):
    """Positions of all suffixes in order, by doubling the length that is compared."""
    count = len(keys)
    rank = numpy.unique(keys, return_inverse=True)[1].astype(numpy.int64)
    length = 1
    while True:
        second = numpy.full(count, -1, dtype=numpy.int64)
        second[:-length] = rank[length:]
        pair = rank * (count + 1) + second + 1
        order = numpy.argsort(pair, kind="stable")
        ordered = pair[order]
        rank[order] = numpy.concatenate(([0], numpy.cumsum(ordered[1:] != ordered[:-1])))
        if rank[order[-1]] == count - 1:
            return order
        length *= 2


def write_index(folder, numpy):
    tokens = numpy.fromfile(f"{folder}/tokens.u16", dtype="<u2")
    index = f"{folder}/index"
    os.mkdir(index)
    tokens.tofile(f"{index}/tokenized.0")
    numpy.flatnonzero(tokens == SEPARATOR).astype("<u8").__mul__(2).tofile(f"{index}/offset.0")
    # Suffixes are compared byte by byte, the low byte of a token first.
    order = suffix_array(tokens.byteswap(), numpy)
    width = (int(2 * len(tokens)).bit_length() + 7) // 8
    (order.astype("<u8") * 2).view(numpy.uint8).reshape(-1, 8)[:, :width].tofile(f"{index}/table.0")
    ids, counts = numpy.unique(tokens, return_counts=True)
    with open(f"{index}/unigram.0", "w") as out:
        out.writelines(f"{token} {count}\n" for token, count in zip(ids, counts))
    return index


def main():
    try:
        import numpy
        from infini_gram.engine import InfiniGramEngine
    except ImportError:
        print("null")
        return
    folder, min_len, max_count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    index = write_index(folder, numpy)
    engine = InfiniGramEngine(
        index_dir=index, eos_token_id=0, vocab_size=SEPARATOR, version=4, token_dtype="u16", load_to_ram=True,
        precompute_unigram_logprobs=True,
    )
    with open(f"{folder}/answers.json") as file:
        answers = json.load(file)
    times, spans = [], 0
    for answer in answers:
        started = time.perf_counter()
        found = engine.attribute(input_ids=answer, delim_ids=[], min_len=min_len, max_cnt=max_count, enforce_bow=False)
        times.append((time.perf_counter() - started) * 1e3)
        spans += len(found["spans"])
    times.sort()
    report = {
        "version": importlib.metadata.version("infini-gram"),
        "span_query_ms_median": times[len(times) // 2],
        "span_query_ms_max": times[-1],
        "spans": spans,
    }
    print(json.dumps(report))


main()
