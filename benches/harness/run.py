#!/usr/bin/env python3
"""Workloads in PyTorch, from hotrow's first weights, on hotrow's batches in hotrow's order, with results in hotrow's format.

    cargo build --release
    python3 benches/harness/run.py benches/workloads/xmc-demo.toml --out results --mode dense sparse-embedding --precision f32 bf16
    python3 benches/harness/run.py benches/workloads/*.toml --out results --device cuda --precision bf16
    python3 benches/harness/run.py WORKLOAD --out results --device cuda --precision bf16 --division tuned     (largest batch that fits)

The parity test runs first (see parity.py); without it nothing is timed. Runs follow one another in turn: of the first seed every
mode and precision, then of the second. All are kept, those that reach no target too. Fewer than three seeds need `--few`, and the
result says so. In the closed division model, rule, batch, epochs and order are the workload's; tuned takes the largest batch that
the device has memory for (a power of two times the workload's, a hundred steps at least) and multiplies the learning rate by the root.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import formats
from formats import Refused, Workload
from parity import parity

HERE = Path(__file__).resolve().parent
# Times the workload's batch at most: a CPU's memory is no limit that one should find. And fewer steps than this teach nothing.
LARGEST = {"cpu": 4, "cuda": 64}
LEAST_STEPS = 100


def train(order, few):
    """The result of one run in a process of its own; `None` if the memory was too small and `few` allows that."""
    command = [sys.executable, str(HERE / "train.py")]
    done = subprocess.run(command, input=json.dumps(order), capture_output=True, text=True)
    if done.returncode:
        if few and "out of memory" in done.stderr.lower():
            return None
        raise Refused(f"{order['outcome']['workload']} {order['outcome']['variant']}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def largest_batch(order, own, steps):
    """The largest batch, doubled from the workload's own, of which three steps fit the memory, and which leaves a hundred of `steps`."""
    best, batch = own, 2 * own
    while batch <= LARGEST[order["device"]] * own and steps * own >= LEAST_STEPS * batch:
        try:
            if train(order | {"batch": batch, "steps": 3}, True) is None:
                break
        except Refused:
            break
        best, batch = batch, 2 * batch
    return best


def steps_of(task, folder):
    """Steps of the run that begins in `folder`."""
    from network import DATA

    return DATA[task](folder).steps


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", type=Path, nargs="+", metavar="WORKLOAD")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--binary", default="target/release/hotrow")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--mode", nargs="+", choices=["dense", "sampled", "sparse-embedding"],
                        help="all that the workload has, if not said")
    parser.add_argument("--precision", nargs="+", choices=["f32", "bf16"], default=["f32"])
    parser.add_argument("--division", choices=["closed", "tuned"], default="closed")
    parser.add_argument("--variant", help="whose options are taken; `dense`, or the first")
    parser.add_argument("--seeds", type=int, nargs="+", help="the workload's, if not said")
    parser.add_argument("--few", action="store_true", help="allows fewer than three seeds")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--compile", action="store_true", help="compiles language models")
    parser.add_argument("--parity-steps", type=int, default=3)
    options = parser.parse_args()
    workloads = [Workload(path, options.binary, options.variant) for path in options.workloads]
    for workload in workloads:
        seeds = options.seeds or workload.seeds
        if len(seeds) < 3 and not options.few:
            raise Refused(f"{workload.name}: {len(seeds)} seeds cannot tell a difference from chance: give three, or --few")
        workload.check_data()
    place = 0
    with tempfile.TemporaryDirectory() as cache:
        cache = Path(cache)
        for workload in workloads:
            print(f"workload {workload.name} {workload.hash}: target {workload.target['metric']} {workload.target['value']}",
                  file=sys.stderr)
            seeds = options.seeds or workload.seeds
            parity(workload, cache, seeds[0], options.parity_steps)
            print(f"{workload.name}: hotrow and PyTorch agree over {options.parity_steps} steps", file=sys.stderr)
            modes, batch = options.mode, {}
            for seed in seeds:
                # Where weights are stored otherwise, PyTorch begins with what they are.
                folder = workload.initial(cache, seed, ["model.storage=f32"] if workload.task == "xmc" else [])
                config = formats.resolved(folder)
                tied = workload.task == "lm" and config["model"]["tied"]
                modes = options.mode or ["dense", *([] if tied else ["sparse-embedding"]), "sampled"]
                for mode, precision in ((mode, precision) for mode in modes for precision in options.precision):
                    name = "-".join([mode, precision] + (["tuned"] if options.division == "tuned" else []))
                    outcome = formats.result(workload, "pytorch", name, seed)
                    outcome |= {"device": options.device, "precision": precision, "division": options.division, "place": place,
                                "runs_few": len(seeds) < 3, "command": ["python3", "benches/harness/run.py", *sys.argv[1:]]}
                    order = {"outcome": outcome, "task": workload.task, "target": workload.target, "folder": str(folder), "seed": seed,
                             "device": options.device, "mode": mode, "precision": precision, "batch": None, "steps": None,
                             "threads": options.threads, "compile": options.compile}
                    if options.division == "tuned":
                        if name not in batch:
                            own = config["train"].get("batch_size") or config["train"]["batch_tokens"]
                            batch[name] = largest_batch(order, own, steps_of(workload.task, folder))
                        order["batch"] = batch[name]
                        outcome["batch"] = batch[name]
                    done = train(order, False)
                    place += 1
                    path = formats.write(done, options.out)
                    metric, value = workload.target["metric"], done["metrics"].get(workload.target["metric"], float("nan"))
                    print(f"{workload.name} {name} seed {seed}: {done['status']}, {metric} {value:.4f}, "
                          f"{done['seconds']['total']:.1f} s -> {path}", file=sys.stderr)
                shutil.rmtree(folder)


if __name__ == "__main__":
    formats.refusing(main)
