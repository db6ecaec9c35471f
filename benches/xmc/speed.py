"""Samples a second of training against PyTorch and against hotrow's own dense mode, interleaved.

    cargo build --release
    target/release/hotrow make-data xmc --preset amazon-670k --out DIR
    python3 benches/xmc/speed.py --data DIR --python VENV/bin/python --out benches/results/xmc-speed.json

VENV has benches/xmc/requirements.txt. Each round runs every contender for some steps on the first samples of the training file,
one after the other, so that a machine which is busy for a while is busy for all of them; ratios are of medians. A contender's
own start-up and reading are not timed, hotrow's reading of batches and rebuilding of its index are. The first steps, in which
memory is touched for the first time, are timed in nobody (a third of hotrow's run, as its log has it).
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
from pathlib import Path


def first(source, samples, out):
    """The first samples of an XC file."""
    with open(source) as lines:
        _, features, labels = next(lines).split()
        with open(out, "w") as head:
            head.write(f"{samples} {features} {labels}\n")
            for _ in range(samples):
                head.write(next(lines))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--binary", default="target/release/hotrow")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, nargs="*", default=[256, 1024])
    arguments = parser.parse_args()
    here = Path(__file__).parent
    info = json.loads(subprocess.run([arguments.binary, "info", "--json"], check=True, capture_output=True).stdout)
    result = {
        "schema": 1,
        "command": "python3 benches/xmc/speed.py",
        "machine": {"cpu": info["cpu"], "cores": info["cores"], "level": info["level"], "system": platform.platform()},
        "commit": info["commit"],
        "load_average_at_start": os.getloadavg()[0],
        "rows": [],
    }

    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        long = first(arguments.data / "train.txt", 100 * 1024, scratch / "long.txt")
        short = first(arguments.data / "train.txt", 8 * 1024, scratch / "short.txt")

        def hotrow(train, batch, *options):
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                command = [arguments.binary, "train", "xmc", "--json", "--train", train, "--out", f"{folder}/run"]
                command += ["--cache", scratch / "cache", "--set", f"train.batch_size={batch}", "--set", "train.epochs=1"]
                for option in options + ("train.save_every=1000000", "sparse.inspect_every=0", "train.log_every=4"):
                    command += ["--set", option]
                subprocess.run(list(map(str, command)), check=True, capture_output=True)
                log = [json.loads(line) for line in open(f"{folder}/run/metrics.jsonl")]
            log = [event for event in log if event["event"] == "train"]
            start, end = log[len(log) // 3], log[-1]
            return (end["samples"] - start["samples"]) / (end["seconds"] - start["seconds"])

        def torch(script, train, batch, steps, *options):
            command = [arguments.python, here / script, "--train", train, "--batch", batch, "--steps", steps, *options]
            done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
            return json.loads(done.stdout.strip().splitlines()[-1])["samples_per_second"]

        for batch in arguments.batch:
            steps, few = 51200 // batch, max(6, 1024 // batch)
            # A batch of 1024 has 5000 labels: fewer candidates would be none but them.
            rows, half = (4096, 2048) if batch <= 256 else (8192, 6144)
            adam, bf16 = ("optim.name=adam-lazy", "optim.lr=0.02"), "model.precision=bf16"
            sampled = lambda *options: lambda: hotrow(long, batch, *options)
            contenders = {
                f"hotrow, blocks, {rows} rows": sampled(f"sparse.active={rows}"),
                f"hotrow, blocks, {rows} rows, bf16": sampled(f"sparse.active={rows}", bf16),
                f"hotrow, inverted, {rows} rows": sampled(f"sparse.active={rows}", "sparse.index=inverted"),
                f"hotrow, random, {rows} rows": sampled(f"sparse.active={rows}", "sparse.index=random"),
                f"hotrow, random, {rows} rows, bf16": sampled(f"sparse.active={rows}", "sparse.index=random", bf16),
                f"hotrow, random, {rows} rows, Adam": sampled(f"sparse.active={rows}", "sparse.index=random", *adam),
                f"hotrow, random, {rows} rows, Adam, bf16": sampled(f"sparse.active={rows}", "sparse.index=random", bf16, *adam),
                f"hotrow, random, {half} rows, bf16": sampled(f"sparse.active={half}", "sparse.index=random", bf16),
                f"hotrow, random, {half} rows, Adam, bf16": sampled(f"sparse.active={half}", "sparse.index=random", bf16, *adam),
            }
            for candidates in (rows, half):
                for precision in ("f32", "bf16"):
                    options = ("--candidates", candidates, "--precision", precision)
                    contenders[f"PyTorch, sampled, {candidates} rows, Adam, {precision}"] = (
                        lambda options=options: torch("torch_sampled.py", long, batch, steps, *options))
            contenders |= {
                "hotrow, dense": lambda: hotrow(short, batch, "sparse.index=all"),
                "hotrow, dense, bf16": lambda: hotrow(short, batch, "sparse.index=all", bf16),
                "PyTorch, dense, f32": lambda: torch("torch_dense.py", short, batch, few),
                "PyTorch, dense, bf16": lambda: torch("torch_dense.py", short, batch, few, "--precision", "bf16"),
            }
            rates = {name: [] for name in contenders}
            loads = []
            for _ in range(arguments.rounds):
                for name, run in contenders.items():
                    try:
                        rates[name].append(run())
                    except subprocess.CalledProcessError as error:
                        print(f"{name}: {error.stderr[-300:]}", flush=True)
                loads.append(os.getloadavg()[0])
            for name, values in rates.items():
                if values:
                    row = {"batch": batch, "contender": name, "samples_per_second": values, "median": statistics.median(values)}
                    result["rows"].append(row)
                    print(f"batch {batch:5} {name:34} {row['median']:9.0f} samples/s", flush=True)
            result[f"load_average_batch_{batch}"] = loads
            arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
