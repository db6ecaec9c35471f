"""Writes the tables of README.md from the figures of whole runs.

    cargo run --release -- demo --out hotrow-demo          (two summaries)
    python3 benches/xmc/quality.py ..                      (benches/results/xmc-quality.json)
    python3 benches/xmc/speed.py ..                        (benches/results/xmc-speed.json)
    python3 benches/xmc/equal.py ..                        (benches/results/xmc-equal.json)
    python3 benches/lm/speed.py ..                         (benches/results/lm-speed.json)
    python3 benches/lm/quality.py ablation|time ..         (benches/results/lm-ablation.json, lm-time.json)
    python3 benches/lm/presets.py, generate.py             (benches/results/lm-presets.json, lm-generate.json)
    hotrow report benches/results/bench ..                 (Markdown, and pictures)
    python3 benches/xmc/table.py --demo hotrow-demo --bench target/report.md

With `--demo` the summaries of that demo become benches/results/xmc-demo.json. With `--bench` the comparisons of that report,
which `hotrow report` has written for this folder, are copied: what the README says of results has one source. Each table replaces what stands between the
markers `<!-- NAME -->` and `<!-- end of NAME -->`.
"""

import argparse
import json
from pathlib import Path

RESULTS = Path("benches/results")
PRESETS = ("small", "base", "gpt2-124m")
PYTORCH = "PyTorch dense, bf16"


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def demo():
    runs = json.loads((RESULTS / "xmc-demo.json").read_text())
    dense, sparse = runs["dense"], runs["sparse"]

    def row(name, value, show, times=True):
        a, b = value(dense), value(sparse)
        return [name, show(a), show(b) + (f" ({a / b:.1f}x less)" if times else "")]

    percent = lambda x: f"{100 * x:.1f} %"
    rows = [row(f"P@{k}", lambda run: run["metrics"][f"p@{k}"], percent, False) for k in (1, 3, 5)]
    rows += [
        row("time of training", lambda run: run["seconds"]["train"], lambda x: f"{x:.1f} s"),
        row("operations", lambda run: run["flops"]["executed"], lambda x: f"{x / 1e12:.2f} TFLOP"),
        row("bytes of weights and state moved", lambda run: run["bytes"], lambda x: f"{x / 1e9:.1f} GB"),
        row("peak memory", lambda run: run["peak_memory_bytes"], lambda x: f"{x / 2**20:.0f} MiB", False),
        row("rows of the output computed", lambda run: run["active_share"], percent, False),
    ]
    return table(["", "dense", "sparse"], rows)


def quality():
    result = json.loads((RESULTS / "xmc-quality.json").read_text())
    rows = []
    for row in result["rows"]:
        metrics = [f"{100 * row['metrics'][key]['mean']:.1f}" for key in ("p@1", "p@3", "p@5")]
        exact = next(r for r in result["rows"] if r["set"] == row["set"] and r["kind"] == "exact softmax")
        flops = row["output_layer_flops"] / exact["output_layer_flops"]
        rows.append([row["set"], row["kind"], f"{100 * flops:.2f} %", *metrics])
    return table(["data", "active rows from", "output-layer operations", "P@1", "P@3", "P@5"], rows)


def speed():
    result = json.loads((RESULTS / "xmc-speed.json").read_text())
    rows = []
    for row in result["rows"]:
        base = next(r for r in result["rows"] if r["batch"] == row["batch"] and r["contender"] == "PyTorch, dense, bf16")
        ratio = row["median"] / base["median"]
        rows.append([str(row["batch"]), row["contender"], f"{row['median']:.0f}", f"{ratio:.1f}x"])
    return table(["batch", "contender", "samples/s", "PyTorch's dense bf16 is 1"], rows)


def equal():
    result = json.loads((RESULTS / "xmc-equal.json").read_text())
    rows = []
    for row in result["rows"]:
        metrics = [f"{100 * row[key]:.1f}" for key in ("p@1", "p@3", "p@5")]
        rows.append([row["contender"], *metrics, f"{row['seconds']:.1f} s", f"{row['samples_per_second']:.0f}"])
    return table(["one epoch of", "P@1", "P@3", "P@5", "training", "samples/s"], rows)


def lm():
    result = json.loads((RESULTS / "lm-speed.json").read_text())
    rows = []
    for row in result["rows"]:
        own = [r["median"] for r in result["rows"] if r["preset"] == row["preset"] and r["contender"] == "hotrow, dense head"]
        ratio = f"{row['median'] / own[0]:.2f}" if own else ""
        rows.append([row["preset"], row["contender"], f"{row['median']:.0f}", ratio])
    return table(["preset", "contender", "tokens/s", "hotrow, dense head is 1"], rows)


def bench(report):
    """Of each workload in the report: its title, the comparison, and the first picture of quality with its source."""
    text = ""
    for workload in report.read_text().split("\n## ")[1:]:
        name, *sections = workload.split("\n### ")
        sections = dict(section.split("\n", 1) for section in sections)
        if "Comparison" in sections:
            title, _, words = name.partition("\n")
            quality = sections.get("Quality", "").strip().split("\n\n")[:2]
            parts = [f"**{title}**", words.strip(), sections["Comparison"].strip(), *quality]
            text += "\n\n".join(filter(None, parts)) + "\n\n"
    return text.rstrip("\n") + "\n"


def mean(rows, key):
    return sum(row["metrics"][key] for row in rows) / len(rows)


def ablation():
    result = json.loads((RESULTS / "lm-ablation.json").read_text())
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
        against = f"{loss - mean(of['dense'], 'loss'):+.3f}"
        each = ", ".join(f"{row['metrics']['loss']:.3f}" for row in rows) if len(rows) > 1 else ""
        lines.append([name, f"{loss:.3f}", each, against, f"{mean(rows, 'bits_per_byte'):.3f}", used])
    return table(["at equal tokens", "loss", "of each seed", "against dense", "bits/byte", "ever used"], lines)


def time():
    result = json.loads((RESULTS / "lm-time.json").read_text())
    lines = []
    for row in sorted((row for row in result["rows"] if "minutes" in row), key=lambda row: row["metrics"]["bits_per_byte"]):
        metrics = row["metrics"]
        figures = [f"{row['lr']:g}", f"{row['tokens'] / 1e6:.2f} M", f"{metrics['loss']:.3f}", f"{metrics['bits_per_byte']:.3f}"]
        lines.append([row["contender"], str(row["seed"]), *figures, gib(row["peak_memory_bytes"])])
    return table(["in 30 minutes", "seed", "learning rate", "tokens", "loss", "bits/byte", "peak memory"], lines)


def presets():
    result = json.loads((RESULTS / "lm-presets.json").read_text())
    lines = []
    for row in sorted(result["rows"], key=lambda row: (row["tokens"], row["contender"])):
        figures = [f"{row['parameters'] / 1e6:.0f} M", gib(row["peak_memory_bytes"]), gib(row["planned_bytes"])]
        figures += [f"{row['tokens'] / 1e3:.0f} k", f"{row['metrics']['loss']:.3f}"]
        lines.append([row["contender"], str(row["seed"]), *figures])
    return table(["preset", "seed", "weights", "peak memory", "planned", "tokens", "loss"], lines)


def targets():
    """What the language models were to reach, and what the other tables say of it."""
    rows = lambda name: json.loads((RESULTS / f"{name}.json").read_text())["rows"]
    rates = lambda name: {(row["preset"], row["contender"]): row["median"] for row in rows(name)}
    speed, on_the_xeon = rates("lm-speed"), rates("lm-speed-xeon")

    def against_pytorch(preset):
        rival = max(rate for (of, name), rate in speed.items() if of == preset and name.startswith("PyTorch bf16"))
        return f"{speed[preset, 'hotrow, dense head'] / rival:.2f}"

    def gaps(name, ours, theirs, key):
        ours, theirs = ({row["seed"]: row["metrics"][key] for row in rows(name) if row.get("contender") == of} for of in (ours, theirs))
        return [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]

    def gap(name):
        each = gaps(name, "sampled head", "dense", "loss")
        return f"{sum(each) / len(each):+.3f}"

    def timed(rival, key="loss"):
        each = gaps("lm-time", "n-grams, memory, sampled head", rival, key)
        return ", ".join(f"{gap:+.3f}" for gap in each) or "not run"

    large = {row["contender"]: row for row in sorted(rows("lm-presets"), key=lambda row: row["tokens"])}
    falls = gaps("lm-presets", "memory-2.5b", "base", "loss")
    tables = "memory-2.5b", "hotrow"
    rate = f"{speed[tables]:.0f}" if tables in speed else f"{on_the_xeon[tables]:.0f} (Xeon)"
    generated = next(row["share_of_bandwidth"] for row in rows("lm-generate") if row["preset"] == "base")
    sampled = speed["small", "hotrow, sampled head"] / speed["small", "hotrow, dense head"]
    lines = [
        ["dense network and head against the fastest PyTorch, bf16 (`small`, `base`, `gpt2-124m`)", "1.5 times each", ", ".join(map(against_pytorch, PRESETS))],
        ["sampled against dense head, `small`: speed", "1.8 times", f"{sampled:.2f}"],
        ["the same: loss at equal tokens, nat (`tiny`; `small`)", "at most +0.02", f"{gap('lm-ablation')}; {gap('lm-ablation-small')}"],
        ["30 minutes: n-grams, memory and sampled head against dense, nat, each seed", "-0.15", timed("dense")],
        ["the same against PyTorch's dense network, nat", "-0.4", timed(PYTORCH)],
        ["the same against dense with a vocabulary of 8 192, bits a byte", "below 0", timed("dense, vocabulary 8 192", "bits_per_byte")],
        ["`memory-2.5b`: peak memory", "8 GiB", gib(large["memory-2.5b"]["peak_memory_bytes"])],
        ["`memory-2.5b`: tokens a second", "3 000", rate],
        ["`memory-2.5b` against `base` at equal tokens, nat, each seed", "at most 0", ", ".join(f"{gap:+.3f}" for gap in falls)],
        ["`memory-7b`: peak memory", "20 GiB", gib(large["memory-7b"]["peak_memory_bytes"])],
        ["`generate`, `base`: share of the memory bandwidth", "60 %", f"{100 * generated:.0f} %"],
    ]
    return table(["what", "target", "measured"], lines)


def gib(count):
    return f"{count / 2**30:.1f} GiB"


TABLES = {
    "demo": (demo, "xmc-demo"),
    "quality": (quality, "xmc-quality"),
    "speed": (speed, "xmc-speed"),
    "equal": (equal, "xmc-equal"),
    "lm": (lm, "lm-speed"),
    "ablation": (ablation, "lm-ablation"),
    "time": (time, "lm-time"),
    "presets": (presets, "lm-presets"),
    "targets": (targets, "lm-time"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path)
    parser.add_argument("--bench", type=Path)
    arguments = parser.parse_args()
    if arguments.demo:
        runs = {name: json.loads((arguments.demo / name / "summary.json").read_text()) for name in ("dense", "sparse")}
        runs["environment"] = json.loads((arguments.demo / "sparse" / "env.json").read_text())
        runs["environment"].pop("inputs", None)
        runs["environment"]["command"] = "hotrow demo"
        (RESULTS / "xmc-demo.json").write_text(json.dumps(runs, indent=1) + "\n")
    readme = Path("README.md")
    text = readme.read_text()
    for name, (make, figures) in TABLES.items():
        if (RESULTS / f"{figures}.json").exists():
            begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
            before, rest = text.split(begin)
            text = before + begin + "\n" + make() + "\n" + end + rest.split(end)[1]
    if arguments.bench:
        begin, end = "<!-- bench -->\n", "<!-- end of bench -->\n"
        before, rest = text.split(begin)
        text = before + begin + "\n" + bench(arguments.bench) + "\n" + end + rest.split(end)[1]
    readme.write_text(text)


if __name__ == "__main__":
    main()
