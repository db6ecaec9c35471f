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


def main():
    exceptions = {}
    for line in Path(".ci/exceptions").read_text().splitlines():
        if line and not line.startswith("#"):
            rule, path, reason = line.split(maxsplit=2)
            exceptions[rule, path] = reason
    used, found = set(), []
    listing = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True).stdout
    for path in filter(None, listing.split("\0")):
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
