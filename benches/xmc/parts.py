#!/usr/bin/env python3
"""Memories and linear rows (`model.parts=auto`) against label trees, on real sets, with the same features and all defaults.

    pip install -r benches/xmc/requirements.txt
    python3 benches/xmc/parts.py --data DATA --out benches/results/xmc-parts.json

With `--rivals-of benches/results/xmc-parts.json` rivals are not run again, but those of `--again`.

DATA has a folder for each set, as fetched from the repositories that docs/results.md names: gutenberg-subjects, bibtex, citeulike-t,
arxiv-authors, delicious. The demo's titles are in this repository. Features of text are words and pairs of words that come twice, with
sublinear tf-idf and length 1; of citeulike-t the file's counts, weighed in the same way; of bibtex and delicious the file's own. Both
programs read the same file in XC text and take turns. `delicious` has no validation part here: a tenth of its training part is cut off.

A row has P@1, 3 and 5 in percent, seconds from the file to the model, and bytes of the model. Rivals are omikuji's Parabel and Bonsai at
their defaults (see omikuji_baseline.py); `--rivals` chooses. hotrow takes a seed for each of `--seeds`; the row has the mean.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer
from sklearn.preprocessing import normalize

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
KS = (1, 3, 5)


def unpacked(path):
    tool = {".zst": "zstd", ".gz": "gzip"}[path.suffix]
    return subprocess.run([tool, "-dc", path], capture_output=True, check=True, text=True).stdout


def titles(path, label, text):
    """Columns of labels and of text."""
    rows = (line.split("\t") for line in unpacked(path).split("\n") if line)
    return [([int(x) for x in row[label].split(",")], row[text]) for row in rows]


def works(path):
    rows = map(json.loads, filter(None, unpacked(path).split("\n")))
    return [(row["labels"], f"{row['title'] or ''} {row['author'] or ''}") for row in rows]


def samples(path):
    """Features and labels of XC text."""
    lines = unpacked(path).split("\n")
    count, features, _ = map(int, lines[0].split())
    rows, columns, values, labels = [], [], [], []
    for i, line in enumerate(lines[1:count + 1]):
        of_line, _, rest = line.partition(" ")
        labels.append([int(x) for x in of_line.split(",") if x])
        for pair in rest.split():
            column, value = pair.split(":")
            rows.append(i), columns.append(int(column)), values.append(float(value))
    return sp.csr_matrix((values, (rows, columns)), shape=(count, features), dtype=np.float32), labels


def of_text(train, valid):
    weigh = TfidfVectorizer(token_pattern=r"(?u)[^\W_]+", ngram_range=(1, 2), min_df=2, sublinear_tf=True, dtype=np.float32)
    x = weigh.fit_transform([text for _, text in train])
    return (x, [labels for labels, _ in train]), (weigh.transform([text for _, text in valid]), [labels for labels, _ in valid])


def of_counts(train, valid):
    weigh = TfidfTransformer(sublinear_tf=True)
    return (weigh.fit_transform(train[0]), train[1]), (weigh.transform(valid[0]), valid[1])


def as_they_are(train, valid):
    return (normalize(train[0]), train[1]), (normalize(valid[0]), valid[1])


def cut(all_of_them, share=0.1):
    x, labels = all_of_them
    order = np.random.RandomState(0).permutation(x.shape[0])
    count = int(len(order) * share)
    return tuple((x[part], [labels[i] for i in part]) for part in (order[count:], order[:count]))


def load(name, data):
    folder = data / name
    if name == "demo":
        demo = ROOT / "data/demo"
        return of_text(titles(demo / "train.tsv.zst", 1, 2), titles(demo / "valid.tsv.zst", 1, 2))
    if name == "gutenberg-subjects":
        return of_text(works(folder / "train.jsonl.zst"), works(folder / "valid.jsonl.zst"))
    if name == "arxiv-authors":
        return of_text(titles(folder / "train.tsv.zst", 2, 3), titles(folder / "valid.tsv.zst", 2, 3))
    if name == "citeulike-t":
        return of_counts(samples(folder / "train.txt.gz"), samples(folder / "valid.txt.gz"))
    if name == "bibtex":
        return as_they_are(samples(folder / "train.txt.gz"), samples(folder / "test.txt.gz"))
    return as_they_are(*cut(samples(folder / "train.txt.gz")))


SETS = ["demo", "gutenberg-subjects", "bibtex", "citeulike-t", "arxiv-authors", "delicious"]


def write(path, x, labels, count):
    x = x.tocsr()
    x.sort_indices()
    with open(path, "w") as file:
        file.write(f"{x.shape[0]} {x.shape[1]} {count}\n")
        for i, of_row in enumerate(labels):
            span = slice(x.indptr[i], x.indptr[i + 1])
            pairs = " ".join(f"{f}:{v:.6g}" for f, v in zip(x.indices[span], x.data[span]))
            file.write(",".join(map(str, of_row)) + " " + pairs + "\n")


def hotrow(program, train, valid, seed, parts="auto"):
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        # The features are weighed already.
        sets = [f"model.parts={parts}", "data.tf_idf=false", f"train.seed={seed}"]
        command = [program, "train", "xmc", "--json", "--train", train, "--valid", valid, "--out", run]
        command += [word for setting in sets for word in ("--set", setting)]
        summary = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        checkpoint = run / (run / "latest").read_text().strip()
        kept = [checkpoint / name for name in ("parts.safetensors", "model.safetensors")]
        row = {f"p@{k}": 100 * summary["metrics"][f"p@{k}"] for k in KS}
        row |= {f"psp@{k}": 100 * summary["metrics"][f"psp@{k}"] for k in KS}
        seconds = summary["seconds"]["load"] + summary["seconds"]["train"]
        return row | {"seconds": seconds, "bytes": sum(file.stat().st_size for file in kept if file.exists()),
                      "peak_memory_bytes": summary["peak_memory_bytes"], "digest": summary["digest"]}


def omikuji(model, train, valid):
    command = [sys.executable, HERE / "omikuji_baseline.py", "--train", train, "--valid", valid, "--model", model]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = json.loads(output.strip().split("\n")[-1])
    return {f"{of}@{k}": 100 * found[f"{of}@{k}"] for of in ("p", "psp") for k in KS} | {"seconds": found["seconds_train"], "bytes": found["bytes"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/hotrow")
    parser.add_argument("--sets", nargs="*", default=SETS, choices=SETS)
    parser.add_argument("--rivals", nargs="*", default=["parabel", "bonsai"], choices=["parabel", "bonsai"])
    parser.add_argument("--rivals-of", type=Path, help="a result of before, whose rows of rivals are taken for sets of the same sizes")
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--alone", action="store_true", help="each part alone and each left out, too")
    parser.add_argument("--network", action="store_true", help="a network beside all parts, too")
    parser.add_argument("--again", nargs="*", default=[], choices=["parabel", "bonsai"], help="rivals that run again though there are rows of before")
    parser.add_argument("--psp", action="store_true", help="rivals that are kept run again if they lack PSP")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    info = json.loads(subprocess.run([options.program, "info", "--json"], check=True, capture_output=True, text=True).stdout)
    result = {
        "schema": 1,
        "command": "python3 benches/xmc/parts.py --data DATA" + (" --alone" if options.alone else "") + (" --network" if options.network else ""),
        "machine": {"cpu": info["cpu"], "cores": info["cores"], "level": info["level"], "system": platform.platform()},
        "commit": info["commit"],
        "load_average_at_start": os.getloadavg()[0],
        "sets": {},
    }
    known = json.loads(options.rivals_of.read_text())["sets"] if options.rivals_of else {}
    for name in options.sets:
        (x, y), (vx, vy) = load(name, options.data)
        labels = 1 + max(max(of_row, default=0) for of_row in y + vy)
        rows = {}
        with tempfile.TemporaryDirectory() as folder:
            train, valid = Path(folder) / "train.txt", Path(folder) / "valid.txt"
            write(train, x, y, labels), write(valid, vx, vy, labels)
            runs = [hotrow(options.program, train, valid, seed) for seed in options.seeds]
            numbers = [key for key in runs[0] if key != "digest"]
            rows["hotrow"] = {key: sum(run[key] for run in runs) / len(runs) for key in numbers} | {"runs": runs}
            parts = ["counts", "neighbours", "linear"]
            lists = [[part] for part in parts] + [[p for p in parts if p != out] for out in parts] if options.alone else []
            lists += [parts + ["network"]] if options.network else []
            for some in lists:
                rows["+".join(some)] = hotrow(options.program, train, valid, 1, json.dumps(some))
            before = known.get(name, {"rows": {}})
            same = [before.get(key) for key in ("samples", "features", "labels")] == [len(y), x.shape[1], labels]
            for rival in options.rivals:
                kept = before["rows"].get(rival) if same and rival not in options.again else None
                if kept and "psp@1" not in kept:
                    # Rows of an older script lack it; their times stay.
                    found = omikuji(rival, train, valid) if options.psp else {}
                    kept |= {key: value for key, value in found.items() if key.startswith("psp")}
                rows[rival] = kept or omikuji(rival, train, valid)
        result["sets"][name] = {"samples": len(y), "features": x.shape[1], "labels": labels, "rows": rows}
        for who, row in rows.items():
            print(f"{name:20} {who:20}", *(f"{row[f'p@{k}']:6.2f}" for k in KS), f"{row['seconds']:8.1f} s", file=sys.stderr, flush=True)
        result["load_average_at_end"] = os.getloadavg()[0]
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n")
    if not options.out:
        print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
