#!/usr/bin/env python3
"""What `train xmc` builds by default on planted sets of many labels, and how its time grows with their number.

    cargo build --release
    python3 benches/xmc/growth_parts.py --out benches/results/xmc-growth-parts.json

1. The planted Amazon-670K whole (490 449 samples, 670 091 labels): P@1, 3, 5 on 5 000 validation samples, seconds from the file to the
   model, peak memory, and the time of one sample asked alone (`hotrow bench ask`).
2. Planted sets of 40 960 samples with 10^5, 3 * 10^5, 10^6 and 3 * 10^6 labels: seconds of training a sample.

All options are defaults. `--scratch` needs 3 GB.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
from pathlib import Path


def done(*command):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


def train(binary, data, run, valid=()):
    summary = json.loads(done(binary, "train", "xmc", "--json", "--train", f"{data}/train.txt", *valid, "--out", run))
    seconds = summary["seconds"]
    return summary, {
        "seconds": seconds["load"] + seconds["train"],
        "seconds_train": seconds["train"],
        "peak_memory_bytes": summary["peak_memory_bytes"],
        "parts": summary["parts"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--binary", default="target/release/hotrow")
    parser.add_argument("--scratch", type=Path, help="a folder with room")
    parser.add_argument("--only", choices=["whole", "growth"])
    arguments = parser.parse_args()
    binary = arguments.binary
    info = json.loads(done(binary, "info", "--json"))
    result = {
        "schema": 1,
        "command": "python3 benches/xmc/growth_parts.py",
        "machine": {"cpu": info["cpu"], "cores": info["cores"], "level": info["level"], "system": platform.platform()},
        "commit": info["commit"],
        "load_average_at_start": os.getloadavg()[0],
    }
    if arguments.out.exists():
        result = {key: value for key, value in json.loads(arguments.out.read_text()).items() if key in ("whole", "growth")} | result

    def keep(**more):
        result.update(more, load_average_at_end=os.getloadavg()[0])
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
        print(json.dumps(more), flush=True)

    if arguments.only != "growth":
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
            done(binary, "make-data", "xmc", "--preset", "amazon-670k", "--valid-samples", 5000, "--out", f"{folder}/data")
            valid = f"{folder}/data/valid.txt"
            summary, row = train(binary, f"{folder}/data", f"{folder}/run", ("--valid", valid))
            row |= {name: 100 * value for name, value in summary["metrics"].items() if name.startswith(("p@", "psp@"))}
            keep(whole=row)
            asked = json.loads(done(binary, "bench", "ask", "--json", "--run", f"{folder}/run", "--data", valid, "--exhaustive", 20))
            keep(whole=row | {"ask": {key: asked[key] for key in (
                "microseconds", "microseconds_99", "exhaustive_microseconds", "exhaustive_samples", "found", "samples", "labels")}})
    rows = []
    for labels in (10**5, 3 * 10**5, 10**6, 3 * 10**6) if arguments.only != "whole" else ():
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
            sizes = ["--labels", labels, "--samples", 40960, "--valid-samples", 10]
            done(binary, "make-data", "xmc", "--preset", "amazon-670k", *sizes, "--out", f"{folder}/data")
            _, row = train(binary, f"{folder}/data", f"{folder}/run")
            rows.append({"labels": labels, "samples": 40960, "microseconds_per_sample": 1e6 * row["seconds_train"] / 40960} | row)
            keep(growth=rows)


if __name__ == "__main__":
    main()
