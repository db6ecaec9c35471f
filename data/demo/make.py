#!/usr/bin/env python3
"""Makes the demo's data: titles of computer-science papers, and the key words of their abstracts as labels.

Usage: make.py FOLDER, where FOLDER holds cs.jsonl.zst (see README.md). Writes train.tsv.zst, valid.tsv.zst and
labels.txt.zst beside this script; needs the program `zstd`. Depends on nothing but the source file.
"""
import collections
import hashlib
import json
import math
import pathlib
import re
import subprocess
import sys

TRAIN, VALID = 60_000, 2_000
# Words and pairs of words that a paper's abstract has twice or more, the best by TF-IDF.
KEY_WORDS = 8
# Of a label, in the training part: what is said of one paper only cannot be learnt.
LEAST_PAPERS = 2
# In so large a share of abstracts a word says nothing of the topic ("the", "propose").
COMMON = 0.1

WORD = re.compile(r"[a-z][a-z0-9]+(?:-[a-z0-9]+)*")
BREAK = re.compile(r"\$[^$]*\$|[^a-z0-9\s-]")


def terms(abstract):
    """How often each word and each pair of neighbouring words occurs."""
    counts = collections.Counter()
    for part in BREAK.split(abstract.lower()):
        words = WORD.findall(part)
        counts.update(words)
        counts.update(map(" ".join, zip(words, words[1:])))
    return {term: count for term, count in counts.items() if count > 1 and len(term) > 2}


def papers(source):
    """The first of all papers in the order of the hash of their ids, which is as good as random."""
    text = subprocess.run(["zstd", "-dc", source], check=True, capture_output=True, encoding="utf-8").stdout
    rows = [json.loads(line) for line in text.split("\n") if line]
    rows.sort(key=lambda row: hashlib.sha256(row["id"].encode()).digest())
    return [(row["id"], " ".join(row["title"].split()), row["abstract"]) for row in rows]


def write(path, lines):
    data = "".join(line + "\n" for line in lines).encode()
    subprocess.run(["zstd", "-q", "-f", "--ultra", "-22", "-o", path], input=data, check=True)


def main():
    here = pathlib.Path(__file__).parent
    rows = papers(pathlib.Path(sys.argv[1]) / "cs.jsonl.zst")
    # A few papers will keep no label: some more than needed.
    rows = rows[: (TRAIN + VALID) * 26 // 25]
    words = [terms(abstract) for _, _, abstract in rows]
    learnt = range(VALID * 26 // 25, len(rows))

    # A term that is said once in an abstract is none of its key words, so those alone are counted.
    frequency = collections.Counter(term for i in learnt for term in words[i])
    said = collections.Counter(word for i in learnt for word in set(WORD.findall(rows[i][2].lower())))
    common = {word for word, count in said.items() if count > COMMON * len(learnt)}

    def weight(term, count):
        if frequency[term] < LEAST_PAPERS or any(word in common for word in term.split(" ")):
            return 0.0
        return (1 + math.log(count)) * math.log(len(learnt) / frequency[term])

    def best(counts):
        ranked = sorted((-weight(term, count), term) for term, count in counts.items())
        return [term for score, term in ranked[:KEY_WORDS] if score < 0]

    keys = [best(counts) for counts in words]
    used = collections.Counter(term for i in learnt for term in keys[i])
    labels = sorted((term for term, count in used.items() if count >= LEAST_PAPERS), key=lambda t: (-used[t], t))
    number = {term: i for i, term in enumerate(labels)}

    def part(rows_of_part, limit):
        lines = []
        for i in rows_of_part:
            numbers = sorted(number[term] for term in keys[i] if term in number)
            if numbers:
                lines.append("\t".join([rows[i][0], ",".join(map(str, numbers)), rows[i][1]]))
        lines = sorted(lines[:limit])
        pairs = sum(line.split("\t")[1].count(",") + 1 for line in lines)
        print(f"{len(lines)} papers, {pairs} labels of papers")
        return lines

    write(here / "train.tsv.zst", part(learnt, TRAIN))
    write(here / "valid.tsv.zst", part(range(VALID * 26 // 25), VALID))
    write(here / "labels.txt.zst", labels)
    print(f"{len(labels)} labels")


if __name__ == "__main__":
    main()
