#!/usr/bin/env python3
"""Writes docs/results.md, and the tables of README.md and kernels/README.md, from the figures in benches/results.

    python3 benches/results.py             writes the three files
    python3 benches/results.py --check     fails if one of them is out of date, and names it
    python3 benches/results.py --demo hotrow-demo

`--demo` first copies the two summaries of a demo (`cargo run --release -- demo --out hotrow-demo`) to
benches/results/xmc-demo.json. Each other file in benches/results comes from the command that stands in it.

The prose of docs/results.md is in benches/results.template.md. A line `{{table NAME}}` there becomes a table, `{{source FILE}}` a
line that says where the figures were measured. In the READMEs a table replaces what stands
between the markers `<!-- NAME -->` and `<!-- end of NAME -->`.
"""

import argparse
import json
import math
import re
import sys
from functools import cache
from pathlib import Path

import table as kernel_tables

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benches/results"
PRESETS = ("small", "base", "gpt2-124m")
PYTORCH = "PyTorch dense, bf16"
OURS = "n-grams, memory, sampled head"
MARKERS = {"README.md": ("demo", "xmc", "amazon", "lm", "kernels"), "kernels/README.md": ("figures",)}


@cache
def load(name):
    return json.loads((RESULTS / f"{name}.json").read_text())


def rows_of(name):
    return load(name)["rows"]


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def source(name):
    """Where the figures of a file come from."""
    result = load(name)
    machine = result.get("machine") or result["environment"]
    command = result.get("command") or result.get("environment", {}).get("command")
    command = " ".join(command) if isinstance(command, list) else command
    commits = [result.get("commit"), result.get("software", {}).get("commit"), result.get("environment", {}).get("commit")]
    commits += [row.get("commit") for row in result.get("rows", []) if "commit" in row]
    commits = list(dict.fromkeys(commit[:12] for commit in commits if commit))
    level = machine.get("level") or result.get("environment", {}).get("level") or machine["levels"][-1]
    parts = [f"{machine['cpu']}, {machine['cores']} cores, {level}", f"commit {', '.join(commits)}", f"`{command}`"]
    return f"[`{name}.json`](../benches/results/{name}.json): {'; '.join(parts)}\n\n"


def demo():
    runs = load("xmc-demo")
    dense, *others = (runs[name] for name in ("dense", "sparse", "mixture"))

    def row(name, value, show, times=True):
        first = value(dense)
        return [name, show(first), *(show(value(run)) + (f" ({first / value(run):.1f}x less)" if times else "") for run in others)]

    percent = lambda x: f"{100 * x:.1f} %"
    rows = [row(f"P@{k}", lambda run: run["metrics"][f"p@{k}"], percent, False) for k in (1, 3, 5)]
    rows += [
        row("time of training", lambda run: run["seconds"]["train"], lambda x: f"{x:.1f} s"),
        row("operations", lambda run: run["flops"]["executed"], lambda x: quantity(x, "FLOP")),
        row("bytes of weights and state moved", lambda run: run["bytes"], lambda x: f"{x / 1e9:.1f} GB"),
        row("peak memory", lambda run: run["peak_memory_bytes"], lambda x: f"{x / 2**20:.0f} MiB", False),
    ]
    return table(["", "dense", "sparse", "mixture"], rows)


def quality():
    result = load("xmc-quality")
    rows = []
    for row in result["rows"]:
        metrics = [f"{100 * row['metrics'][key]['mean']:.1f}" for key in ("p@1", "p@3", "p@5")]
        exact = next(r for r in result["rows"] if r["set"] == row["set"] and r["kind"] == "exact softmax")
        flops = row["output_layer_flops"] / exact["output_layer_flops"]
        rows.append([row["set"], row["kind"], f"{100 * flops:.2f} %", *metrics])
    return table(["data", "active rows from", "output-layer operations", "P@1", "P@3", "P@5"], rows)


def speed():
    result = load("xmc-speed")
    rows = []
    for row in result["rows"]:
        base = next(r for r in result["rows"] if r["batch"] == row["batch"] and r["contender"] == "PyTorch, dense, bf16")
        ratio = row["median"] / base["median"]
        rows.append([str(row["batch"]), row["contender"], f"{row['median']:.0f}", f"{ratio:.1f}x"])
    return table(["batch", "contender", "samples/s", "PyTorch's dense bf16 is 1"], rows)


def index_speed():
    result = load("xmc-index-speed")
    rows = []
    for row in result["rows"]:
        phases, parts = row["phases"], ("hash", "select", "gather", "gemm", "update")
        spent = [f"{phases.get(part, 0.0):.2f}" for part in parts]
        rows.append([f"`{row['index']}`", f"{row['median']:.0f}", f"{row['ratio']:.2f}", f"{row['start']:.1f} s", *spent])
    return table(["index", "samples/s", "`random` is 1", "before step 1", "hash, ms", "select, ms", "gather, ms", "products, ms", "update, ms"], rows)


def equal():
    result = load("xmc-equal")
    rows = []
    for row in result["rows"]:
        metrics = [f"{100 * row[key]:.1f}" for key in ("p@1", "p@3", "p@5")]
        rows.append([row["contender"], *metrics, f"{row['seconds']:.1f} s", f"{row['samples_per_second']:.0f}"])
    return table(["one epoch of", "P@1", "P@3", "P@5", "training", "samples/s"], rows)


def lm():
    result = load("lm-speed")
    rows = []
    for row in result["rows"]:
        own = [r["median"] for r in result["rows"] if r["preset"] == row["preset"] and r["contender"] == "hotrow, dense head"]
        ratio = f"{row['median'] / own[0]:.2f}" if own else ""
        rows.append([row["preset"], row["contender"], f"{row['median']:.0f}", ratio])
    return table(["preset", "contender", "tokens/s", "hotrow, dense head is 1"], rows)


def trimmed(number):
    return number.rstrip("0").rstrip(".") if "." in number else number


def times(ratio):
    """As `hotrow report` writes a ratio: 0.81, 5, 12.3, 1230."""
    return trimmed(f"{ratio:.2f}" if ratio < 9.995 else f"{ratio:.1f}" if ratio < 99.95 else f"{ratio:.0f}")


def quantity(value, unit):
    """As `hotrow report` does: three digits and a prefix."""
    if unit == "s" and value >= 119.5:
        return f"{round(value) // 60} min {round(value) % 60:02} s"
    rounded = float(f"{value:.2e}")
    power = math.floor((math.log10(rounded) + 1e-9) / 3)
    power = min(power, 0) if unit == "s" else power
    number = rounded / 1000**power
    places = 0 if number >= 100 else 1 if number >= 10 else 2
    prefix = {-3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G", 4: "T"}[power]
    return f"{trimmed(f'{number:.{places}f}')} {prefix}{unit}".rstrip()


def of_metric(metric, value):
    return f"{100 * value:.2f} %" if "@" in metric else trimmed(f"{value:.2f}")


def median(values):
    """The mean of the two in the middle where their number is even."""
    values = sorted(value for value in values if value is not None)
    middle = len(values) // 2
    return None if not values else values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


class Contender:
    """The runs of one variant of one engine on one workload, and what `hotrow report` says of them."""

    def __init__(self, name, runs):
        self.name, self.runs, self.division = name, runs, runs[0]["division"]
        targets = [run["target"] for run in runs]
        self.metric, self.target = targets[0]["metric"], targets[0]["value"]
        self.arrived = sum(target["reached"] for target in targets)
        self.times = sorted(target["seconds"] if target["reached"] else math.inf for target in targets)
        self.seconds = median(self.times)
        self.flops = median([run["flops"]["executed"] or None for run in runs])
        ratios = [run["flops"]["dense_equivalent"] / run["flops"]["executed"] for run in runs if run["flops"]["executed"]]
        self.reduction = median(ratios)
        self.quality = median([run["metrics"].get(self.metric) for run in runs])
        self.memory = median([run["peak_memory_bytes"] or None for run in runs])
        self.is_dense = self.division == "closed" and self.reduction is not None and 0.99 <= self.reduction < 1.01

    def time(self):
        return quantity(self.seconds, "s") if math.isfinite(self.seconds) else "not reached"


@cache
def contest(workload):
    """The contenders of a workload, fastest first, and the one that speed-ups refer to."""
    found = {}
    for path in sorted((RESULTS / "bench").glob(f"{workload}-*.json")):
        run = json.loads(path.read_text())
        device = "" if run["device"] == "cpu" else f", {run['device']}"
        found.setdefault(f"{run['engine']} {run['variant']}, {run['precision']}{device}", []).append(run)
    contenders = sorted((Contender(name, runs) for name, runs in found.items()), key=lambda contender: contender.seconds)
    return contenders, next(contender for contender in contenders if contender.is_dense)


def bench(workload):
    contenders, reference = contest(workload)
    optional = lambda value, show: "–" if value is None else show(value)
    lines = []
    for own in contenders:
        each = ", ".join(quantity(seconds, "s") if math.isfinite(seconds) else "never" for seconds in own.times)
        lines.append([
            own.name,
            own.division,
            f"{own.arrived} of {len(own.runs)}",
            own.time() + (f" ({each})" if len(own.runs) > 1 else ""),
            f"{times(reference.seconds / own.seconds)}x" if math.isfinite(own.seconds) else "–",
            optional(own.flops, lambda flops: quantity(flops, "FLOP")),
            optional(own.reduction, lambda ratio: f"{times(ratio)}x"),
            of_metric(own.metric, own.quality),
            optional(own.memory, lambda count: quantity(count, "B")),
        ])
    lines.append(["GPU (CUDA)", "–", "–", "not run"] + ["–"] * 5)
    head = ["contender", "division", "arrived", "time to target", "speed-up", "operations", "FLOP reduction"]
    rule = "at least" if "@" in reference.metric else "at most"
    metric = reference.metric.replace("p@", "P@").replace("_", " ")
    remark = f"Target: {metric} of {rule} {of_metric(reference.metric, reference.target)}. Speed-ups refer to {reference.name}.\n"
    runs = [run for contender in contenders for run in contender.runs]
    machines = sorted({f"{run['machine']['cpu']}, {run['machine']['cores']} cores" for run in runs})
    commits = sorted({run["software"]["commit"][:12] for run in runs if run["software"].get("commit")})
    remark += f"\nMeasured on {'; '.join(machines)}, commit {', '.join(commits)}.\n"
    return table([*head, "quality at the end", "peak memory"], lines) + "\n" + remark


def mean(rows, key):
    return sum(row["metrics"][key] for row in rows) / len(rows)


def ablation(file="lm-ablation"):
    result = load(file)
    names = list(dict.fromkeys(row["contender"] for row in result["rows"]))
    of = {name: [row for row in result["rows"] if row["contender"] == name] for name in names}
    lines = []
    for name, rows in of.items():
        used = "".join(
            f"{100 * mean(rows, key):.1f} % of {what}"
            for key, what in (("ngram_rows_used", "rows "), ("memory_slots_used", "slots"))
            if key in rows[0]["metrics"]
        )
        loss = mean(rows, "loss")
        base = of.get("dense") or of["sampled head"]
        against = f"{loss - mean(base, 'loss'):+.3f}"
        each = ", ".join(f"{row['metrics']['loss']:.3f}" for row in rows) if len(rows) > 1 else ""
        lines.append([name, f"{loss:.3f}", each, against, f"{mean(rows, 'bits_per_byte'):.3f}", used])
    return table(["at equal tokens", "loss", "of each seed", f"against {'dense' if 'dense' in of else 'sampled head'}", "bits/byte", "ever used"], lines)


def time():
    result = load("lm-time")
    lines = []
    for row in sorted((row for row in result["rows"] if "minutes" in row), key=lambda row: row["metrics"]["bits_per_byte"]):
        metrics = row["metrics"]
        figures = [f"{row['lr']:g}", f"{row['tokens'] / 1e6:.2f} M", f"{metrics['loss']:.3f}", f"{metrics['bits_per_byte']:.3f}"]
        lines.append([row["contender"], str(row["seed"]), *figures, gib(row["peak_memory_bytes"])])
    return table(["in 30 minutes", "seed", "learning rate", "tokens", "loss", "bits/byte", "peak memory"], lines)


def presets():
    result = load("lm-presets")
    lines = []
    for row in sorted(result["rows"], key=lambda row: (row["tokens"], row["contender"])):
        figures = [f"{row['parameters'] / 1e6:.0f} M", gib(row["peak_memory_bytes"]), gib(row["planned_bytes"])]
        figures += [f"{row['tokens'] / 1e3:.0f} k", f"{row['metrics']['loss']:.3f}"]
        lines.append([row["contender"], str(row["seed"]), *figures])
    return table(["preset", "seed", "weights", "peak memory", "planned", "tokens", "loss"], lines)


def gaps(name, ours, theirs, key="loss"):
    """What one contender's figure is above another's, for each seed that both have."""
    ours, theirs = ({row["seed"]: row["metrics"][key] for row in rows_of(name) if row.get("contender") == of} for of in (ours, theirs))
    return [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]


def rates(name):
    return {(row["preset"], row["contender"]): row["median"] for row in rows_of(name)}


def fastest_pytorch(preset, name="lm-speed", dtype="bf16"):
    return max(rate for (of, who), rate in rates(name).items() if of == preset and who.startswith(f"PyTorch {dtype}"))


def generated():
    return next(row["share_of_bandwidth"] for row in rows_of("lm-generate") if row["preset"] == "base")


def targets():
    """What the language models were to reach, and what the other tables say of it."""
    speed, on_the_xeon = rates("lm-speed"), rates("lm-speed-xeon")
    each = lambda gaps: ", ".join(f"{gap:+.3f}" for gap in gaps) or "not run"
    mean_gap = lambda name: f"{sum(gaps(name, 'sampled head', 'dense')) / len(gaps(name, 'sampled head', 'dense')):+.3f}"
    against_pytorch = [f"{speed[preset, 'hotrow, dense head'] / fastest_pytorch(preset):.2f}" for preset in PRESETS]
    large = {row["contender"]: row for row in sorted(rows_of("lm-presets"), key=lambda row: row["tokens"])}
    tables = "memory-2.5b", "hotrow"
    rate = f"{speed[tables]:.0f}" if tables in speed else f"{on_the_xeon[tables]:.0f} (Xeon)"
    sampled = speed["small", "hotrow, sampled head"] / speed["small", "hotrow, dense head"]
    small_vocabulary = gaps("lm-time", OURS, "dense, vocabulary 8 192", "bits_per_byte")
    lines = [
        ["dense network and head against the fastest PyTorch in bf16 (`small`, `base`, `gpt2-124m`)", "1.5 times each", ", ".join(against_pytorch)],
        ["sampled against dense head, `small`: speed", "1.8 times", f"{sampled:.2f}"],
        ["the same: loss at equal tokens, nat (`tiny`; `small`)", "at most +0.02", f"{mean_gap('lm-ablation')}; {mean_gap('lm-ablation-small')}"],
        ["30 minutes: n-grams, memory and sampled head against dense, nat, each seed", "-0.15", each(gaps("lm-time", OURS, "dense"))],
        ["the same against PyTorch's dense network, nat", "-0.4", each(gaps("lm-time", OURS, PYTORCH))],
        ["the same against dense with a vocabulary of 8 192, bits a byte", "below 0", each(small_vocabulary)],
        ["`memory-2.5b`: peak memory", "8 GiB", gib(large["memory-2.5b"]["peak_memory_bytes"])],
        ["`memory-2.5b`: tokens a second", "3 000", rate],
        ["`memory-2.5b` against `base` at equal tokens, nat, each seed", "at most 0", each(gaps("lm-presets", "memory-2.5b", "base"))],
        ["`memory-7b`: peak memory", "20 GiB", gib(large["memory-7b"]["peak_memory_bytes"])],
        ["`generate`, `base`: share of the memory bandwidth", "60 %", f"{100 * generated():.0f} %"],
    ]
    return table(["what", "target", "measured"], lines)


def xeon():
    """Speed of language models on the Xeon without AMX."""
    found = rates("lm-speed-xeon")
    lines = []
    for (preset, contender), rate in found.items():
        own = found.get((preset, "hotrow, dense head"))
        lines.append([preset, contender, f"{rate:.0f}", f"{rate / own:.2f}" if own else ""])
    return table(["preset", "contender", "tokens/s", "hotrow, dense head is 1"], lines)


def generate():
    lines = []
    for row in rows_of("lm-generate"):
        moved = sum(row["bytes_per_token"].values())
        share = f"{100 * row['share_of_bandwidth']:.0f} %"
        lines.append([row["preset"], f"{row['tokens_per_second']:.0f}", f"{moved / 1e6:.0f} MB", share])
    return table(["preset", "tokens/s", "bytes a token", "share of the memory bandwidth"], lines)


def growth():
    lines = []
    for row in rows_of("xmc-growth"):
        labels = f"{row['labels']:,}".replace(",", " ")
        peak = f"{row['peak_memory_bytes'] / row['weight_and_state_bytes']:.2f} times"
        figures = [f"{row['milliseconds_per_step']:.1f} ms", f"{row['weight_and_state_bytes'] / 1e9:.2f} GB", gib(row["peak_memory_bytes"]), peak]
        lines.append([labels, row["storage"], *figures])
    return table(["labels", "storage", "a step", "weights and state", "peak memory", "against weights and state"], lines)


def of_parts(names, also=()):
    """Rows of the sets in xmc-parts.json, by name."""
    lines = []
    for name, of_set in load("xmc-parts")["sets"].items():
        for who, shown in names.items():
            if who in of_set["rows"]:
                row = of_set["rows"][who]
                figures = [f"{row[f'p@{k}']:.1f}" for k in (1, 3, 5)]
                lines.append([name, shown, *figures, *(format_of(row) for format_of in also)])
    return lines


def parts():
    """Memories and linear rows against label trees."""
    names = {"hotrow": "hotrow, `model.parts=auto`", "parabel": "omikuji, Parabel", "bonsai": "omikuji, Bonsai"}
    scored = lambda row: " / ".join(f"{row[f'psp@{k}']:.1f}" for k in (1, 3, 5)) if "psp@1" in row else "–"
    lines = of_parts(names, (scored, lambda row: f"{row['seconds']:.1f} s", lambda row: f"{row['bytes'] / 1e6:.0f} MB"))
    return table(["set", "program", "P@1", "P@3", "P@5", "PSP@1 / 3 / 5", "file to model", "model on disk"], lines)


def parts_alone():
    """Each part alone, and each left out."""
    parts = ["counts", "neighbours", "linear"]
    names = {"hotrow": "all"} | {part: f"{part} alone" for part in parts}
    names |= {"+".join(p for p in parts if p != out): f"without {out}" for out in parts}
    names |= {"+".join(parts + ["network"]): "all and a network"}
    return table(["set", "parts", "P@1", "P@3", "P@5", "seconds"], of_parts(names, (lambda row: f"{row['seconds']:.1f}",)))


def growth_parts():
    """Planted sets of many labels without a network."""
    result = load("xmc-growth-parts")
    lines = []
    for row in [result["whole"] | {"labels": 670_091, "samples": 490_449}, *result["growth"]]:
        each = 1e6 * row["seconds_train"] / row["samples"]
        precision = f"{row['p@1']:.1f} %" if "p@1" in row else "–"
        names = ", ".join(name for name, part in row["parts"].items() if part["bytes"])
        lines.append([f"{row['samples']:,}".replace(",", " "), f"{row['labels']:,}".replace(",", " "), names, precision,
                      f"{row['seconds']:.1f} s", f"{each:.0f} µs", f"{row['peak_memory_bytes'] / 2**30:.1f} GiB"])
    return table(["samples", "labels", "parts", "P@1", "file to model", "training a sample", "peak memory"], lines)


def asked():
    """One sample at a time, on one thread."""
    whole = load("xmc-growth-parts")["whole"]["ask"]
    lines = []
    for name, row in (("demo", load("xmc-ask-demo")), ("planted Amazon-670K", whole)):
        lines.append([name, f"{row['labels']:,}".replace(",", " "), f"{row['microseconds']:.0f} µs", f"{row['microseconds_99']:.0f} µs",
                      f"{row['exhaustive_microseconds'] / 1e3:.1f} ms", f"{100 * row['found']:.1f} %"])
    return table(["set", "labels", "a sample (median)", "99 of 100", "all labels scored", "best 5 of all labels found"], lines)


def next_item():
    names = {"hotrow": "hotrow, defaults", "parabel": "omikuji, Parabel", "bonsai": "omikuji, Bonsai", "item-knn": "item-kNN", "popularity": "popularity"}
    rows = load("xmc-next-item")["rows"]
    seconds = lambda row: f"{row['seconds']:.1f} s" if "seconds" in row else "–"
    lines = [[name, f"{100 * rows[key]['hr@10']:.2f} %", f"{100 * rows[key]['ndcg@10']:.2f} %", seconds(rows[key])] for key, name in names.items() if key in rows]
    return table(["program", "HR@10", "nDCG@10", "file to model"], lines)


def small():
    lines = []
    for row in rows_of("xmc-small"):
        each = ", ".join(f"{100 * seed:.1f}" for seed in row["p@1"]["seeds"])
        options = ", ".join(row["options"]) or "chosen by size (the default)"
        lines.append([row["set"].split(",")[0], str(row["samples"]), options, str(row["steps"]), f"{100 * row['p@1']['mean']:.1f}", each])
    return table(["data", "samples", "options", "steps", "P@1", "of each seed"], lines)


def peaks():
    """What three machines allow."""
    lines = []
    for name in ("bench/roofline", "roofline-xeon", "roofline-amx"):
        result = load(name)
        level = result["machine"]["level"]
        of = {peak["dtype"]: f"{peak['gflops']:.0f} GFLOP/s" for peak in result["peak"] if peak["level"] == level}
        file = f"[`{name}.json`](../benches/results/{name}.json)"
        lines.append([result["machine"]["cpu"], level, of["f32"], of["bf16"], f"{result['bandwidth_bytes_per_second'] / 1e9:.1f} GB/s", file])
    return table(["CPU, one core", "level", "f32", "bf16", "memory", "file"], lines)


def compare():
    """Rates of two builds of the program, interleaved."""
    units = {"xmc": "samples/s", "lm": "tokens/s", "demo": "runs/h"}
    lines = []
    for row in rows_of("compare"):
        old, new = (f"{median(row[name]):,.0f}".replace(",", " ") for name in ("old", "new"))
        unit = units[row["workload"].split()[0]]
        ratios = [f"{row['ratio_of_medians']:.3f}", f"{row['median_of_ratios']:.3f}"]
        lines.append([row["workload"], row.get("build", ""), str(len(row["old"])), f"{old} {unit}", f"{new} {unit}", *ratios])
    return table(["workload", "build", "rounds", "before", "after", "ratio of medians", "median of ratios in a round"], lines)


def roofline():
    """Each kernel at the best level of its machine."""
    result = load("bench/roofline")
    lines = []
    for kernel in result["kernels"]:
        if kernel["level"] == result["machine"]["level"]:
            gflops = f"{kernel['gflops']:.3g}" if kernel["gflops"] else "–"
            lines.append([f"`{kernel['name']}`", kernel["dtype"], kernel["shape"], gflops, f"{kernel['gbytes']:.3g}"])
    return table(["kernel", "type", "shape", "GFLOP/s", "GB/s"], lines)


def crossings():
    share = lambda value: "never" if value is None else f"{100 * value:.1f} %"
    lines = []
    for row in load("bench/breakeven")["crossings"]:
        keys = ("sampled_beats_dense_below", "packed_beats_dense_below", "sampled_beats_packed_below_fill")
        lines.append([row["level"], row["dtype"], row["shape"], *(share(row[key]) for key in keys)])
    return table(["level", "type", "shape", "sampled beats dense below", "packed beats dense below", "sampled beats packed below a fill of"], lines)


def grown(name):
    """One line for each value of each quantity, one column for each contender."""
    rows = rows_of(name)
    contenders = list(dict.fromkeys(row["contender"] for row in rows))
    of = {}
    for row in rows:
        of.setdefault((row["axis"], row["value"]), {})[row["contender"]] = quantity(row["seconds"], "s")
    lines = [[axis, f"{value:g}", *(seconds.get(name, "–") for name in contenders)] for (axis, value), seconds in sorted(of.items())]
    return table(["quantity", "value", *contenders], lines)


def readme_demo():
    """Lines that `hotrow demo` prints, written as it writes them; quality stands in percent, all else with a ratio."""
    dense, *others = (load("xmc-demo")[name] for name in ("dense", "sparse", "mixture"))
    percent = lambda share: f"{100 * share:.2f} %"

    def line(name, value, show, against):
        first = value(dense)
        return [name, show(first), *(f"{show(value(run))} ({against(value(run), first)})" for run in others)]

    points = lambda value, first: f"{100 * (value - first):+.2f} points"
    ratio = lambda value, first: f"{times(first / value)}x less" if value < first else f"{times(value / first)}x more"
    lines = [["", "dense", "sparse", "mixture"]]
    lines += [line(f"P@{k}", lambda run: run["metrics"][f"p@{k}"], percent, points) for k in (1, 3, 5)]
    for name, value, unit in (
        ("time of training", lambda run: run["seconds"]["train"], "s"),
        ("arithmetic", lambda run: run["flops"]["executed"], "FLOP"),
        ("memory traffic", lambda run: run["bytes"], "B"),
        ("peak memory", lambda run: run["peak_memory_bytes"], "B"),
    ):
        lines.append(line(name, value, lambda x: quantity(x, unit), ratio))
    widths = [max(len(cells[column]) for cells in lines) for column in range(4)]
    text = "".join(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}\n" for a, b, c, d in lines)
    return f"```text\n{text}report: hotrow-demo/report.html\n```\n"


def readme_xmc():
    """Classification in README.md: the two workloads, one of which sparse loses."""
    shown = {
        "hotrow random, f32": "hotrow, random rows",
        "hotrow sparse, f32": "hotrow, default index",
        "hotrow dense, f32": "hotrow, dense",
        "pytorch sampled-bf16, bf16": "PyTorch, random rows, bf16",
        "pytorch sparse-embedding-bf16, bf16": "PyTorch, dense output, bf16",
        "omikuji default, f32": "omikuji",
    }
    lines = []
    for workload, names in {"xmc-demo": list(shown), "few-labels": ["hotrow dense, f32", "hotrow sparse, f32"]}.items():
        for contender in contest(workload)[0]:
            if contender.name in names:
                quality = f"{contender.metric.upper()} {of_metric(contender.metric, contender.quality)}"
                flops = "–" if contender.flops is None else quantity(contender.flops, "FLOP")
                memory = quantity(contender.memory, "B")
                lines.append([workload, shown[contender.name], contender.time(), quality, flops, memory])
    return table(["workload", "contender", "time to target", "quality at the end", "operations", "peak memory"], lines)


def readme_amazon():
    """Speed on very many labels, in two lines of README.md."""
    of = {row["contender"]: row["median"] for row in rows_of("xmc-speed") if row["batch"] == 256}
    rate = lambda who: f"{of[who]:,.0f}".replace(",", " ")
    ours, sampled, dense = "hotrow, random, 4096 rows, Adam, bf16", "PyTorch, sampled, 4096 rows, Adam, bf16", "PyTorch, dense, bf16"
    return (
        f"On a planted clone of Amazon-670K, hotrow trains {rate(ours)} samples/s with 4 096 random rows and Adam. PyTorch trains\n"
        f"{rate(sampled)} with as many rows, and {rate(dense)} with a dense layer. All three multiply in bf16.\n"
    )


def readme_lm():
    """Language models in README.md, with what loses."""
    speed = rates("lm-speed")
    own = lambda preset, head="dense": speed[preset, f"hotrow, {head} head"]
    per_second = lambda rate: f"{rate:.0f} tokens/s"
    lines = []
    for preset in ("small", "gpt2-124m"):
        pytorch = fastest_pytorch(preset)
        lines.append([f"speed of training, `{preset}`", per_second(own(preset)), f"fastest PyTorch in bf16: {per_second(pytorch)}", f"{own(preset) / pytorch:.2f}x"])
    head = own("small", "sampled"), own("small")
    lines.append(["sampled head, `small`", per_second(head[0]), f"hotrow's dense head: {per_second(head[1])}", f"{head[0] / head[1]:.2f}x"])
    bits = lambda who: [row["metrics"]["bits_per_byte"] for row in rows_of("lm-time") if row.get("contender") == who]
    best, dense, pytorch = (sum(bits(who)) / len(bits(who)) for who in (OURS, "dense", PYTORCH))
    for name, rival in (("hotrow, dense", dense), ("PyTorch, dense", pytorch)):
        lines.append(["bits a byte after 30 minutes, tables and sampled head", f"{best:.3f}", f"{name}: {rival:.3f}", f"{best - rival:+.3f}"])
    loss = lambda who: [row["metrics"]["loss"] for row in rows_of("lm-ablation") if row["contender"] == who]
    ours, counted = (sum(loss(who)) / len(loss(who)) for who in ("n-grams, 2^22 rows", "Kneser-Ney 3-gram"))
    lines.append(["loss after 200 000 tokens, `tiny`, largest tables", f"{ours:.3f}", f"counting (Kneser-Ney): {counted:.3f}", f"**{ours - counted:+.3f}: loses**"])
    contenders = {contender.name: contender for contender in contest("lm-shakespeare")[0]}
    ours, rival = contenders["hotrow sampled, f32"], contenders["hotrow dense, f32"]
    lines.append(["time to target of `lm-shakespeare`, sampled head", ours.time(), f"hotrow's dense head: {rival.time()}", f"**{rival.seconds / ours.seconds:.2f}x: loses**"])
    return table(["what", "hotrow", "against", "result"], lines)


def readme_kernels():
    """A few kernels in README.md, those that miss their target among them."""
    shown = ["`rows_dot`, dram", "`gemm`, dram", "`rowwise_adagrad`, dram", "`sddmm`, l3"]
    rows, _ = kernel_tables.target_rows(load("kernels")["lines"])
    lines = [[name, figure, f"{share.split(',')[0]} of {of}".replace("times of", "times the time of"), target, met] for name, figure, share, of, target, met in rows if name in shown]
    return table(["kernel, rows in", "figure", "share of the ceiling", "target", "met"], lines)


def gib(count):
    return f"{count / 2**30:.1f} GiB"


TABLES = {
    "demo": readme_demo,
    "xmc": readme_xmc,
    "amazon": readme_amazon,
    "lm": readme_lm,
    "kernels": readme_kernels,
    "figures": lambda: kernel_tables.tables(load("kernels")),
    "kernels-amx": lambda: kernel_tables.tables(load("kernels-amx"), "kernels-amx.json", "../benches/results"),
    "xmc-demo": demo,
    "bench-xmc-demo": lambda: bench("xmc-demo"),
    "bench-few-labels": lambda: bench("few-labels"),
    "bench-lm-shakespeare": lambda: bench("lm-shakespeare"),
    "quality": quality,
    "speed": speed,
    "index_speed": index_speed,
    "equal": equal,
    "growth": growth,
    "small": small,
    "parts": parts,
    "parts-alone": parts_alone,
    "growth-parts": growth_parts,
    "asked": asked,
    "next-item": next_item,
    "lm-speed": lm,
    "xeon": xeon,
    "ablation": ablation,
    "ablation-small": lambda: ablation("lm-ablation-small"),
    "ablation-longer": lambda: ablation("lm-ablation-longer"),
    "time": time,
    "presets": presets,
    "generate": generate,
    "targets": targets,
    "compare": compare,
    "peaks": peaks,
    "roofline": roofline,
    "crossings": crossings,
    "sweep": lambda: grown("bench/sweep"),
    "scale": lambda: grown("bench/scale"),
}

PART = re.compile(r"\{\{(table|source) ([^}]+)\}\}\n")


def results():
    """docs/results.md: the template with its tables."""
    template = (RESULTS.parent / "results.template.md").read_text()
    return PART.sub(lambda part: TABLES[part[2]]() if part[1] == "table" else source(part[2]), template)


def marked(path, names):
    """The file with new tables between its markers."""
    text = (ROOT / path).read_text()
    for name in names:
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        before, rest = text.split(begin)
        text = before + begin + TABLES[name]() + end + rest.split(end)[1]
    return text


def take_demo(folder):
    runs = {name: json.loads((folder / name / "summary.json").read_text()) for name in ("dense", "sparse", "mixture")}
    runs["environment"] = json.loads((folder / "sparse" / "env.json").read_text())
    runs["environment"].pop("inputs", None)
    runs["environment"]["command"] = "hotrow demo"
    (RESULTS / "xmc-demo.json").write_text(json.dumps(runs, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--demo", type=Path)
    arguments = parser.parse_args()
    if arguments.demo:
        take_demo(arguments.demo)
    texts = {path: marked(path, names) for path, names in MARKERS.items()} | {"docs/results.md": results()}
    stale = [path for path, text in texts.items() if not (ROOT / path).exists() or (ROOT / path).read_text() != text]
    if not arguments.check:
        for path in stale:
            (ROOT / path).write_text(texts[path])
    for path in stale:
        print(f"{path}: out of date, run python3 benches/results.py" if arguments.check else f"{path}: written")
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
