"""Makes train.tsv.zst and valid.tsv.zst of this folder from those of data/demo: titles that have one of the 300 most frequent
key words, with these labels only; the first 15 000 for training.

    python3 make.py ../demo .
"""

import subprocess
import sys
from pathlib import Path

LABELS, TRAIN = 300, 15_000


def main():
    source, out = map(Path, sys.argv[1:])
    for name, most in [("train.tsv.zst", TRAIN), ("valid.tsv.zst", None)]:
        text = subprocess.run(["zstd", "-dcq", source / name], check=True, capture_output=True, text=True).stdout
        lines = []
        for line in text.splitlines():
            identifier, labels, title = line.split("\t")
            labels = [label for label in labels.split(",") if int(label) < LABELS]
            if labels:
                lines.append(f"{identifier}\t{','.join(labels)}\t{title}\n")
        kept = lines[:most]
        packed = subprocess.run(["zstd", "-19", "-cq"], input="".join(kept).encode(), check=True, capture_output=True)
        (out / name).write_bytes(packed.stdout)
        count = sum(line.split("\t")[1].count(",") + 1 for line in kept)
        print(f"{name}: {len(kept)} of {len(lines)} lines, {count} labels")


main()
