#!/usr/bin/env python3
"""Writes the tables of kernels/README.md from the figures of `cargo bench -p hotrow-kernels-bench`.

    HOTROW_BENCH_JSON=benches/results/kernels.json cargo bench -p hotrow-kernels-bench
    python3 benches/table.py benches/results/kernels.json kernels/README.md

Replaces what stands between the markers `<!-- figures -->` and `<!-- end of figures -->`, or adds a section with them at
the end of a file that has none. Without a second argument the tables are printed.
"""

import json
import sys

BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
LEVELS = ["portable", "neon", "avx2", "avx512", "amx"]


def number(x):
    """Three digits: more do not repeat from run to run."""
    return f"{x:.0f}" if x >= 100 else f"{x:.3g}"


def span(values):
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} - {high}"


def binding(line):
    """The ceiling that the kernel is nearest to."""
    return next(ceiling for ceiling in line["ceilings"] if ceiling["name"] == line["binding"])


def rate(line):
    """GFLOP/s or GB/s, whichever the binding ceiling is in."""
    return next(rate for rate in line["rates"] if rate["unit"] == binding(line)["unit"])


def parts(line):
    """kernel, level, place and shape; not every name has a place."""
    kernel, level, *rest = line["name"].split("/")
    return kernel, level, rest


def grouped(lines, key):
    groups = {}
    for line in lines:
        groups.setdefault(key(line), []).append(line)
    return groups


def table(header, lines):
    if not lines:
        return ""
    return "".join(f"| {' | '.join(line)} |\n" for line in [header, ["---"] * len(header), *lines])


TARGETS = ["kernel, rows in", "figure", "share", "of", "target", "met"]


def target_rows(lines):
    """One row for each kernel and place that has a target, and the lines that miss it."""
    out, missed = [], []
    measured = [line for line in lines if line.get("target") and "not_run" not in line]
    for (kernel, place, target), group in grouped(measured, lambda l: (parts(l)[0], parts(l)[2][0], l["target"])).items():
        times = "times the time" in target
        shares = [binding(line)["times"] if times else 100 * binding(line)["share"] for line in group]
        share = f"{span(shares)} {'times' if times else '%'}"
        rivals = {r["name"]: r["times_faster"] for line in group for r in line["rivals"] if r["name"] in target}
        share += "".join(f", {number(ratio)} times {name}" for name, ratio in rivals.items())
        names = ", ".join(sorted({binding(line)["name"] for line in group}))
        figure = f"{span([rate(line)['median'] for line in group])} {rate(group[0])['unit']}"
        if times:
            figure = f"{span([line['nanoseconds']['median'] for line in group])} ns"
        met = sum(line["met"] for line in group)
        verdict = "yes" if met == len(group) else f"**{met} of {len(group)}**" if met else "**no**"
        out.append([f"`{kernel}`, {place}", figure, share, names, target, verdict])
        missed += [line for line in group if not line["met"]]
    return out, missed


def targets(lines):
    """The rows with a target, and below them the lines that miss it."""
    out, missed = target_rows(lines)
    text = table(TARGETS, out)
    for line in missed:
        ceiling = binding(line)
        text += f"\n- Below target: `{line['name']}`, {number(rate(line)['median'])} {rate(line)['unit']}, "
        if "times the time" in line["target"]:
            text += f"{number(ceiling['times'])} times the time of {ceiling['name']}"
        else:
            text += f"{number(100 * ceiling['share'])} % of {ceiling['name']}"
    for line in lines:
        if "not_run" in line:
            text += f"\n- Not run: `{line['name']}`: {line['not_run']}" + (f" (target: {line['target']})" if line["target"] else "")
    return text + "\n"


def ratios(lines):
    """How many times as fast each level is as the one below it."""
    out = []
    measured = [line for line in lines if any(rival["name"] in LEVELS for rival in line.get("rivals", []))]
    levels = [level for level in LEVELS if any(parts(line)[1] == level for line in measured)]
    for (kernel, rest), group in grouped(measured, lambda line: (parts(line)[0], "/".join(parts(line)[2]))).items():
        if len(group) < len(levels):
            continue  # a line of the best level only
        ratio = {parts(line)[1]: rival["times_faster"] for line in group for rival in line["rivals"] if rival["name"] in LEVELS}
        out.append([f"`{kernel}/{rest}`", *(number(ratio[level]) for level in levels)])
    below = {parts(line)[1]: rival["name"] for line in measured for rival in line["rivals"] if rival["name"] in LEVELS}
    return table(["kernel", *(f"{level} / {below[level]}" for level in levels)], out)


def best(line):
    """What the fastest way of a roofline line reached."""
    return max([line["rates"][0]["median"], *(ceiling["rate"] for ceiling in line["ceilings"])])


def ceilings(lines):
    """What the machine allows: one row for each kind of access, one column for each size of row."""
    measured = [line for line in lines if line["name"].startswith("roofline/") and "not_run" not in line]
    by_size = [line for line in measured if line["name"].endswith("b")]
    sizes = sorted({int(line["name"].split("/")[-1][:-1]) for line in by_size})
    out = []
    for (kind, place), group in grouped(by_size, lambda line: (line["name"].split("/")[1], line["name"].split("/")[3])).items():
        rates = {int(line["name"].split("/")[-1][:-1]): number(best(line)) for line in group}
        out.append([f"`{kind}`, {place}", *(rates.get(size, "") for size in sizes)])
    text = table(["GB/s, rows of", *(f"{size} B" for size in sizes)], out) + "\n"
    for line in measured:
        if line not in by_size:
            text += f"- `{line['name']}`: {number(best(line))} {line['rates'][0]['unit']}\n"
    return text


def tables(report, file="kernels.json", folder="../benches/results"):
    machine, load, lines = report["machine"], report["load_average"], report["lines"]
    absent = "; ".join(f"{name}: {why}" for name, why in machine["levels_absent"].items())
    return "\n".join([
        f"Measured on {machine['cpu']}, one core of {machine['cores']}, levels {', '.join(machine['levels'])} (absent: {absent}), "
        f"by {report['rustc']} at commit {report['commit']}; load average {load['start']} at the start and {load['end']} at the "
        f"end of `{report['command']}`. A share is the median over rounds in which the kernel and the loop that sets its "
        "ceiling took turns; above 100 % the kernel was faster than the plain loop. All figures: "
        f"[`{file}`]({folder}/{file}).\n",
        targets(lines),
        "Each level against the one below it (twice the lanes; from L2 and beyond the bytes, not the lanes, decide):\n",
        ratios(lines),
        "The ceilings themselves:\n",
        ceilings(lines),
    ])


def main():
    with open(sys.argv[1]) as file:
        text = tables(json.load(file))
    if len(sys.argv) < 3:
        print(text)
        return
    with open(sys.argv[2]) as file:
        before, _, rest = file.read().partition(BEGIN)
        _, found, after = rest.partition(END)
    if not found:
        before, after = before.rstrip("\n") + "\n\n## Speed\n\n", ""
    with open(sys.argv[2], "w") as file:
        file.write(f"{before}{BEGIN}{text}{END}{after}")


if __name__ == "__main__":
    main()
