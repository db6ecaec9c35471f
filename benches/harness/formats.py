"""Files of both sides: workloads, safetensors, token files, results. Nothing but NumPy is needed to read and write them."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np

from xxh3 import hexdigest

ROOT = Path(__file__).resolve().parents[2]
KIND = "hotrow-bench-result"
TYPES = {"F32": "<f4", "U8": "u1", "U32": "<u4", "U64": "<u8", "BF16": "<u2"}


class Refused(Exception):
    """What is wrong, in a sentence for the user."""


def safetensors(path):
    """The tensors of a safetensors file by name, mapped from it; bf16 ones are widened to f32."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    tensors = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        shape, start = tuple(info["shape"]), 8 + size + info["data_offsets"][0]
        if 0 in shape:
            tensors[name] = np.empty(shape, TYPES[info["dtype"]])
            continue
        array = np.memmap(path, TYPES[info["dtype"]], "r", start, shape)
        tensors[name] = (array.astype("<u4") << 16).view("<f4") if info["dtype"] == "BF16" else array
    return tensors


class Tokens:
    """A token file of `hotrow tokenize`: `tokens` and how many bytes of text they stand for."""

    def __init__(self, path):
        header = np.fromfile(path, "<u8", 16)
        if len(header) < 16 or header[0].tobytes() != b"hotrow\0t":
            raise Refused(f"{path}: no token file")
        if header[1] != 1:
            raise Refused(f"{path}: a token file of version {header[1]}, and this program knows version 1")
        self.tokens = np.memmap(path, f"<u{header[2]}", "r", 128)
        self.vocabulary, self.source_bytes = int(header[4]), int(header[5])

    def __len__(self):
        return len(self.tokens)


def hotrow(binary, *arguments, accept=(0,)):
    """What the program prints; its complaint is ours."""
    done = subprocess.run([str(binary), *map(str, arguments)], capture_output=True, text=True)
    if done.returncode not in accept:
        raise Refused(f"{binary} {' '.join(map(str, arguments[:3]))}..: code {done.returncode}\n{done.stderr.strip()}")
    return done.stdout


class Workload:
    """A workload file. `sets` are the options of its configuration and of one variant, as `--set` takes them."""

    def __init__(self, path, binary, variant=None):
        self.path, self.binary = Path(path).resolve(), Path(binary).resolve()
        file = tomllib.loads(self.path.read_text())
        if file.get("schema") != 1:
            raise Refused(f"{path}: schema {file.get('schema')} is not 1")
        self.name, self.task, self.seeds, self.target = file["name"], file["task"], file["seeds"], file["target"]
        self.data, self.hash = file["data"], hexdigest(self.path.read_bytes())
        names = [entry["name"] for entry in file["variant"]]
        chosen = variant or ("dense" if "dense" in names else names[0])
        if chosen not in names:
            raise Refused(f"{path}: {chosen!r} is no variant; there are {', '.join(names)}")
        entry = file["variant"][names.index(chosen)]
        self.variant, self.division = chosen, entry.get("division", file.get("division", "closed"))
        common = [f"{section}.{key}={toml_value(value)}" for section, keys in file.get("config", {}).items()
                  for key, value in keys.items()]
        self.sets = common + entry.get("set", [])
        first = self.data["train"].split(",")[0]
        above = [folder for folder in self.path.parents if (folder / first).is_file()]
        if not above:
            raise Refused(f"{path}: no folder above has the data file {first}")
        self.root = above[0]

    def check_data(self):
        """Each data file against its checksum."""
        for name in (part for key in ("train", "valid", "tokenizer") for part in self.data.get(key, "").split(",") if part):
            want, found = self.data.get("xxh3", {}).get(name), hexdigest((self.root / name).read_bytes())
            if want != found:
                raise Refused(f"{name}: xxh3-128 is not that of the workload: expected {want}, found {found}")

    def paths(self, key):
        return ",".join(str(self.root / part) for part in self.data[key].split(","))

    def inputs(self, cache):
        """The arguments of `hotrow train` that name the data. Text becomes tokens first, once."""
        if self.task == "xmc":
            return ["--train", self.paths("train"), "--valid", self.paths("valid")]
        folder = cache / f"{self.name}-{self.hash[:8]}"
        if not (folder / "tokenizer.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            command = ["tokenize", *self.paths("train").split(","), "--field", self.data.get("field") or "text"]
            command += ["--valid-share", self.data.get("valid_share", 0.0)]
            for path in self.paths("valid").split(",") if self.data.get("valid") else []:
                command += ["--valid", path]
            if self.data.get("tokenizer"):
                command += ["--tokenizer", self.root / self.data["tokenizer"]]
            else:
                command += ["--vocabulary", self.data["vocabulary"]]
            hotrow(self.binary, *command, "--out", folder)
        names = {"--train": "train.tokens", "--valid": "valid.tokens", "--tokenizer": "tokenizer.json"}
        return [word for flag, name in names.items() for word in (flag, str(folder / name))]

    def train(self, cache, out, sets, *flags, accept=(0,)):
        """`hotrow train` on the workload into `out`, its options changed by `sets`."""
        words = ["train", self.task, *self.inputs(cache), "--out", str(out), *flags]
        for option in [*self.sets, *sets]:
            words += ["--set", option]
        return hotrow(self.binary, *words, accept=accept)

    def initial(self, cache, seed, sets=()):
        """The folder of a run that has not begun: first weights, samples, order. Made anew each time, so that it cannot be
        that of other options."""
        out = cache / f"{self.name}-initial-{seed}-{os.getpid()}"
        shutil.rmtree(out, ignore_errors=True)
        self.train(cache, out, [*sets, f"train.seed={seed}"], "--init-only")
        return out


def toml_value(value):
    """A value of a workload's configuration as `--set` reads it: JSON's strings, lists and booleans are TOML's too."""
    return json.dumps(value)


def resolved(folder):
    """The whole configuration of a run."""
    return tomllib.loads((folder / "config.toml").read_text())


def weights(folder, step=0):
    return safetensors(folder / f"checkpoint-{step:06}" / "model.safetensors")


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def machine(level="", threads=0, bandwidth=0.0):
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = re.search(r"model name\s*:\s*(.*)", text)
    return {
        "cpu": name[1] if name else platform.processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "level": level,
        "threads": threads,
        "bandwidth_bytes_per_second": bandwidth,
        "load_average_before": list(os.getloadavg()),
        "load_average_after": [0.0, 0.0, 0.0],
        "system": f"{platform.system()} {platform.release()}",
    }


def commit():
    done = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


def result(workload, engine, variant, seed):
    """A result in which nothing has happened yet; every key of the format is there."""
    return {
        "schema": 1, "kind": KIND, "workload": workload.name, "workload_hash": workload.hash, "task": workload.task,
        "division": workload.division, "variant": variant, "engine": engine, "device": "cpu", "precision": "f32", "seed": seed,
        "place": 0, "runs_few": False, "command": [], "started": now(), "machine": machine(),
        "software": {"hotrow": "", "commit": commit(), "rustc": "", "python": platform.python_version(), "torch": ""},
        "data": {},
        "seconds": {key: 0.0 for key in ("total", "load", "compile", "train", "eval", "index", "read", "process")},
        "curve": [],
        "target": workload.target | {"reached": False, "seconds": None, "seconds_with_load": None, "step": None},
        "metrics": {}, "metrics_are_estimates": False, "samples_per_second": 0.0, "tokens_per_second": None,
        "flops": {"executed": None, "dense_equivalent": None}, "phases": {}, "bytes": 0, "active_share": 1.0,
        "union_rows": 0.0, "peak_memory_bytes": 0, "energy": {"joules": None, "method": "none"},
        "cost": {"amount": None, "currency": "USD", "price_per_hour": None, "price": None},
        "parameters": 0, "steps": 0, "digest": "", "status": "not converged",
    }


def reached(target, value):
    return value is not None and (value >= target["value"] if "@" in target["metric"] else value <= target["value"])


def conclude(outcome, diverged=False):
    """Fills in what follows from the rest: total, target, status, cost."""
    seconds, target = outcome["seconds"], outcome["target"]
    hit = next((point for point in outcome["curve"] if reached(target, point[2])), None)
    if hit:
        late = seconds["load"] + seconds["compile"]
        target |= {"reached": True, "seconds": hit[0], "seconds_with_load": hit[0] + late, "step": hit[1]}
    outcome["status"] = "diverged" if diverged else "reached" if hit else "not converged"
    outcome["machine"]["load_average_after"] = list(os.getloadavg())
    prices = ROOT / "benches/prices.toml"
    where = outcome["machine"]["cpu"] + " " + outcome["machine"].get("gpu", "")
    for price in tomllib.loads(prices.read_text()).get("price", []) if prices.exists() else []:
        if price["machine"] in where:
            per_hour = price["per_hour"]
            outcome["cost"] = {"amount": seconds["total"] / 3600 * per_hour, "currency": price["currency"],
                               "price_per_hour": per_hour, "price": price.get("name") or price["machine"]}
            break
    return outcome


def write(outcome, folder):
    """Writes the result all at once; gives its path."""
    keys = ("workload", "engine", "device", "variant", "seed")
    path = Path(folder) / ("-".join(str(outcome[key]) for key in keys) + ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{path.name}")
    temporary.write_text(json.dumps(outcome, indent=1, allow_nan=False) + "\n")
    temporary.replace(path)
    return path


def refusing(main):
    """Runs `main`; a refusal is one line on stderr and exit code 2."""
    try:
        sys.exit(main())
    except Refused as refusal:
        print(f"refused: {refusal}", file=sys.stderr)
        sys.exit(2)
