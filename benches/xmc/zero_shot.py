#!/usr/bin/env python3
"""Labels without a training sample, with texts of labels (`data.label_texts`) and without.

    python3 benches/xmc/zero_shot.py --data DATA --out benches/results/xmc-zero-shot.json

DATA has the folder gutenberg-subjects, as fetched from the repository that docs/results.md names; the demo's titles are in this
repository. Labels are the names of subjects and key words.

For each seed, `--labels` labels are drawn among those that 5 to 50 training samples have, and all samples of these labels leave the
training set. Of them the recall of the drawn labels is measured: the share of pairs of a sample and a drawn label that it has, in which the
label is among the best k, of all labels. The validation part is measured as well, by the same models. `texts of names` gets a file with the
names of all labels of the training part, drawn ones included. `names of training` has the names of those that are left; `no texts`, which
is the default, has none. `texts alone` has the file, and no other part. Figures are percentages, means of the seeds.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
KS = (1, 5, 10, 50)
ROWS = {
    "no texts": [],
    "names of training": ["data.label_texts=names"],
    "texts of names": ["data.label_texts=FILE"],
    "texts alone": ["data.label_texts=FILE", "model.parts=texts"],
}


def lines(path):
    text = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True, text=True).stdout
    return [line for line in text.split("\n") if line]


def load(name, data):
    """Pairs of a text and names of labels, to train with and to validate with."""
    folder = ROOT / "data/demo" if name == "demo" else data / name
    names = lines(folder / "labels.txt.zst")

    def part(which):
        if name == "demo":
            rows = (line.split("\t") for line in lines(folder / f"{which}.tsv.zst"))
            return [(text, [names[int(label)] for label in labels.split(",") if label]) for _, labels, text in rows]
        rows = map(json.loads, lines(folder / f"{which}.jsonl.zst"))
        return [(f"{row['title'] or ''} {row['author'] or ''}", [names[label] for label in row["labels"]]) for row in rows]

    return part("train"), part("valid")


def write(path, samples):
    path.write_text("".join(json.dumps({"text": text, "labels": labels}) + "\n" for text, labels in samples))


def recall(program, run, path, samples, drawn):
    """The recall of the drawn labels at each of KS."""
    command = [program, "predict", "--json", "--top", str(KS[-1]), "--run", run, "--input", path]
    answers = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    hits, pairs = dict.fromkeys(KS, 0), 0
    for (_, labels), answer in zip(samples, answers, strict=True):
        found = [entry["label"] for entry in json.loads(answer)["labels"]]
        wanted = [label for label in set(labels) if label in drawn]
        pairs += len(wanted)
        for k in KS:
            hits[k] += sum(label in found[:k] for label in wanted)
    return {f"recall@{k}": 100 * hits[k] / pairs for k in KS}


def one(program, folder, sets, samples, drawn):
    run = folder / "run"
    command = [program, "train", "xmc", "--json", "--train", folder / "train.jsonl", "--valid", folder / "valid.jsonl", "--out", run]
    sets = ["data.text=text", "data.label=labels"] + [text.replace("FILE", str(folder / "names.txt")) for text in sets]
    command += [word for setting in sets for word in ("--set", setting)]
    summary = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    row = recall(program, run, folder / "asked.jsonl", samples, drawn)
    row |= {key: 100 * summary["metrics"][key] for key in ("p@1", "p@3", "p@5", "psp@1", "psp@3", "psp@5")}
    subprocess.run(["rm", "-r", run], check=True)
    return row | {"seconds": summary["seconds"]["load"] + summary["seconds"]["train"]}


def draw(train, count, seed):
    frequencies = Counter(label for _, labels in train for label in set(labels))
    some = sorted(label for label, times in frequencies.items() if 5 <= times <= 50)
    return set(random.Random(seed).sample(some, count))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/hotrow")
    parser.add_argument("--sets", nargs="*", default=["gutenberg-subjects", "demo"])
    parser.add_argument("--labels", type=int, default=500)
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    info = json.loads(subprocess.run([options.program, "info", "--json"], check=True, capture_output=True, text=True).stdout)
    result = {
        "schema": 1,
        "command": "python3 benches/xmc/zero_shot.py --data DATA",
        "machine": {"cpu": info["cpu"], "cores": info["cores"], "level": info["level"], "system": platform.platform()},
        "commit": info["commit"],
        "load_average_at_start": os.getloadavg()[0],
        "sets": {},
    }
    for name in options.sets:
        train, valid = load(name, options.data)
        rows = {row: [] for row in ROWS}
        for seed in options.seeds:
            drawn = draw(train, options.labels, seed)
            kept = [sample for sample in train if drawn.isdisjoint(sample[1])]
            asked = [sample for sample in train if not drawn.isdisjoint(sample[1])]
            names = sorted({label for _, labels in train for label in labels})
            with tempfile.TemporaryDirectory() as folder:
                folder = Path(folder)
                write(folder / "train.jsonl", kept), write(folder / "valid.jsonl", valid), write(folder / "asked.jsonl", asked)
                (folder / "names.txt").write_text("".join(label + "\n" for label in names))
                for row, sets in ROWS.items():
                    rows[row].append(one(options.program, folder, sets, asked, drawn))
                    print(name, seed, row, {key: round(value, 2) for key, value in rows[row][-1].items()}, flush=True)
        mean = lambda runs: {key: sum(run[key] for run in runs) / len(runs) for key in runs[0]} | {"runs": runs}
        result["sets"][name] = {"labels_without_samples": options.labels, "rows": {row: mean(runs) for row, runs in rows.items()}}
        result["load_average_at_end"] = os.getloadavg()[0]
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n")
    if not options.out:
        print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
