#!/usr/bin/env python3
"""The next item of a history as classification: hotrow's defaults against item-kNN, popularity and label trees.

    pip install -r benches/xmc/requirements.txt
    python3 benches/xmc/next_item.py --data DATA --out benches/results/xmc-next-item.json

DATA has the folder amazon-beauty-next (`data/beauty.txt` of BERT4Rec, without each user's last item; the last but one is what is to be
found). A sample is a beginning of a history: its items weigh 0.8^age, and its label is the item that follows. Every position but the
first of each history trains. HR@10 and nDCG@10 are over all items, on 10 000 users that are drawn once. item-kNN is the cosine of items
over users, summed over the history with the same weights (the better of that and of equal weights), without items of the history.
"""

import argparse
import gzip
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
USERS, DECAY = 10_000, 0.8


def read(folder):
    lines = gzip.open(folder / "train.txt.gz", "rt").read().split("\n")
    rows = [list(map(int, line.split())) for line in lines if line]
    following = dict(tuple(map(int, line.split())) for line in gzip.open(folder / "valid.txt.gz", "rt"))
    histories = {row[0]: row[1:] for row in rows}
    users = [user for user in following if histories.get(user)]
    drawn = np.random.RandomState(0).permutation(len(users))[:USERS]
    return histories, following, [users[i] for i in drawn]


def features(history, decay=DECAY):
    weights = {}
    for age, item in enumerate(reversed(history[-50:])):
        weights[item] = max(weights.get(item, 0), decay**age)
    return weights


def line(label, history):
    weights = features(history)
    return f"{label} " + " ".join(f"{item}:{weights[item]:.6g}" for item in sorted(weights))


def write(path, lines, items):
    path.write_text(f"{len(lines)} {items} {items}\n" + "\n".join(lines) + "\n")


def quality(best, wanted):
    places = [list(row).index(item) for row, item in zip(best, wanted) if item in row]
    return {"hr@10": len(places) / len(wanted), "ndcg@10": sum(1 / np.log2(place + 2) for place in places) / len(wanted)}


def top(scores):
    best = np.argpartition(-scores, 10, axis=1)[:, :10]
    order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
    return np.take_along_axis(best, order, 1)


def item_knn(histories, users, items):
    rows = [(place, item) for place, history in enumerate(histories.values()) for item in set(history)]
    x = sp.csc_matrix((np.ones(len(rows), np.float32), tuple(zip(*rows))), shape=(len(histories), items))
    popular = np.asarray(x.sum(0)).ravel()
    x = x.multiply(1 / np.sqrt(np.maximum(popular, 1))).tocsr()
    alike = (x.T @ x).tolil()
    alike.setdiag(0)
    alike, rankings = alike.tocsr(), {}
    for decay in (1.0, DECAY):
        best = []
        for start in range(0, len(users), 500):
            some = users[start:start + 500]
            entries = [(row, item, weight) for row, user in enumerate(some) for item, weight in features(histories[user], decay).items()]
            row, column, weight = zip(*entries)
            scores = (sp.csr_matrix((weight, (row, column)), shape=(len(some), items)) @ alike).toarray()
            for at, user in enumerate(some):
                scores[at, histories[user]] = -1
            best.append(top(scores))
        rankings[decay] = np.concatenate(best)
    return rankings, top(np.tile(popular, (1, 1)))[0]


def hotrow(program, train, valid, seed, sets):
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [program, "train", "xmc", "--json", "--train", train, "--out", run, "--set", f"train.seed={seed}"]
        command += [word for setting in sets for word in ("--set", setting)]
        summary = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        command = [program, "predict", "--json", "--top", "10", "--run", run, "--input", valid]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        # The first line answers the header.
        best = [[int(entry["label"]) for entry in json.loads(line)["labels"]] for line in lines[1:]]
        return best, summary["seconds"]["load"] + summary["seconds"]["train"], summary["digest"]


def omikuji(model, train, valid):
    import omikuji

    start = time.time()
    hyper = omikuji.Model.default_hyper_param()
    if model == "bonsai":
        hyper.cluster_k, hyper.cluster_balanced = 100, False
        hyper.max_depth = 3
    trained = omikuji.Model.train_on_data(str(train), hyper, n_threads=os.cpu_count())
    seconds, best = time.time() - start, []
    for text in valid.read_text().split("\n")[1:]:
        if text:
            pairs = [pair.split(":") for pair in text.split()[1:]]
            found = trained.predict([(int(item), float(weight)) for item, weight in pairs], top_k=10)
            best.append([label for label, _ in found])
    return best, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/hotrow")
    parser.add_argument("--rivals", nargs="*", default=["parabel"], choices=["parabel", "bonsai"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--set", action="append", default=[], help="an option of hotrow, in place of its default")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    info = json.loads(subprocess.run([options.program, "info", "--json"], check=True, capture_output=True, text=True).stdout)
    histories, following, users = read(options.data / "amazon-beauty-next")
    wanted = [following[user] for user in users]
    items = 1 + max(max(map(max, filter(None, histories.values()))), max(following.values()))
    lines = [line(history[i], history[:i]) for history in histories.values() for i in range(1, len(history))]
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        train, valid = Path(folder) / "train.txt", Path(folder) / "valid.txt"
        write(train, lines, items), write(valid, [line(following[user], histories[user]) for user in users], items)
        runs = []
        for seed in options.seeds:
            best, seconds, digest = hotrow(options.program, train, valid, seed, options.set)
            runs.append(quality(best, wanted) | {"seconds": seconds, "digest": digest})
        mean = lambda key: sum(run[key] for run in runs) / len(runs)
        rows["hotrow"] = {key: mean(key) for key in ("hr@10", "ndcg@10", "seconds")} | {"runs": runs}
        for rival in options.rivals:
            best, seconds = omikuji(rival, train, valid)
            rows[rival] = quality(best, wanted) | {"seconds": seconds}
    knn, popular = item_knn(histories, users, items)
    rows["item-knn"] = max((quality(best, wanted) for best in knn.values()), key=lambda row: row["ndcg@10"])
    rows["popularity"] = quality([popular] * len(wanted), wanted)
    for who, row in rows.items():
        print(f"{who:12} HR@10 {row['hr@10']:.4f}  nDCG@10 {row['ndcg@10']:.4f}  {row.get('seconds', 0):7.1f} s", file=sys.stderr)
    text = json.dumps({
        "schema": 1,
        "command": "python3 benches/xmc/next_item.py --data DATA" + "".join(f" --set '{setting}'" for setting in options.set),
        "machine": {"cpu": info["cpu"], "cores": info["cores"], "level": info["level"], "system": platform.platform()},
        "commit": info["commit"],
        "samples": len(lines),
        "items": items,
        "users": len(users),
        "rows": rows,
    }, indent=1) + "\n"
    options.out.write_text(text) if options.out else print(text)


if __name__ == "__main__":
    main()
