"""Tokens a second that `hotrow generate` draws one by one, as a share of what the memory allows.

    cargo build --release
    target/release/hotrow tokenize TEXT.. --tokenizer GPT2-FOLDER --out DIR
    chrt -f 10 python3 benches/lm/generate.py --data DIR --out benches/results/lm-generate.json

`chrt` (which needs the right to it) keeps other programs of a shared machine away. Python has NumPy. A model of each preset is trained for
one step, as speed does not depend on what weights are, and its flat distribution is the slowest to draw from. The seconds of a short text are taken
from those of a long one, so loading, rounding weights and the prompt do not count; the best of some rounds is reported, and all of them.

Bytes of a token: each weight of the blocks' and the head's products once, in bf16, and keys and values, in f32, of half the long text on average.
The bandwidth: as many processes as there are cores take the maximum of 128 MiB of their own again and again (NumPy's is a plain vector loop),
all in the same half second; bytes by time, added up, best and median of some rounds: on a shared machine single rounds were half as fast
again as all others. The shares are the bytes times the tokens a second by these bandwidths, best by best and median by median.
"""

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy

# Width, layers, context.
PRESETS = {"small": (384, 6, 256), "base": (512, 8, 512)}
SHORT = 8


def read(barrier, queue):
    numbers = numpy.ones(1 << 25, numpy.float32)
    barrier.wait()
    start, passes = time.perf_counter(), 0
    while time.perf_counter() < start + 0.5:
        numbers.max()
        passes += 1
    queue.put(passes * numbers.nbytes / (time.perf_counter() - start))


def bandwidth(processes):
    barrier, queue = multiprocessing.Barrier(processes), multiprocessing.Queue()
    workers = [multiprocessing.Process(target=read, args=(barrier, queue)) for _ in range(processes)]
    [worker.start() for worker in workers]
    total = sum(queue.get() for _ in workers)
    [worker.join() for worker in workers]
    return total


def run(command):
    return json.loads(subprocess.run(list(map(str, command)), check=True, capture_output=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--binary", default="target/release/hotrow")
    parser.add_argument("--presets", nargs="*", default=list(PRESETS))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    info = run([arguments.binary, "info", "--json"])
    load, cores = os.getloadavg()[0], info["cores"]
    rates = [bandwidth(cores) for _ in range(arguments.rounds)]
    result = {
        "schema": 1,
        "command": f"chrt -f 10 python3 benches/lm/generate.py --presets {' '.join(arguments.presets)}",
        "machine": {"cpu": info["cpu"], "cores": cores, "level": info["level"], "system": platform.platform()},
        "commit": info["commit"],
        "load_average_at_start": load,
        "read_bytes_per_second": {"rounds": rates, "best": max(rates), "median": statistics.median(rates)},
        "rows": [],
    }
    print(f"reading: {max(rates) / 1e9:.1f} GB/s", flush=True)
    for preset in arguments.presets:
        width, layers, context = PRESETS[preset]
        with tempfile.TemporaryDirectory() as folder:
            train = [arguments.binary, "train", "lm", "--json", "--preset", preset, "--out", f"{folder}/run"]
            train += ["--train", arguments.data / "train.tokens", "--tokenizer", arguments.data / "tokenizer.json"]
            for option in ("train.steps=1", f"train.batch_tokens={context}", "train.sample_tokens=0"):
                train += ["--set", option]
            run(train)
            vocabulary = len(json.loads((arguments.data / "tokenizer.json").read_text())["model"]["vocab"])
            draw = [arguments.binary, "generate", "--json", "--checkpoint", f"{folder}/run", "--prompt", "The", "--max-tokens"]
            long, seconds = context, []
            for _ in range(arguments.rounds):
                texts = [run([*draw, tokens]) for tokens in (SHORT, long)]
                [short_seconds, long_seconds] = [text["seconds"] for text in texts]
                # A text may end by itself before.
                seconds.append((long_seconds - short_seconds) / (texts[1]["tokens"] - texts[0]["tokens"]))
        weights = layers * 12 * width * width + vocabulary * width
        cached = layers * 2 * width * 4 * (SHORT + texts[1]["tokens"]) // 2
        bytes_per_token = 2 * weights + cached
        best = 1 / min(seconds)
        row = {
            "preset": preset,
            "tokens_per_second": best,
            "rounds": [1 / value for value in seconds],
            "bytes_per_token": {"weights": 2 * weights, "keys_and_values": cached},
            "share_of_bandwidth": best * bytes_per_token / max(rates),
            "share_of_medians": bytes_per_token / statistics.median(seconds) / statistics.median(rates),
        }
        result["rows"].append(row)
        shares = f"{row['share_of_bandwidth']:.0%} of the best, {row['share_of_medians']:.0%} of medians"
        print(f"{preset:8} {best:6.0f} tokens/s, {bytes_per_token / 1e6:.0f} MB each: {shares}", flush=True)
        result[f"load_average_{preset}"] = os.getloadavg()[0]
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
