"""How the time of a step and the memory grow with the number of labels, at the same number of active rows.

    cargo build --release
    python3 benches/xmc/growth.py --out benches/results/xmc-growth.json

Planted sets of 40 960 samples that differ in the number of labels only; 4096 active rows, random beside the labels, row-wise
Adagrad. The last run stores 10^7 rows of 128 as bf16.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--binary", default="target/release/hotrow")
    parser.add_argument("--scratch", type=Path, help="a folder with room for checkpoints of several GB")
    arguments = parser.parse_args()
    info = json.loads(subprocess.run([arguments.binary, "info", "--json"], check=True, capture_output=True).stdout)
    result = {
        "schema": 1,
        "command": "python3 benches/xmc/growth.py",
        "machine": {"cpu": info["cpu"], "cores": info["cores"], "level": info["level"], "system": platform.platform()},
        "commit": info["commit"],
        "load_average_at_start": os.getloadavg()[0],
        "rows": [],
    }
    for labels, storage in ((10**5, "f32"), (10**6, "f32"), (3 * 10**6, "f32"), (10**7, "bf16")):
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
            data = ["--labels", labels, "--samples", 40960, "--valid-samples", 10, "--out", f"{folder}/data"]
            subprocess.run(list(map(str, [arguments.binary, "make-data", "xmc", "--preset", "amazon-670k", *data])), check=True,
                           capture_output=True)
            options = ["train.epochs=1", "sparse.index=random", "sparse.active=4096", f"model.storage={storage}", "train.keep=1"]
            command = [arguments.binary, "train", "xmc", "--json", "--train", f"{folder}/data/train.txt", "--out", f"{folder}/run"]
            for option in options:
                command += ["--set", option]
            done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        row = {
            "labels": labels,
            "storage": storage,
            "milliseconds_per_step": 1e3 * done["seconds"]["train"] / done["steps"],
            "parameters": done["parameters"],
            "weight_and_state_bytes": done["parameters"] * (4 if storage == "f32" else 2) + 4 * (labels + 135_909),
            "peak_memory_bytes": done["peak_memory_bytes"],
        }
        result["rows"].append(row)
        print(row, flush=True)
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
