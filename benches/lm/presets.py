"""Memory, speed and exact validation loss of the presets with large tables, beside those of `base` at equal tokens.

    cargo build --release
    python3 benches/lm/presets.py --data DIR --tokens 100000            (DIR as for quality.py)

`planned_bytes` is what a dry run says, `peak_memory_bytes` what was resident. `--tokens-of memory-7b=4096` trains one of them for
less. Each row is written as soon as it is there.
"""

import argparse
import tempfile
from pathlib import Path

import quality


def planned(study):
    with tempfile.TemporaryDirectory() as folder:
        return study.train(f"{folder}/run", [], 1, 1, "--dry-run")["peak_memory_bytes"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("benches/results/lm-presets.json"))
    parser.add_argument("--binary", default="target/release/hotrow")
    parser.add_argument("--presets", nargs="*", default=["base", "memory-1b", "memory-2.5b", "memory-7b"])
    parser.add_argument("--batch", type=int, default=1024, help="tokens of a step")
    parser.add_argument("--lr", type=float, default=0.002)
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--tokens-of", nargs="*", default=["memory-7b=4096"], metavar="PRESET=TOKENS")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2])
    arguments = parser.parse_args()
    fewer = {name: int(tokens) for name, tokens in (pair.split("=") for pair in arguments.tokens_of)}
    arguments.study, arguments.minutes, arguments.preset = "presets", None, "base"
    study = quality.Study(arguments)
    for seed in arguments.seeds:
        for name in arguments.presets:
            arguments.preset = name
            steps = fewer.get(name, arguments.tokens) // arguments.batch
            if not study.row(contender=name, seed=seed, tokens=steps * arguments.batch):
                row = study.figures(name, ["train.log_every=1"], steps, seed)
                # Each step was logged for its speed; a curve needs fewer.
                row["curve"] = row["curve"][:: max(steps // 20, 1)]
                study.add({"planned_bytes": planned(study), **row})


if __name__ == "__main__":
    main()
