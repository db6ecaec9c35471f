"""Samples a second of training with each index of the output against random active rows, interleaved.

    cargo build --release
    target/release/hotrow make-data xmc --preset amazon-670k --out DIR
    python3 benches/xmc/index_speed.py --train DIR/train.txt --out benches/results/xmc-index-speed.json

Each round trains a network with every index for one pass over the first samples of the file, all else equal, one after the other, so
that a machine which is busy for a while is busy for all of them. The rate is that of the last two thirds of the steps, as the log has
it; the ratio is the median of those within a round. What an index needs before the first step is timed apart (`start`, which reads the
samples too): an inverted index is built then. `phases` has the milliseconds that a step spent where, in the median of the rounds.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from speed import first


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="samples in XC text")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--binary", default="target/release/hotrow")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=100 * 1024)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--set", action="append", default=[], help="further options of all runs")
    parser.add_argument("--index", nargs="*", default=["random", "inverted", "blocks"], help="the first is compared with")
    arguments = parser.parse_args()
    info = json.loads(subprocess.run([arguments.binary, "info", "--json"], check=True, capture_output=True).stdout)
    with open(arguments.train) as lines:
        size = [int(number) for number in next(lines).split()]
    rates = {name: [] for name in arguments.index}
    starts, phases, loads = {name: [] for name in rates}, {name: {} for name in rates}, []

    with tempfile.TemporaryDirectory() as scratch:
        samples = min(arguments.samples, size[0])
        train = first(arguments.train, samples, Path(scratch) / "train.txt")

        def run(index):
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                command = [arguments.binary, "train", "xmc", "--json", "--train", train, "--out", f"{folder}/run"]
                command += ["--cache", f"{scratch}/cache"]
                options = [f"train.batch_size={arguments.batch}", "train.epochs=1", f"sparse.index={index}"]
                options += ["model.parts=network", "train.save_every=1000000", "sparse.inspect_every=0", "train.log_every=4"]
                for option in options + arguments.set:
                    command += ["--set", option]
                begin = time.monotonic()
                subprocess.run(list(map(str, command)), check=True, capture_output=True)
                wall = time.monotonic() - begin
                log = [json.loads(line) for line in open(f"{folder}/run/metrics.jsonl")]
                summary = json.loads(Path(f"{folder}/run/summary.json").read_text())
            log = [event for event in log if event["event"] == "train"]
            start, end = log[len(log) // 3], log[-1]
            for name, spent in summary["phases"].items():
                phases[index].setdefault(name, []).append(1000 * spent["seconds"] / summary["steps"])
            starts[index].append(wall - end["seconds"])
            return (end["samples"] - start["samples"]) / (end["seconds"] - start["seconds"])

        run(arguments.index[0])  # Parses the file, which the others find in the cache.
        starts[arguments.index[0]].clear()
        phases[arguments.index[0]].clear()
        for _ in range(arguments.rounds):
            for name, of in rates.items():
                of.append(run(name))
            loads.append(os.getloadavg()[0])

    base = rates[arguments.index[0]]
    result = {
        "schema": 1,
        "command": "python3 benches/xmc/index_speed.py",
        "machine": {"cpu": info["cpu"], "cores": info["cores"], "level": info["level"], "system": platform.platform()},
        "commit": info["commit"],
        "samples": samples,
        "features": size[1],
        "labels": size[2],
        "batch": arguments.batch,
        "set": arguments.set,
        "load_average": loads,
        "rows": [],
    }
    for name, of in rates.items():
        ratio = statistics.median(rate / other for rate, other in zip(of, base))
        row = {"index": name, "samples_per_second": of, "median": statistics.median(of), "ratio": ratio}
        row |= {"start": round(statistics.median(starts[name]), 2)}
        row |= {"phases": {phase: round(statistics.median(spent), 3) for phase, spent in phases[name].items()}}
        result["rows"].append(row)
        print(f"{name:10} {row['median']:9.0f} samples/s  {ratio:.3f}  start {row['start']:.1f} s  {row['phases']}", flush=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
