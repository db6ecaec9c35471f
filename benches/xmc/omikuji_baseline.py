#!/usr/bin/env python3
"""Linear baselines that a user would take: label trees (omikuji) and one-vs-all (liblinear), on any file in XC text.

    python3 benches/xmc/omikuji_baseline.py --train train.txt --valid test.txt --model parabel
    python3 benches/xmc/omikuji_baseline.py --train train.txt --valid test.txt --model bonsai
    python3 benches/xmc/omikuji_baseline.py --train train.txt --valid test.txt --model one-vs-all

`parabel` is omikuji's default (three balanced binary trees), `bonsai` three trees with 100 children a node and no balancing.
Both get the file's own values; omikuji divides them by their length itself. `one-vs-all` trains one hinge-loss classifier
a label and is for small sets. Prints one JSON object: P@1, 3, 5 and PSP@1, 3, 5 on the validation file, seconds to train and to predict, bytes of the model on disk.
"""

import argparse
import json
import os
import tempfile
import time

import numpy as np

import xc


def omikuji_text(samples, path):
    """omikuji wants increasing features, and skips samples without labels or features: give it only those that have both."""
    counts, label_counts = np.diff(samples.starts), np.diff(samples.label_starts)
    keep = np.flatnonzero((counts > 0) & (label_counts > 0))
    with open(path, "w") as file:
        file.write(f"{len(keep)} {samples.features} {samples.labels}\n")
        for i in keep:
            labels = samples.label_ids[samples.label_starts[i]:samples.label_starts[i + 1]]
            span = slice(samples.starts[i], samples.starts[i + 1])
            pairs = sorted(zip(samples.indices[span].tolist(), samples.values[span].tolist()))
            file.write(",".join(map(str, labels)) + " " + " ".join(f"{f}:{v:.7g}" for f, v in pairs) + "\n")


def trees(options, train, valid):
    import omikuji

    parameters = omikuji.Model.default_hyper_param()
    if options.model == "bonsai":
        parameters.cluster_k = 100
        parameters.cluster_balanced = False
        parameters.collapse_every_n_layers = 0
        parameters.max_depth = 3
    parameters.n_trees = options.trees
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "train.txt")
        omikuji_text(train, path)
        start = time.perf_counter()
        model = omikuji.Model.train_on_data(path, parameters, n_threads=options.threads)
        trained = time.perf_counter() - start
        saved = os.path.join(folder, "model")
        model.save(saved)
        size = sum(os.path.getsize(os.path.join(saved, name)) for name in os.listdir(saved))
    start = time.perf_counter()
    top = []
    for i in range(len(valid)):
        span = slice(valid.starts[i], valid.starts[i + 1])
        pairs = sorted(zip(valid.indices[span].tolist(), valid.values[span].tolist()))
        top.append([label for label, _ in model.predict(pairs, beam_size=options.beam, top_k=5)])
    return top, trained, time.perf_counter() - start, size


def one_vs_all(options, train, valid):
    from joblib import Parallel, delayed
    from sklearn.svm import LinearSVC

    x, y = train.csr()
    test, _ = valid.csr()
    y = y.tocsc()

    def fit(label):
        target = np.zeros(len(train))
        target[y.indices[y.indptr[label]:y.indptr[label + 1]]] = 1
        if target.min() == target.max():
            # Never or always there: no classifier, but the fact.
            return np.zeros(train.features), 1e3 if target.max() else -1e3
        model = LinearSVC(C=options.c).fit(x, target)
        return model.coef_[0], model.intercept_[0]

    start = time.perf_counter()
    fits = Parallel(n_jobs=options.threads)(delayed(fit)(label) for label in range(train.labels))
    weights, biases = np.array([w for w, _ in fits]), np.array([b for _, b in fits])
    trained = time.perf_counter() - start
    start = time.perf_counter()
    top = np.argsort(-(test @ weights.T + biases), axis=1)[:, :5]
    return top, trained, time.perf_counter() - start, weights.nbytes + biases.nbytes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True)
    parser.add_argument("--valid", required=True)
    parser.add_argument("--model", choices=["parabel", "bonsai", "one-vs-all"], default="parabel")
    parser.add_argument("--trees", type=int, default=3)
    parser.add_argument("--beam", type=int, default=10)
    parser.add_argument("--c", type=float, default=1.0, help="liblinear's C")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    ours = options.model == "one-vs-all"
    train, valid = xc.Samples(options.train, normalize=ours), xc.Samples(options.valid, normalize=ours)
    top, trained, predicted, size = (one_vs_all if ours else trees)(options, train, valid)
    report = {"seconds_train": trained, "seconds_predict": predicted, "bytes": size, "options": vars(options), "load": os.getloadavg()}
    print(json.dumps(xc.precision(valid, top) | xc.propensity_scored(train, valid, top) | report))


if __name__ == "__main__":
    main()
