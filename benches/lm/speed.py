"""Tokens a second of training of the dense trunks against PyTorch, of the sampled head against the dense one, interleaved, and of
a preset with large tables.

    cargo build --release
    target/release/hotrow tokenize TEXT.. --tokenizer GPT2-FOLDER --out DIR
    python3 benches/lm/speed.py --data DIR --python VENV/bin/python --out benches/results/lm-speed.json

VENV has benches/xmc/requirements.txt. Contenders of a preset take turns; a figure is the median of a run's steps after the first two, in
which memory is touched for the first time. hotrow reads real tokens, PyTorch random ones (which costs it nothing). The vocabulary is
GPT-2's, 50 257 tokens; steps have the same number of tokens on both sides; PyTorch adds up gradients of micro-batches of 2 048 tokens, hotrow of its default, up
to 4 096. `--f32` adds PyTorch in f32, which is the faster one on CPUs whose bf16 instructions are slow.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
from pathlib import Path

# Tokens of a step, and steps.
SIZES = {"small": (8192, 5), "base": (4096, 5), "gpt2-124m": (2048, 5), "memory-2.5b": (8192, 8)}
MICRO = 2048


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--binary", default="target/release/hotrow")
    parser.add_argument("--presets", nargs="*", default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--f32", action="store_true")
    arguments = parser.parse_args()
    info = json.loads(subprocess.run([arguments.binary, "info", "--json"], check=True, capture_output=True).stdout)
    # Rows of presets that are not measured now stay.
    before = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"rows": []}
    result = {
        **{key: value for key, value in before.items() if key.startswith("load_average_")},
        "schema": 1,
        "command": " ".join(["python3 benches/lm/speed.py", *["--f32"] * arguments.f32]),
        "machine": {"cpu": info["cpu"], "cores": info["cores"], "level": info["level"], "system": platform.platform()},
        "load_average_at_start": os.getloadavg()[0],
        "rows": [row for row in before["rows"] if row["preset"] not in arguments.presets],
    }

    def hotrow(preset, *options):
        tokens, steps = SIZES[preset]
        with tempfile.TemporaryDirectory() as folder:
            command = [arguments.binary, "train", "lm", "--json", "--preset", preset, "--out", f"{folder}/run"]
            command += ["--train", arguments.data / "train.tokens", "--tokenizer", arguments.data / "tokenizer.json"]
            settings = (f"train.steps={steps}", f"train.batch_tokens={tokens}", "train.log_every=1", "train.save_every=0",
                        "train.sample_tokens=0", *options)
            for option in settings:
                command += ["--set", option]
            subprocess.run(list(map(str, command)), check=True, capture_output=True)
            log = [json.loads(line) for line in open(f"{folder}/run/metrics.jsonl")]
        rates = [event["tokens_per_second"] for event in log if event["event"] == "train"]
        return statistics.median(rates[2:])

    def torch(preset, *options):
        tokens, steps = SIZES[preset]
        command = [arguments.python, Path(__file__).parent / "torch_trunk.py", "--preset", preset, "--steps", steps]
        command += ["--micro", min(MICRO, tokens), "--micros", max(tokens // MICRO, 1), *options]
        done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
        return json.loads(done.stdout.strip().splitlines()[-1])["tokens_per_second"]

    for preset in arguments.presets:
        contenders = {
            "hotrow, dense head": lambda: hotrow(preset),
            "PyTorch bf16, chunked head": lambda: torch(preset),
            "PyTorch bf16, plain head": lambda: torch(preset, "--head", "plain"),
            "PyTorch bf16, chunked head, compiled": lambda: torch(preset, "--compile"),
            "hotrow, sampled head": lambda: hotrow(preset, "head.mode=sampled"),
        }
        if arguments.f32:
            contenders["PyTorch f32, chunked head"] = lambda: torch(preset, "--precision", "f32")
            contenders["PyTorch f32, chunked head, compiled"] = lambda: torch(preset, "--precision", "f32", "--compile")
        # Its head is sampled, and PyTorch has none of its tables.
        if preset.startswith("memory"):
            contenders = {"hotrow": lambda: hotrow(preset)}
        rates = {name: [] for name in contenders}
        for _ in range(arguments.rounds):
            for name, run in contenders.items():
                rates[name].append(run())
        for name, values in rates.items():
            row = {"preset": preset, "contender": name, "tokens_per_second": values, "median": statistics.median(values)}
            row["commit"] = info["commit"]
            result["rows"].append(row)
            print(f"{preset:10} {name:36} {row['median']:8.0f} tokens/s", flush=True)
        result["rows"].sort(key=lambda row: list(SIZES).index(row["preset"]))
        result[f"load_average_{preset}"] = os.getloadavg()[0]
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
