"""The harness against itself and against hotrow, without a GPU, in seconds.

    cargo build --release
    python3 -m unittest discover -s benches/harness
"""

import json
import os
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch

import formats
import metrics
import optimisers
import rivals
import run
import xxh3
from data import Classification
from parity import parity

BINARY = Path(os.environ.get("HOTROW", formats.ROOT / "target/release/hotrow"))
OPTIM = {"name": "sgd", "lr": 0.5, "final_lr": 0.0, "schedule": "constant", "warmup_steps": 0, "weight_decay": 0.0, "clip": 0.0,
         "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}
XMC = """
schema = 1
name = "small"
title = "a test"
task = "xmc"
seeds = [1, 2, 3]
[target]
metric = "p@1"
value = 0.1
[data]
train = "train.txt"
valid = "valid.txt"
[config.model]
hidden = [16, 8]
[config.optim]
name = "RULE"
lr = 0.02
clip = 0.5
[config.train]
epochs = 2
batch_size = 24
log_every = 2
[config.sparse]
active = 24
[[variant]]
name = "dense"
set = ["sparse.index=all"]
"""
LM = """
schema = 1
name = "words"
title = "a test"
task = "lm"
seeds = [1, 2, 3]
[target]
metric = "bits_per_byte"
value = 4.0
[data]
train = "part.txt"
valid_share = 0.1
vocabulary = 300
[config.model]
width = 32
layers = 2
heads = 2
context = 16
[config.train]
steps = 4
batch_tokens = 128
eval_every = 2
log_every = 1
[[variant]]
name = "dense"
"""


def planted(path, samples, seed):
    """Samples of 40 features and 64 labels in which a label brings features of its own."""
    generator = np.random.default_rng(seed)
    lines = [f"{samples} 40 64"]
    for _ in range(samples):
        labels = sorted(set(generator.integers(0, 64, 2).tolist()))
        features = sorted({*(label * 7 % 40 for label in labels), *(label * 11 % 40 for label in labels)})
        lines.append(",".join(map(str, labels)) + " " + " ".join(f"{feature}:{1 + feature % 3}" for feature in features))
    Path(path).write_text("\n".join(lines) + "\n")


@unittest.skipUnless(BINARY.exists(), f"{BINARY} is not built")
class WithHotrow(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        self.cache = self.folder / "cache"
        self.cache.mkdir()
        planted(self.folder / "train.txt", 100, 1)
        planted(self.folder / "valid.txt", 30, 2)
        text = (formats.ROOT / "data/shakespeare/part.txt").read_text()[:20_000]
        (self.folder / "part.txt").write_text(text)

    def workload(self, text, **replaced):
        for word, value in replaced.items():
            text = text.replace(word, value)
        path = self.folder / ("words.toml" if text.startswith(LM[:30]) else "small.toml")
        path.write_text(text)
        return formats.Workload(path, BINARY)

    def test_hotrow_and_pytorch_agree_for_every_rule(self):
        for rule in ("sgd", "momentum", "rowwise-adagrad", "rowwise-rmsprop", "adam", "adam-lazy", "adam-dense"):
            with self.subTest(rule):
                rows = parity(self.workload(XMC, RULE=rule), self.cache, 1, 4)
                self.assertEqual(sum(name.startswith("loss") for name, *_ in rows), 4)

    def test_hotrow_and_pytorch_agree_in_a_language_model(self):
        rows = parity(self.workload(LM), self.cache, 1, 3)
        self.assertIn("gradient of blocks.1.feed_forward.down.weight", [name for name, *_ in rows])

    def test_parity_is_refused_when_one_weight_differs(self):
        def change(network):
            with torch.no_grad():
                network.parameters["hidden.1.weight"][2, 3] += 0.05

        with self.assertRaisesRegex(formats.Refused, "gradient of .* differ by"):
            parity(self.workload(XMC, RULE="adam-dense"), self.cache, 1, 2, change)

    def test_parity_is_refused_when_the_order_differs(self):
        own = Classification.samples
        with mock.patch.object(Classification, "samples", lambda data, step: own(data, step + 1)):
            with self.assertRaises(formats.Refused):
                parity(self.workload(XMC, RULE="sgd"), self.cache, 1, 2)

    def test_data_of_another_checksum_is_refused(self):
        workload = self.workload(XMC, RULE="sgd")
        workload.data["xxh3"] = {name: xxh3.hexdigest((self.folder / name).read_bytes()) for name in ("train.txt", "valid.txt")}
        workload.check_data()
        planted(self.folder / "valid.txt", 30, 3)
        with self.assertRaisesRegex(formats.Refused, "valid.txt: xxh3-128 is not that"):
            workload.check_data()

    def test_every_epoch_has_every_sample_once_in_an_order_of_its_own(self):
        data = Classification(self.workload(XMC, RULE="sgd").initial(self.cache, 1))
        epochs = [np.concatenate([data.samples(epoch * 5 + step) for step in range(5)]) for epoch in range(2)]
        self.assertEqual([len(data.samples(step)) for step in range(5)], [24, 24, 24, 24, 4])
        self.assertFalse(np.array_equal(*epochs))
        for epoch in epochs:
            self.assertEqual(sorted(epoch), list(range(100)))

    def test_a_result_has_every_key_of_the_format_in_every_mode(self):
        for text, modes in ((XMC, ["dense", "sparse-embedding", "sampled"]), (LM, ["dense", "sampled"])):
            workload = self.workload(text, RULE="adam-lazy")
            initial = workload.initial(self.cache, 1)
            empty = formats.result(workload, "pytorch", "dense", 1)
            for mode in modes:
                with self.subTest(f"{workload.task} {mode}"):
                    outcome = formats.result(workload, "pytorch", mode, 1)
                    order = {"outcome": outcome, "task": workload.task, "target": workload.target, "folder": str(initial), "seed": 1,
                             "device": "cpu", "mode": mode, "precision": "bf16" if mode == "dense" else "f32", "batch": None,
                             "steps": None, "threads": 1, "compile": False}
                    path = formats.write(run.train(order, False), self.folder / "out")
                    got = json.loads(path.read_text())
                    self.assertEqual(path.name, f"{workload.name}-pytorch-cpu-{mode}-1.json")
                    self.assertLessEqual(set(empty), set(got))
                    for key in ("seconds", "target", "machine", "flops", "energy", "cost"):
                        self.assertEqual(set(empty[key]), set(got[key]), key)
                    self.assertIn(got["status"], ("reached", "not converged"))
                    self.assertIn(workload.target["metric"], got["metrics"])
                    self.assertEqual(got["curve"][-1][1], got["steps"])
                    clock = got["seconds"]["train"] + got["seconds"]["eval"]
                    self.assertLessEqual(clock, got["seconds"]["total"])
                    self.assertEqual(got["active_share"] < 1, mode == "sampled")
                    self.assertEqual(got["flops"]["executed"] < got["flops"]["dense_equivalent"], mode == "sampled")

    def test_two_runs_of_one_seed_end_in_the_same_weights(self):
        workload = self.workload(XMC, RULE="rowwise-adagrad")
        initial = workload.initial(self.cache, 1)
        order = {"outcome": formats.result(workload, "pytorch", "dense", 1), "task": "xmc", "target": workload.target,
                 "folder": str(initial), "seed": 1, "device": "cpu", "mode": "sparse-embedding", "precision": "f32", "batch": None,
                 "steps": None, "threads": 1, "compile": False}
        self.assertEqual(run.train(order, False)["digest"], run.train(order, False)["digest"])

    def test_a_rival_writes_the_same_format_without_operations(self):
        workload = self.workload(XMC, RULE="adam-lazy")
        options = SimpleNamespace(seed=1, threads=1, epochs=1, loss="softmax", lr=0.5)
        outcome = rivals.measure(workload, "fasttext", options, self.cache)
        self.assertLessEqual(set(formats.result(workload, "x", "x", 1)), set(outcome))
        self.assertIn(outcome["engine"], ("fasttext", "fasttext-style"))
        self.assertIsNone(outcome["flops"]["executed"])
        self.assertGreater(outcome["metrics"]["p@1"], 0)


class Alone(unittest.TestCase):
    def test_metrics_are_those_of_a_case_worked_out_by_hand(self):
        ranking = metrics.Ranking(np.array([1.0, 2.0, 4.0, 1.0, 1.0, 1.0]))
        # Right at place 2 of two labels; a sample without labels; fewer predictions than places.
        top = np.array([[3, 1, 4, 5, 0], [0, 1, 2, 3, 4], [2, -1, -1, -1, -1]])
        ranking.add(top, np.array([1, 2, 2]), np.array([0, 2, 2, 3]))
        got = ranking.metrics()
        self.assertAlmostEqual(got["p@1"], 1 / 3)
        self.assertAlmostEqual(got["p@3"], 2 / 9)
        self.assertAlmostEqual(got["recall@3"], 1.5 / 3)
        ndcg = (1 / np.log2(3)) / (1 + 1 / np.log2(3))
        self.assertAlmostEqual(got["ndcg@3"], (ndcg + 1) / 3)
        self.assertAlmostEqual(got["psp@1"], 4 / (4 + 4))
        self.assertAlmostEqual(got["psp@3"], (2 + 4) / (4 + 2 + 4))

    def test_gradients_of_rows_move_those_rows_as_dense_ones_do(self):
        for rule in ("sgd", "momentum", "rowwise-adagrad", "rowwise-rmsprop", "adam-lazy"):
            with self.subTest(rule):
                moved = []
                for sparse in (False, True):
                    parameter = torch.nn.Parameter(torch.arange(12.0).view(4, 3))
                    optimiser = optimisers.Optimiser({"w": parameter}, OPTIM | {"name": rule, "clip": 1.0}, exact=True)
                    for step in (1.0, -2.0):
                        dense = torch.zeros(4, 3)
                        dense[1], dense[3] = step, 0.5
                        parameter.grad = dense.to_sparse(1) if sparse else dense
                        optimiser.step(0.5)
                    moved.append(parameter.detach().clone())
                torch.testing.assert_close(*moved)
                torch.testing.assert_close(moved[1][0], torch.arange(3.0))
                self.assertFalse(torch.equal(moved[1][1], torch.arange(3.0, 6.0)))

    def test_adam_written_out_is_the_tuned_one(self):
        torch.manual_seed(1)
        start, grads = torch.randn(5, 3), torch.randn(4, 5, 3)
        ends = []
        for exact in (False, True):
            parameter = torch.nn.Parameter(start.clone())
            optim = OPTIM | {"name": "adam-dense", "weight_decay": 0.1}
            optimiser = optimisers.Optimiser({"w": parameter}, optim, exact=exact)
            for grad in grads:
                parameter.grad = grad.clone()
                optimiser.step(0.01)
            ends.append(parameter.detach())
        torch.testing.assert_close(*ends)

    def test_schedules_are_those_of_hotrow(self):
        rates = [optimisers.learning_rate(OPTIM | {"lr": 1.0, "schedule": "linear", "warmup_steps": 2}, step, 6)
                 for step in range(1, 7)]
        self.assertEqual(rates, [0.5, 1.0, 0.75, 0.5, 0.25, 0.0])

    def test_checksums_are_those_of_the_reference_implementation(self):
        data = bytes(i % 251 for i in range(3000))
        self.assertEqual(xxh3.hexdigest(data), "d324b9e72fa9fb271b846747012c24aa")

    def test_safetensors_are_read_to_the_bit(self):
        header = {"a": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]},
                  "b": {"dtype": "BF16", "shape": [2], "data_offsets": [8, 12]}}
        text = json.dumps(header).encode()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "some.safetensors"
            body = np.array([1.5, -2.0], "<f4").tobytes() + np.array([0x3FC0, 0xC000], "<u2").tobytes()
            path.write_bytes(len(text).to_bytes(8, "little") + text + body)
            tensors = formats.safetensors(path)
            np.testing.assert_array_equal(tensors["a"], [[1.5, -2.0]])
            np.testing.assert_array_equal(tensors["b"], [1.5, -2.0])


if __name__ == "__main__":
    unittest.main()
