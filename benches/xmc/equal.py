"""Quality and time of one epoch on the planted amazon-670k clone: what each contender pays for the P@1 that it reaches.

    cargo build --release
    target/release/hotrow make-data xmc --preset amazon-670k --out DIR
    python3 benches/xmc/equal.py --data DIR --python VENV/bin/python --out benches/results/xmc-equal.json

VENV has benches/xmc/requirements.txt. Evaluation is exact over all labels, on the first 5 000 validation samples: P@1 is an
estimate with a standard error of 0.5 points. Each row is a whole epoch, one after the other; `seconds` are those of the training
steps (reading, rebuilding of the index included; start-up and evaluation not). Learning rates were tuned for each contender by hand
in the same way: a few values a factor of 1.5 to 3 apart, the best P@1 kept. 32 768 random rows stand for the exact softmax, of
which an epoch would take half an hour: their estimate of the partition function has an eighth of the variance of 4 096.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
from pathlib import Path


def linear(*options):
    return ("optim.schedule=linear", "model.precision=bf16", *options)


RUNS = {
    "hotrow, random, 4096 rows, row-wise RMSprop": linear(
        "sparse.index=random", "sparse.active=4096", "optim.name=rowwise-rmsprop", "optim.lr=0.002"),
    "hotrow, random, 4096 rows": linear("sparse.index=random", "sparse.active=4096", "optim.lr=0.06"),
    "hotrow, random, 4096 rows, lazy Adam": (
        "model.precision=bf16", "sparse.index=random", "sparse.active=4096", "optim.name=adam-lazy", "optim.lr=0.02"),
    "hotrow, blocks, 4096 rows": linear("sparse.active=4096", "optim.lr=0.1"),
    "hotrow, blocks, 8192 rows, 32 hits": linear("sparse.active=8192", "sparse.hits=32", "optim.lr=0.06"),
    "hotrow, random, 32768 rows": linear("sparse.index=random", "sparse.active=32768", "optim.lr=0.06"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--binary", default="target/release/hotrow")
    arguments = parser.parse_args()
    info = json.loads(subprocess.run([arguments.binary, "info", "--json"], check=True, capture_output=True).stdout)
    result = {
        "schema": 1,
        "command": "python3 benches/xmc/equal.py",
        "machine": {"cpu": info["cpu"], "cores": info["cores"], "level": info["level"], "system": platform.platform()},
        "commit": info["commit"],
        "load_average_at_start": os.getloadavg()[0],
        "rows": [],
    }

    def add(contender, options, metrics, seconds, rate):
        row = {"contender": contender, "options": options, "seconds": seconds, "samples_per_second": rate}
        row |= {name: metrics[name] for name in ("p@1", "p@3", "p@5")}
        result["rows"].append(row)
        print(f"{contender:45} P@1 {100 * row['p@1']:5.1f}  {seconds:6.1f} s  {rate:7.0f} samples/s", flush=True)
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        train, valid = arguments.data / "train.txt", scratch / "valid.txt"
        with open(arguments.data / "valid.txt") as lines, open(valid, "w") as head:
            _, features, labels = next(lines).split()
            head.write(f"5000 {features} {labels}\n")
            head.writelines(next(lines) for _ in range(5000))
        for contender, options in RUNS.items():
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                command = [arguments.binary, "train", "xmc", "--json", "--train", train, "--valid", valid, "--out", f"{folder}/run"]
                command += ["--cache", scratch / "cache"]
                for option in ("train.epochs=1", "train.save_every=1000000", "sparse.inspect_every=0", *options):
                    command += ["--set", option]
                done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
            summary = json.loads(done.stdout)
            add(contender, options, summary["metrics"], summary["seconds"]["train"], summary["samples_per_second"])
        options = ("--candidates", "4096", "--precision", "bf16", "--lr", "0.01", "--batch", "256", "--epochs", "1", "--eval")
        command = [arguments.python, Path(__file__).parent / "torch_sampled.py", "--train", train, "--valid", valid, *options]
        done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
        summary = json.loads(done.stdout.strip().splitlines()[-1])
        add("PyTorch, sampled, 4096 rows, lazy Adam", options, summary, summary["seconds"], summary["samples_per_second"])


if __name__ == "__main__":
    main()
