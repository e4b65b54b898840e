"""Writes the parser's ``word_senses.json.gz`` from the files of WordNet 3.0.

python tools/make_word_senses.py --wordnet /usr/share/wordnet --out FILE

The folder holds WordNet's ``data.*`` and ``index.*`` files and ``cntlist.rev`` (Debian: package ``wordnet-base``). Kept
are the words and the nouns of two words in lower case, without their glosses: of every word, which parts of speech it
is, the most frequent first, and what its first senses as a noun are (something made, an animal, a feeling, …).
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

log = logging.getLogger("make_word_senses")
#: WordNet's files of nouns by number ("05": animals) -> the letter that `grefine_core.prompt.syntax.senses` reads.
NOUN_FILES = dict(zip((f"{number:02}" for number in range(3, 29)), "NKAMQBCWEFDGLCOPHVSXURIZYT", strict=True))
PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
NUMBERS = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
SENSES = 3  # of a noun; later ones are rare
RARE = 10  # a part of speech this many times rarer than the most frequent one of its word is left out; a verb gets "x"
DOUBT = {"n": 6, "v": 2, "a": 2, "r": 2}  # added to every count: the texts are small, and prompts full of nouns
THINGS = frozenset("AMBDGLOPHVYEWTK")  # of nouns of two words these are kept: no feelings, no diseases


def frequencies(folder: Path) -> Counter[tuple[str, str]]:
    """(word, part of speech) -> how often WordNet's tagged texts have it."""
    found: Counter[tuple[str, str]] = Counter()
    for line in (folder / "cntlist.rev").read_text("ascii").splitlines():
        key, _, count = line.split()
        word, _, rest = key.partition("%")
        found[word, NUMBERS[rest[0]]] += int(count)
    return found


def read(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Word -> its code, and the nouns of two words."""
    nouns: dict[str, str] = {}
    spelled: set[str] = set()  # the index has everything in lower case
    files: dict[str, str] = {}
    for line in (folder / "data.noun").read_text("ascii").splitlines():
        if not line.startswith(" "):
            fields = line.split()
            spelled.update(fields[k] for k in range(4, 4 + 2 * int(fields[3], 16), 2))
            files[fields[0]] = NOUN_FILES[fields[1]]
    for line in (folder / "index.noun").read_text("ascii").splitlines():
        fields = line.split()
        if not line.startswith(" ") and fields[0] in spelled:
            offsets = fields[-int(fields[2]) :]
            nouns[fields[0]] = "".join(files[offset] for offset in offsets)
    parts: dict[str, set[str]] = defaultdict(set)
    for name, letter in PARTS.items():
        for line in (folder / f"index.{name}").read_text("ascii").splitlines():
            if not line.startswith(" "):
                word = line.split()[0]
                if letter != "n" or word in nouns:
                    parts[word].add(letter)
    counts = frequencies(folder)
    words = {}
    for word in sorted(parts):
        if not re.fullmatch(r"[a-z]{2,}", word):
            continue
        often = {letter: counts[word, letter] + DOUBT[letter] for letter in parts[word]}
        most = max(often.values())
        kept = sorted(
            (letter for letter in often if often[letter] * RARE >= most), key=lambda x: (-often[x], "nvar".index(x))
        )
        words[word] = "".join(nouns[word][:SENSES] if letter == "n" else letter for letter in kept)
        words[word] += "x" if "v" in often and "v" not in kept else ""
    pairs = [word.replace("_", " ") for word, senses in sorted(nouns.items())
             if re.fullmatch(r"[a-z]{2,}_[a-z]{2,}", word) and senses[0] in THINGS]  # fmt: skip
    return words, pairs


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Write the parser's word senses from WordNet.")
    parser.add_argument("--wordnet", type=Path, required=True, help="folder with WordNet's data files")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    arguments = parser.parse_args()
    words, pairs = read(arguments.wordnet)
    licence = (arguments.wordnet / "data.noun").read_text("ascii").splitlines()[:29]
    groups: dict[str, list[str]] = defaultdict(list)
    for word, code in words.items():
        groups[code].append(word)
    content = {
        "format": 1,
        "licence": "\n".join(re.sub(r"^ *\d+ ?", "", line).rstrip() for line in licence),
        "words": {code: " ".join(found) for code, found in sorted(groups.items())},
        "pairs": ",".join(pairs),
    }
    data = json.dumps(content, separators=(",", ":")).encode()
    arguments.out.write_bytes(gzip.compress(data, 9, mtime=0))
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    log.info("%d words, %d pairs, %d bytes", len(words), len(pairs), arguments.out.stat().st_size)


if __name__ == "__main__":
    main()
