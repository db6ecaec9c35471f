"""Rules of the code base that a text search can check. Prints every breach and exits 1 if there is one.

`.ci/exceptions` lists what is allowed all the same: a rule, a path, a reason. An exception that no longer excuses
anything is itself a breach.
"""

import re
import subprocess
import sys
from pathlib import Path

LINES = 400


def code(line):
    """The line without its comment."""
    return line.split("//", 1)[0]


def breaches(path, lines):
    """Pairs of rule and place."""
    rust = path.endswith(".rs")
    simd = path == "kernels/src/simd.rs" or path.startswith("kernels/src/simd/")
    if rust and len(lines) > LINES:
        yield "length", f"{path}: {len(lines)} lines, more than {LINES}"
    for number, line in enumerate(lines, 1):
        place = f"{path}:{number}: {line.strip()[:100]}"
        if rust and not simd and re.search(r"\bunsafe\b", code(line)):
            yield "unsafe", place
        if rust and not simd and path != "kernels/src/level.rs" and re.search(r"\bcfg!?\(.*\btarget_", code(line)):
            yield "target", place
        if path.startswith("kernels/") and (rust or path.endswith(".toml")) and re.search(r"\brayon\b", code(line)):
            yield "threads", place
        if rust and re.search(r"\b(todo|unimplemented)!\(|\b(TODO|FIXME|XXX)\b|#\[ignore", line):
            yield "open", place
        if re.search(r"(^|[^\w.}])/(home|root|work|Users|tmp)/", line):
            yield "path", place


def paths(text):
    """The `a::b::c` that the code names, those inside `use a::{b, c::d}` included."""
    text = re.sub(r"\s*([{}:,])\s*", r"\1", re.sub(r"\bas \w+", "", text))
    # From the innermost braces outwards.
    while (group := re.search(r"((?:\w+::)+)\{([^{}]*)\}", text)):
        spread = ",".join(group[1] + item for item in group[2].split(","))
        text = text[: group.start()] + spread + text[group.end() :]
    return re.findall(r"\b(?:crate|super|self)(?:::\w+)+", text)


def rings(root, listing):
    """Siblings in a folder of `root` that name each other in a circle, as `folder: names`. Tests may name anything."""
    files = {}
    for path in listing:
        if path.startswith(root) and path.endswith(".rs") and "tests" not in path:
            files[tuple(path[len(root) : -3].split("/"))] = path
    edges = {}
    for module, path in files.items():
        text = Path(path).read_text().split("#[cfg(test)]\nmod tests {")[0]
        text = "\n".join(code(line) for line in text.splitlines())
        for named in map(lambda found: found.split("::"), paths(text)):
            here = list(module) if named[0] != "crate" else []
            while named and named[0] in ("crate", "super", "self"):
                if named.pop(0) == "super":
                    here.pop()
            target = tuple(here + named)
            while target and target not in files:
                target = target[:-1]
            common = next((i for i, pair in enumerate(zip(module, target)) if pair[0] != pair[1]), None)
            if common is not None:
                edges.setdefault(module[: common + 1], set()).add(target[: common + 1])

    def reached(start):
        seen, todo = set(), [start]
        while todo:
            new = edges.get(todo.pop(), set()) - seen
            seen |= new
            todo += new
        return seen

    circles = {frozenset(other for other in reached(module) if module in reached(other)) for module in edges}
    for ring in sorted(map(sorted, filter(None, circles))):
        yield f"{root}{'/'.join(ring[0][:-1])}/{{{','.join(module[-1] for module in ring)}}}"


def main():
    exceptions = {}
    for line in Path(".ci/exceptions").read_text().splitlines():
        if line and not line.startswith("#"):
            rule, path, reason = line.split(maxsplit=2)
            exceptions[rule, path] = reason
    used, found = set(), []
    listing = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True).stdout
    listing = list(filter(None, listing.split("\0")))
    for ring in (ring for root in ("kernels/src/", "src/", "cli/src/") for ring in rings(root, listing)):
        if ("ring", ring) in exceptions:
            used.add(("ring", ring))
        else:
            found.append(f"ring: {ring} import each other in a circle")
    for path in listing:
        if path.endswith(".lock"):
            continue
        try:
            lines = Path(path).read_text().splitlines()
        except UnicodeDecodeError:
            continue
        for rule, place in breaches(path, lines):
            if (rule, path) in exceptions:
                used.add((rule, path))
            else:
                found.append(f"{rule}: {place}")
    found += [f"exceptions: {rule} {path} excuses nothing" for rule, path in exceptions.keys() - used]
    print("\n".join(found) if found else "no breach")
    return 1 if found else 0


sys.exit(main())
