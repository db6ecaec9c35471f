"""Exact validation loss of language models with sparse parts against dense ones: at equal tokens, and in equal time.

    cargo build --release
    (zstd -dc wiki-en-2018/valid.jsonl.zst | awk 'NR % 12 == 0'
     zstd -dc eltec-eng/valid.jsonl.zst | jq -c '{text: .text[:60000]}') > valid.jsonl
    target/release/hotrow tokenize {wiki-en-2018,eltec-eng}/train.jsonl.zst --tokenizer gpt2-bpe --out DIR/train
    target/release/hotrow tokenize valid.jsonl --tokenizer DIR/train/tokenizer.json --out DIR/valid
    python3 benches/lm/quality.py ablation --data DIR --tokens 400000
    python3 benches/lm/quality.py time --data DIR --minutes 30
    target/release/hotrow tokenize {wiki-en-2018,eltec-eng}/train.jsonl.zst --vocabulary 8192 --out SMALL/train
    target/release/hotrow tokenize valid.jsonl --tokenizer SMALL/train/tokenizer.json --out SMALL/valid
    python3 benches/lm/quality.py time --data SMALL --minutes 30 --only dense --label ", vocabulary 8 192"

The texts are English articles and novels; held out are every twelfth article and the beginnings of the four novels of their validation
sets: 307 455 bytes, 72 648 of GPT-2's tokens. `ablation` trains each network on the same tokens in the same order. `time` first
measures tokens a second of all contenders in turns, then trains each for as many steps as fit into the minutes by that rate: learning
rates fall to their end within the time, and how busy the machine is while they train changes nothing. PyTorch trains the dense network
with bf16 factors from hotrow's first weights on the same batches (benches/harness; this Python must have it, or --only names the
others). The rate warms up over a tenth of the steps, in short runs over 60, but never over more than a third. Validation is the exact
softmax over the whole file. A figure is written as soon as it is there, with its commit and load average; rows that the file of
results has already are not made again. `ablation` needs NumPy, for its floor (kneser_ney.py).
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

COMMON = ["train.eval_every=0", "train.save_every=100000000", "train.sample_tokens=0"]
SAMPLED = ["head.mode=sampled"]
NGRAM = ["ngram.rows=1048576"]
MEMORY = ["memory.slots=65536", "memory.layers=[1,3]"]

# Each part alone beside the dense network, and what it is made of.
ABLATION = {
    "dense": [],
    "sampled head": SAMPLED,
    "sampled head, SimHash": [*SAMPLED, "head.index=simhash"],
    "sampled head, random rows": [*SAMPLED, "head.index=random"],
    **{f"n-grams, 2^{bits} rows": [*SAMPLED, f"ngram.rows={2**bits}"] for bits in (16, 18, 20, 22)},
    "bigrams only, 2^20 rows": [*SAMPLED, *NGRAM, "ngram.orders=[2]"],
    **{
        f"memory, {keys} keys": [*SAMPLED, *MEMORY, f"memory.keys={keys}"]
        for keys in ("product", "simhash", "dwta", "minhash", "cross-polytope", "blocks", "exact")
    },
    "n-grams, memory, sampled head": [*SAMPLED, *NGRAM, *MEMORY],
    "sampled feed-forward": [*SAMPLED, "feed_forward.kind=sampled", "feed_forward.active=384"],
    "routed blocks of neurons": [*SAMPLED, "feed_forward.kind=blocks"],
}
PYTORCH = "PyTorch dense, bf16"
# The script of a study, and the options that make its rows what they are.
STUDIES = {
    "ablation": ("quality.py ablation", ("preset", "tokens")),
    "time": ("quality.py time", ("preset", "minutes")),
    "presets": ("presets.py", ("tokens",)),
}
TIME = {
    "dense": [],
    "n-grams, memory, sampled head": [*SAMPLED, *NGRAM, "memory.slots=65536", "memory.layers=[3]", "memory.keys=blocks"],
    "n-grams, sampled head": [*SAMPLED, *NGRAM],
    "sampled head": SAMPLED,
    PYTORCH: [],
}


class Study:
    def __init__(self, arguments):
        self.arguments = arguments
        info = json.loads(subprocess.run([arguments.binary, "info", "--json"], check=True, capture_output=True).stdout)
        self.machine = {"cpu": info["cpu"], "cores": info["cores"], "level": info["level"], "system": platform.platform()}
        self.commit = info["commit"]
        script, own = STUDIES[arguments.study]
        options = [f"--{name} {getattr(arguments, name)}" for name in (*own, "batch", "lr")]
        command = " ".join([f"python3 benches/lm/{script}", *options])
        self.result = {"schema": 1, "command": command, "machine": self.machine, "rows": []}
        if arguments.out.exists():
            self.result = {**json.loads(arguments.out.read_text()), "command": command}

    def row(self, **key):
        return next((row for row in self.result["rows"] if key.items() <= row.items()), None)

    def add(self, row):
        row = {**row, "commit": self.commit, "load_average": round(os.getloadavg()[0], 2)}
        if self.machine != self.result["machine"]:
            row["machine"] = self.machine
        if self.arguments.threads:
            row["threads"] = self.arguments.threads
        self.result["rows"].append(row)
        self.write()
        print(row, flush=True)

    def write(self):
        self.arguments.out.write_text(json.dumps(self.result, indent=1) + "\n")

    def train(self, folder, options, steps, seed, *flags):
        """What `hotrow train lm` says of a run into `folder`."""
        arguments, data = self.arguments, self.arguments.data
        command = [arguments.binary, "train", "lm", "--json", "--preset", arguments.preset, "--out", folder, *flags]
        command += ["--train", data / "train/train.tokens", "--tokenizer", data / "train/tokenizer.json"]
        if arguments.threads:
            command += ["--threads", arguments.threads]
        settings = [f"train.batch_tokens={arguments.batch}", f"train.steps={steps}", f"train.seed={seed}"]
        settings += [f"optim.lr={arguments.lr}", f"optim.final_lr={arguments.lr / 10}"]
        settings += [f"optim.warmup_steps={warmup(steps)}", f"train.log_every={max(steps // 20, 1)}"]
        for option in [*COMMON, *settings, *options]:
            command += ["--set", option]
        return run(command)

    @property
    def valid(self):
        return "--valid", self.arguments.data / "valid/train.tokens"

    def rate(self, name, options):
        """Tokens a second of a few steps."""
        steps = 12
        with tempfile.TemporaryDirectory() as folder:
            if name.startswith(PYTORCH):
                return self.torch(folder, steps, steps, 1)["tokens_per_second"]
            self.train(f"{folder}/run", [*options, "train.log_every=1"], steps, 1)
            return rate_of(events(folder))

    def torch(self, folder, steps, done, seed):
        """The first `done` of `steps` steps of the dense network in PyTorch."""
        self.train(f"{folder}/run", [], steps, seed, "--init-only", *self.valid)
        order = {"task": "lm", "folder": f"{folder}/run", "seed": seed, "device": "cpu", "mode": "dense", "precision": "bf16", "batch": None}
        order |= {"steps": done, "compile": False, "threads": self.arguments.threads or len(os.sched_getaffinity(0))}
        order |= {"target": {"metric": "loss", "value": 0}, "outcome": {"target": {"metric": "loss", "value": 0}, "software": {}}}
        return run([sys.executable, Path(__file__).parents[1] / "harness/train.py"], input=json.dumps(order))

    def figures(self, name, options, steps, seed):
        batch = self.arguments.batch
        with tempfile.TemporaryDirectory() as folder:
            if name.startswith(PYTORCH):
                summary = self.torch(folder, steps, steps, seed)
                curve = [[step * batch, loss] for _, step, _, loss in summary["curve"] if loss]
                rate = summary["tokens_per_second"]
            else:
                summary = self.train(f"{folder}/run", options, steps, seed, *self.valid)
                log = events(folder)
                curve, rate = [[event["tokens"], event["loss"]] for event in log], rate_of(log)
        return {
            "contender": name,
            "options": options,
            "seed": seed,
            "tokens": steps * batch,
            "batch_tokens": batch,
            "lr": self.arguments.lr,
            "warmup_steps": warmup(steps),
            "tokens_per_second": rate,
            "train_seconds": summary["seconds"]["train"],
            **{key: summary[key] for key in ("metrics", "parameters", "flops", "peak_memory_bytes")},
            "curve": curve,
        }


def run(command, **options):
    """What a command prints; of JSON, the object."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return json.loads(done.stdout) if done.stdout.startswith("{") else done.stdout


def warmup(steps):
    return max(steps // 10, min(60, steps // 3), 1)


def events(folder):
    log = [json.loads(line) for line in open(f"{folder}/run/metrics.jsonl")]
    return [event for event in log if event["event"] == "train"]


def rate_of(log):
    """The median of what was logged, without the first two, in which memory is touched for the first time."""
    return statistics.median(event["tokens_per_second"] for event in log[2:] or log)


def kneser_ney(arguments, tokens):
    data = arguments.data
    command = [sys.executable, Path(__file__).parent / "kneser_ney.py", "--train", data / "train/train.tokens"]
    command += ["--valid", data / "valid/train.tokens", "--tokens", tokens]
    figures = run(command)
    return {key: figures[key] for key in ("loss", "bits_per_byte")}


def ablation(study):
    arguments = study.arguments
    steps = arguments.tokens // arguments.batch
    name, tokens = "Kneser-Ney 3-gram", steps * arguments.batch
    if not study.row(contender=name, tokens=tokens):
        study.add({"contender": name, "seed": 0, "tokens": tokens, "metrics": kneser_ney(arguments, tokens)})
    for seed in arguments.seeds:
        for name, options in chosen(arguments, ABLATION).items():
            if not study.row(contender=name, seed=seed, tokens=tokens, lr=arguments.lr):
                study.add(study.figures(name, options, steps, seed))


def time(study):
    arguments = study.arguments
    contenders = chosen(arguments, TIME)
    for _ in range(arguments.rounds):
        for name, options in contenders.items():
            rows = study.row(rate_of=name)
            if not rows or len(rows["tokens_per_second"]) < arguments.rounds:
                rate = study.rate(name, options)
                if rows:
                    rows["tokens_per_second"].append(rate)
                    study.write()
                else:
                    study.add({"rate_of": name, "tokens_per_second": [rate]})
    for seed in arguments.seeds:
        for name, options in contenders.items():
            rate = statistics.median(study.row(rate_of=name)["tokens_per_second"])
            steps = int(rate * 60 * arguments.minutes / arguments.batch)
            if not study.row(contender=name, seed=seed, minutes=arguments.minutes, lr=arguments.lr):
                row = study.figures(name, options, steps, seed)
                study.add({**row, "minutes": arguments.minutes})


def chosen(arguments, contenders):
    wanted = {name: options for name, options in contenders.items() if not arguments.only or name in arguments.only}
    return {name + arguments.label: options for name, options in wanted.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=["ablation", "time"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--binary", default="target/release/hotrow")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--batch", type=int, default=1024, help="tokens of a step")
    parser.add_argument("--lr", type=float, default=0.002)
    parser.add_argument("--tokens", type=int, default=400_000)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--label", default="", help="added to names, for data of another tokenizer")
    parser.add_argument("--only", nargs="*", help="names of contenders")
    arguments = parser.parse_args()
    arguments.out = arguments.out or Path(f"benches/results/lm-{arguments.study}.json")
    {"ablation": ablation, "time": time}[arguments.study](Study(arguments))


if __name__ == "__main__":
    main()
