"""A transformer of 7 billion parameters, defined by its configuration, counted in 2 GiB.

Writes the configuration of a Llama of that size, counts it with the command line in a process of
its own and prints the count, the time and the most memory that any process of the run held.
Exits 1 where the count is not that of the closed form, or the memory is above 2 GiB.

    python benchmarks/large_transformer.py [--tokens 128]
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT_BYTES = 2 * 2**30
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}


def closed_form(tokens: int) -> tuple[int, int]:
    """Parameters and MACs of the configuration at a number of tokens."""
    d, hidden, layers, words = 4096, 11008, 32, 32000
    products = layers * (4 * d * d + 3 * d * hidden) + d * words
    params = products + words * d + (2 * layers + 1) * d
    return params, tokens * products + layers * 2 * tokens * tokens * d


def main() -> int:
    """Run the count, print its figures, compare them with the limits."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=128)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(CONFIG))
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "gadprof", "count", f"transformers:{path}", "--input",
             str(options.tokens), "--depth", "0", "--store", "off", "--format", "json"],
            stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        took_s = time.perf_counter() - start
    # the largest of the command's process and the process that it counts in
    peak_bytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    found = json.loads(done.stdout)
    counted = (found["params"], found["macs"])
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    print(f"parameters {counted[0]:,}, MACs {counted[1]:,} at {options.tokens} tokens")
    print(f"closed form: {closed_form(options.tokens)[0]:,}, {closed_form(options.tokens)[1]:,}")
    print(f"peak resident memory {peak_bytes / 2**20:.0f} MiB, {took_s:.1f} s")
    good = counted == closed_form(options.tokens) and peak_bytes <= LIMIT_BYTES
    print("within 2 GiB and equal" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
