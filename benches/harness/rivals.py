#!/usr/bin/env python3
"""Programs that a user would also try, on a workload of extreme classification, with results in hotrow's format.

    pip install -r benches/harness/requirements.txt -r benches/harness/requirements-rivals.txt
    python3 benches/harness/rivals.py benches/workloads/xmc-demo.toml --rival omikuji --out results
    python3 benches/harness/rivals.py benches/workloads/few-labels.toml --rival sklearn --out results
    python3 benches/harness/rivals.py benches/workloads/xmc-demo.toml --rival fasttext --out results

    omikuji   three balanced binary label trees (Parabel), the package's defaults
    sklearn   one logistic regression a label (SGDClassifier, its defaults, `--epochs` passes); for few labels: each has a weight for every
              feature
    fasttext  the package `fasttext` where it is installed (softmax over all labels); otherwise its model in PyTorch, a mean of
              rows and a linear layer with softmax, with the workload's rule, batch and epochs: engine `fasttext-style`

All get the features that hotrow makes of the file, and are measured on the whole test set by the code that measures PyTorch. They
count no floating-point operations: null. They are of the tuned division: their model and rule are their own.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import formats
from data import Samples
from formats import Refused, Workload
from metrics import KS, Ranking, inverse_propensities

sys.path.append(str(Path(__file__).parents[1] / "xmc"))


# The package ends one run in a few with "Encountered NaN" where the next one with the same data and options succeeds; only that is timed.
ATTEMPTS = 10


def version(package):
    from importlib.metadata import version

    return version(package)


def omikuji(train, valid, options, config):
    from types import SimpleNamespace

    from omikuji_baseline import trees

    top, trained, predicted = trees(SimpleNamespace(model="parabel", trees=3, beam=10, threads=options.threads), train, valid)
    return "omikuji", {"omikuji": version("omikuji")}, top, trained, predicted


def sklearn(train, valid, options, config):
    from joblib import Parallel, delayed
    from sklearn.linear_model import SGDClassifier

    bytes_needed = 8 * train.labels * train.features
    if bytes_needed > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2:
        raise Refused(f"sklearn: {train.labels} labels with {train.features} weights each take {bytes_needed / 1e9:.0f} GB")
    (x, y), (test, _) = csr(train), csr(valid)
    y = y.tocsc()
    start = time.perf_counter()

    def fit(label):
        target = np.zeros(len(train))
        target[y.indices[y.indptr[label]:y.indptr[label + 1]]] = 1
        if target.min() == target.max():
            # Never or always there: no classifier, but the fact.
            return None, 1e3 if target.max() else -1e3
        model = SGDClassifier(loss="log_loss", max_iter=options.epochs, tol=None, random_state=options.seed)
        model.fit(x, target)
        return model.coef_[0], model.intercept_[0]

    fitted = Parallel(n_jobs=options.threads, batch_size=8)(delayed(fit)(label) for label in range(train.labels))
    trained = time.perf_counter() - start
    start = time.perf_counter()
    nothing = np.zeros(train.features)
    weights = np.stack([nothing if weight is None else weight for weight, _ in fitted])
    biases = np.array([bias for _, bias in fitted])
    top = best(test @ weights.T + biases)
    return "scikit-learn", {"scikit-learn": version("scikit-learn")}, top, trained, time.perf_counter() - start


def fasttext(train, valid, options, config):
    try:
        import fasttext as package
    except ImportError:
        return fasttext_style(train, valid, options, config)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        with open(path, "w") as file:
            for sample in range(len(train)):
                labels = train.label_ids[train.label_starts[sample]:train.label_starts[sample + 1]]
                if len(labels):
                    file.write(" ".join([*(f"__label__{label}" for label in labels), *words(train, sample)]) + "\n")
        for left in reversed(range(ATTEMPTS)):
            start = time.perf_counter()
            try:
                model = package.train_supervised(str(path), dim=config["model"]["hidden"][0], epoch=config["train"]["epochs"],
                                                 lr=options.lr, loss=options.loss, thread=options.threads, minCount=1, verbose=0)
                break
            except RuntimeError as error:
                if not left:
                    raise Refused(f"fasttext: {error}, {ATTEMPTS} times") from None
        trained = time.perf_counter() - start
    start = time.perf_counter()
    top = []
    for sample in range(len(valid)):
        # What `model.predict` calls, which itself needs NumPy 1.
        found = model.f.predict(" ".join(words(valid, sample)) + "\n", max(KS), 0.0, "strict")
        top.append([int(name.removeprefix("__label__")) for _, name in found])
    return "fasttext", {"fasttext": version("fasttext")}, top, trained, time.perf_counter() - start


def words(samples, sample):
    """The features as words, each as often as its value says."""
    span = slice(samples.starts[sample], samples.starts[sample + 1])
    return [f"f{index}" for index, value in zip(samples.indices[span], samples.values[span])
            for _ in range(max(round(float(value)), 1))]


def fasttext_style(train, valid, options, config):
    import torch
    import torch.nn.functional as F

    import classification
    from data import ahead
    from optimisers import Optimiser, learning_rate

    class Network(classification.Network):
        """Without hidden bias and ReLU: a linear model of low rank."""

        def embed(self, batch):
            indices, values, offsets = batch[:3]
            table = self.parameters["input.weight"]
            return F.embedding_bag(indices, table, offsets, mode="sum", per_sample_weights=values, sparse=True)

    torch.set_num_threads(options.threads)
    width, generator = config["model"]["hidden"][0], np.random.default_rng(options.seed)
    weights = {
        "input.weight": generator.uniform(-1 / width, 1 / width, (train.features, width)).astype(np.float32),
        "output.weight": np.zeros((train.labels, width), np.float32), "output.bias": np.zeros((train.labels, 1), np.float32),
    }
    model = config["model"] | {"hidden": [width], "loss": "softmax", "sampled_hidden": []}
    start = time.perf_counter()
    network = Network(weights, config | {"model": model}, "sparse-embedding")
    optimiser = Optimiser(network.parameters, config["optim"], sparse=network.sparse)
    size, steps = config["train"]["batch_size"], -(-len(train) // config["train"]["batch_size"])
    total = steps * config["train"]["epochs"]
    orders = [generator.permutation(len(train)) for _ in range(config["train"]["epochs"])]

    def batch(step):
        return train.batch(orders[step // steps][step % steps * size:][:size])

    for step, item in enumerate(ahead(batch, range(total)), 1):
        network.gradients(network.put(item))
        optimiser.step(learning_rate(config["optim"], step, total))
    trained = time.perf_counter() - start
    start = time.perf_counter()
    parts = [np.arange(first, min(first + 512, len(valid))) for first in range(0, len(valid), 512)]
    top = np.concatenate([network.top(network.put(valid.batch(part))).numpy() for part in parts])
    return "fasttext-style", {"torch": torch.__version__}, top, trained, time.perf_counter() - start


RIVALS = {"omikuji": omikuji, "sklearn": sklearn, "fasttext": fasttext}


def csr(samples):
    """Features, divided by their length, and labels as scipy matrices."""
    from scipy.sparse import csr_matrix

    x = csr_matrix((samples.pooled, samples.indices, samples.starts), shape=(len(samples), samples.features))
    y = csr_matrix((np.ones(len(samples.label_ids), np.float32), samples.label_ids, samples.label_starts),
                   shape=(len(samples), samples.labels))
    return x, y


def best(scores):
    return np.argsort(-scores, axis=1)[:, :max(KS)]


def ranked(top, train, valid):
    """The metrics of predictions, of which there may be fewer than five."""
    table = np.full((len(valid), max(KS)), -1)
    for row, labels in zip(table, top):
        row[:len(labels)] = labels[:max(KS)]
    counts = np.bincount(train.label_ids, minlength=train.labels)
    ranking = Ranking(inverse_propensities(counts, len(train)))
    ranking.add(table, valid.label_ids, valid.label_starts)
    return ranking.metrics()


def measure(workload, rival, options, cache):
    """The result of one rival."""
    folder = workload.initial(cache, options.seed, ["model.storage=f32"])
    config, shapes = formats.resolved(folder), formats.weights(folder)
    outcome = formats.result(workload, rival, rival, options.seed)
    start = time.perf_counter()
    # fastText takes the mean of rows.
    pooling = "mean" if rival == "fasttext" else "normalized"
    train, valid = (Samples(folder / f"{name}.safetensors", pooling) for name in ("train", "valid"))
    for samples in (train, valid):
        samples.features, samples.labels = len(shapes["input.weight"]), len(shapes["output.weight"])
    load = time.perf_counter() - start
    engine, software, top, trained, predicted = RIVALS[rival](train, valid, options, config)
    outcome["software"] |= software
    metrics = ranked(top, train, valid)
    clock = trained + predicted
    outcome |= {
        "engine": engine, "variant": options.loss if engine == "fasttext" else "default", "division": "tuned", "metrics": metrics,
        "command": ["python3", "benches/harness/rivals.py", *sys.argv[1:]], "runs_few": True,
        "seconds": outcome["seconds"] | {"total": load + clock, "load": load, "train": trained, "eval": predicted},
        "curve": [[clock, 0, metrics.get(workload.target["metric"]), None]],
        "samples_per_second": len(train) * (config["train"]["epochs"] if rival == "fasttext" else 1) / trained,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    outcome["machine"]["threads"] = options.threads
    return formats.conclude(outcome)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", type=Path)
    parser.add_argument("--rival", choices=RIVALS, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--binary", default="target/release/hotrow")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=5, help="of sklearn")
    parser.add_argument("--loss", choices=["softmax", "ova", "hs"], default="softmax", help="of the package fasttext")
    parser.add_argument("--lr", type=float, default=1.0, help="of the package fasttext: with its own, 0.1, it learns nothing here")
    options = parser.parse_args()
    workload = Workload(options.workload, options.binary)
    if workload.task != "xmc":
        raise Refused(f"{workload.name}: rivals classify, this is of task {workload.task}")
    workload.check_data()
    with tempfile.TemporaryDirectory() as cache:
        outcome = measure(workload, options.rival, options, Path(cache))
    path = formats.write(outcome, options.out)
    print(json.dumps(outcome["metrics"]))
    print(f"{outcome['status']}, {outcome['seconds']['total']:.1f} s -> {path}", file=sys.stderr)


if __name__ == "__main__":
    formats.refusing(main)
