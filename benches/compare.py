"""Two builds of the program, interleaved: whether a change has made training slower.

    python3 benches/compare.py OLD NEW --out benches/results/compare.json

OLD and NEW are programs. Each round runs every workload with both, one after the other and the other way round in the next round, so that
a machine which is busy for a while is busy for both. A row has the rates of both, the ratio of their medians, and the median of the ratios
within a round. Rates leave out what comes before the first step; that of the demo is runs an hour, everything included. Data are planted,
or the documents of this repository as tokens: rates do not depend on what the text says.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LM = ["train.save_every=100000", "train.sample_tokens=0", "model.vocabulary=50257"]
WORKLOADS = {
    "xmc 670k blocks bf16": ("xmc", ["sparse.index=blocks", "model.storage=bf16", "train.epochs=1", "train.batch_size=256"]),
    "lm small dense": ("lm small", ["train.steps=4", *LM]),
    "lm small sampled": ("lm small", ["train.steps=6", "head.mode=sampled", *LM]),
    "lm memory-2.5b": ("lm memory-2.5b", ["train.steps=2", "train.batch_tokens=8192", *LM]),
    "demo": ("demo", []),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(WORKLOADS), choices=list(WORKLOADS))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    programs = {"old": arguments.old.resolve(), "new": arguments.new.resolve()}

    def output(program, *words, **options):
        return subprocess.run([program, *map(str, words)], check=True, capture_output=True, text=True, **options).stdout

    def info(program):
        return json.loads(output(program, "info", "--json"))

    machine = info(programs["new"])
    result = {
        "schema": 1,
        "command": f"python3 benches/compare.py OLD NEW --rounds {arguments.rounds}",
        "machine": {"cpu": machine["cpu"], "cores": machine["cores"], "level": machine["level"], "system": platform.platform()},
        "commit": machine["commit"],
        "old_commit": info(programs["old"])["commit"],
        "load_average_at_start": os.getloadavg()[0],
        "rows": [],
    }
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        output(programs["new"], "make-data", "xmc", "--preset", "amazon-670k", "--samples", 20_000, "--valid-samples", 10, "--out", scratch / "xmc")
        documents = sorted(Path(__file__).parent.parent.glob("**/*.md"))
        (scratch / "text.txt").write_text("\n".join(path.read_text() for path in documents if "target" not in path.parts))
        output(programs["new"], "tokenize", "--out", scratch / "tokens", "--vocabulary", 2048, scratch / "text.txt")

        def rate(program, workload):
            kind, sets = WORKLOADS[workload]
            options = [word for setting in sets for word in ("--set", setting)]
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                out = Path(folder) / "run"
                if kind == "demo":
                    start = time.monotonic()
                    output(program, "demo", "--epochs", 1, "--out", out)
                    return 3600 / (time.monotonic() - start)
                if kind == "xmc":
                    data = ["--train", scratch / "xmc/train.txt", "--cache", scratch / "cache"]
                    return json.loads(output(program, "train", "xmc", "--json", *data, "--out", out, *options))["samples_per_second"]
                data = ["--train", scratch / "tokens/train.tokens", "--preset", kind.split()[1]]
                return json.loads(output(program, "train", "lm", "--json", *data, "--out", out, *options))["tokens_per_second"]

        for workload in arguments.only:
            rates = {name: [] for name in programs}
            for number in range(arguments.rounds):
                for name in sorted(programs, reverse=number % 2 == 0):
                    rates[name].append(rate(programs[name], workload))
            paired = statistics.median(new / old for old, new in zip(rates["old"], rates["new"]))
            medians = {name: statistics.median(values) for name, values in rates.items()}
            row = {"workload": workload, **rates, "ratio_of_medians": medians["new"] / medians["old"], "median_of_ratios": paired}
            result["rows"].append(row)
            print(f"{workload}: {row['ratio_of_medians']:.3f} (paired {paired:.3f})", {name: [round(x) for x in values] for name, values in rates.items()}, file=sys.stderr, flush=True)
    result["load_average_at_end"] = os.getloadavg()[0]
    text = json.dumps(result, indent=1) + "\n"
    arguments.out.write_text(text) if arguments.out else print(text)


if __name__ == "__main__":
    main()
