"""Defaults on small sets: P@1 of the default configuration beside tuned ones, on a fifth of the training part that is held out.

    cargo build --release
    python3 benches/xmc/small.py --data FOLDER --out benches/results/xmc-small.json

FOLDER holds bibtex, delicious and gutenberg-subjects as their READMEs describe them. Test parts are not touched: what
decides a default is every fifth sample of the training part. Of gutenberg-subjects the first SIZES samples are taken, to see at
which size the defaults stop to matter. `--grid` runs all combinations of rule, rate, batch and passes; without it, only the
defaults, and what they were before the size of the training set decided.
"""

import argparse
import gzip
import json
import os
import platform
import statistics
import subprocess
import tempfile
from pathlib import Path

SIZES = (2000, 8000, 30000)
FORMER = ["optim.lr=0.1", "train.batch_size=256", "train.epochs=5"]
GRID = [
    [f"optim.name={rule}", f"optim.lr={lr}", f"train.batch_size={batch}", f"train.epochs={epochs}"]
    for rule, rates in (("rowwise-adagrad", (0.05, 0.1, 0.2)), ("adam-lazy", (0.003,)))
    for lr in rates
    for batch in (32, 64, 256)
    for epochs in (5, 10, 20)
]


def xc(source, folder):
    """A fifth of the samples of an XC file as a file of its own."""
    with gzip.open(source, "rt") as lines:
        head, *lines = lines.read().splitlines()
    _, features, labels = head.split()
    parts = {"train": [l for i, l in enumerate(lines) if i % 5], "valid": lines[::5]}
    for name, part in parts.items():
        (folder / f"{name}.txt").write_text("\n".join([f"{len(part)} {features} {labels}", *part]) + "\n")
    return len(parts["train"]), folder / "train.txt", folder / "valid.txt", []


def jsonl(source, folder, size):
    """The first samples of a packed file of objects."""
    text = subprocess.run(["zstd", "-dc", source], check=True, capture_output=True, text=True).stdout
    lines = text.splitlines()[: size * 5 // 4]
    (folder / "train.jsonl").write_text("\n".join(l for i, l in enumerate(lines) if i % 5) + "\n")
    (folder / "valid.jsonl").write_text("\n".join(lines[::5]) + "\n")
    return size, folder / "train.jsonl", folder / "valid.jsonl", ["data.text=title", "data.label=labels"]


def sets(data, scratch):
    def folder(name):
        (scratch / name).mkdir()
        return scratch / name

    yield "bibtex", xc(data / "bibtex/train.txt.gz", folder("bibtex"))
    yield "delicious", xc(data / "delicious/train.txt.gz", folder("delicious"))
    for size in SIZES:
        name = f"gutenberg-subjects, {size}"
        yield name, jsonl(data / "gutenberg-subjects/train.jsonl.zst", folder(name), size)


def run(binary, scratch, train, valid, options, threads):
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        command = [binary, "train", "xmc", "--json", "--train", train, "--valid", valid, "--out", f"{folder}/run"]
        command += ["--cache", scratch / "cache", "--threads", threads]
        for option in options + ["train.save_every=1000000", "sparse.inspect_every=0", "train.eval_every=0"]:
            command += ["--set", option]
        done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--binary", default="target/release/hotrow")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--grid", action="store_true")
    parser.add_argument("--only", nargs="*", help="names of the sets to run")
    arguments = parser.parse_args()
    info = json.loads(subprocess.run([arguments.binary, "info", "--json"], check=True, capture_output=True).stdout)
    result = {
        "schema": 1,
        "command": "python3 benches/xmc/small.py",
        "machine": {"cpu": info["cpu"], "cores": info["cores"], "level": info["level"], "system": platform.platform()},
        "commit": info["commit"],
        "load_average_at_start": os.getloadavg()[0],
        "rows": json.loads(arguments.out.read_text())["rows"] if arguments.out.exists() else [],
    }
    done = {(row["set"], tuple(row["options"])) for row in result["rows"]}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for name, (samples, train, valid, options) in sets(arguments.data, scratch):
            if arguments.only and name not in arguments.only:
                continue
            for extra in [[], FORMER, *(GRID if arguments.grid else [])]:
                if (name, tuple(extra)) in done:
                    continue
                runs = [run(arguments.binary, scratch, train, valid, options + extra + [f"train.seed={seed}"], arguments.threads)
                        for seed in range(1, arguments.seeds + 1)]
                row = {"set": name, "samples": samples, "options": extra, "steps": runs[0]["steps"]}
                row["p@1"] = {"mean": statistics.mean(r["metrics"]["p@1"] for r in runs),
                              "seeds": [r["metrics"]["p@1"] for r in runs]}
                row["seconds"] = statistics.median(r["seconds"]["train"] for r in runs)
                result["rows"].append(row)
                print(f"{name:28} {' '.join(extra) or 'defaults':70} {100 * row['p@1']['mean']:6.2f} {row['seconds']:6.1f} s",
                      flush=True)
                arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
