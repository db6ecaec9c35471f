"""P@1, P@3 and P@5 of active sets against the exact softmax, at equal epochs, over several seeds.

    cargo build --release
    python3 benches/xmc/quality.py --data FOLDER --out benches/results/xmc-quality.json

FOLDER holds bibtex, delicious, gutenberg-subjects as their READMEs describe them. delicious has no public test part here: every
tenth sample of its training part is held out. The rule and its learning rate were tuned for the exact softmax on seed 1 and are
used for every kind of run of a set. The figures of a set are written as soon as it is done.
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

TEXT = ["data.text=title", "data.label=labels"]


def held_out(source, folder):
    """Every tenth sample of an XC file as a file of its own."""
    with gzip.open(source, "rt") as lines:
        head, *lines = lines.read().splitlines()
    _, features, labels = head.split()
    parts = {"train": [l for i, l in enumerate(lines) if i % 10], "valid": lines[::10]}
    for name, part in parts.items():
        text = "\n".join([f"{len(part)} {features} {labels}", *part]) + "\n"
        (folder / f"{name}.txt").write_text(text)
    return folder / "train.txt", folder / "valid.txt"


def sets(data, scratch):
    """Name, files, options of all runs of the set, learning rates of exact runs and of runs with active sets, sizes."""
    delicious = scratch / "delicious"
    delicious.mkdir()
    small = ["optim.name=adam-lazy", "optim.lr=0.003", "train.batch_size=64"]
    yield "bibtex", data / "bibtex/train.txt.gz", data / "bibtex/test.txt.gz", small + ["train.epochs=10"], 48
    yield "delicious", *held_out(data / "delicious/train.txt.gz", delicious), small + ["train.epochs=5"], 300
    folder = data / "gutenberg-subjects"
    yield "gutenberg-subjects", folder / "train.jsonl.zst", folder / "valid.jsonl.zst", TEXT + ["train.epochs=3"], 2106


def run(binary, scratch, train, valid, options):
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        command = [binary, "train", "xmc", "--json", "--train", train, "--valid", valid, "--out", f"{folder}/run"]
        command += ["--cache", scratch / "cache"]
        for option in options + ["train.save_every=1000000", "sparse.inspect_every=0", "train.eval_every=0"]:
            command += ["--set", option]
        done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--binary", default="target/release/hotrow")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="measures these sets anew and keeps the others")
    arguments = parser.parse_args()
    info = json.loads(subprocess.run([arguments.binary, "info", "--json"], check=True, capture_output=True).stdout)
    result = {
        "schema": 1,
        "command": "python3 benches/xmc/quality.py",
        "machine": {"cpu": info["cpu"], "cores": info["cores"], "level": info["level"], "system": platform.platform()},
        "commit": info["commit"],
        "load_average_at_start": os.getloadavg()[0],
        "rows": [],
    }
    if arguments.only and arguments.out.exists():
        rows = json.loads(arguments.out.read_text())["rows"]
        result["rows"] = [row for row in rows if row["set"] not in arguments.only]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for name, train, valid, options, active in sets(arguments.data, scratch):
            if arguments.only and name not in arguments.only:
                continue
            share = f"sparse.active={active}"
            kinds = [("exact softmax", ["sparse.index=all"])]
            kinds += [(index, [f"sparse.index={index}", share]) for index in ("random", "blocks", "simhash", "dwta", "exact")]
            kinds += [("blocks, per-sample", ["sparse.index=blocks", "sparse.mode=per-sample", f"sparse.active={max(active // 16, 24)}"])]
            if name == "gutenberg-subjects":
                for part in (42, 210, 842):
                    kinds += [(i, [f"sparse.index={i}", f"sparse.active={part}"]) for i in ("random", "blocks", "simhash", "exact")]
            for kind, extra in kinds:
                runs = [run(arguments.binary, scratch, train, valid, options + extra + [f"train.seed={seed}"])
                        for seed in range(1, arguments.seeds + 1)]
                metrics = {key: [r["metrics"][key] for r in runs] for key in ("p@1", "p@3", "p@5", "psp@5", "ndcg@5")}
                gemm = [r["phases"]["gemm"]["flops"] for r in runs]
                row = {
                    "set": name,
                    "kind": kind,
                    "options": options + extra,
                    "active_share": runs[0]["active_share"],
                    "output_layer_flops": gemm[0],
                    "metrics": {key: {"mean": statistics.mean(v), "seeds": v} for key, v in metrics.items()},
                }
                result["rows"].append(row)
                means = " ".join(f"{key} {100 * row['metrics'][key]['mean']:.2f}" for key in ("p@1", "p@3", "p@5"))
                print(f"{name:20} {kind:20} {100 * row['active_share']:7.3f} %  {means}", flush=True)
                arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
