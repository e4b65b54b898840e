"""Prints, for prompts as users write them, how many of each style the parser reads with an error that hurts.

python tools/score_wild_prompts.py                    the annotated prompts in ``tests/data/syntax/wild_*.json``
python tools/score_wild_prompts.py -v FILE...         these files, and the faults of every prompt

An annotated prompt is an object with ``prompt``, ``style`` and what a reader finds in it, words in lower case:

want      heads, of which each needs a content phrase of its own ("cup|coffee": either will do)
never     words that are in no content phrase: style, parameters, keys, directions
no_head   words that are the head of no content phrase: verbs, adverbs, pronouns, lettering
absent    words that are in no content phrase since the prompt keeps them out of the picture
apart     pairs of words that are never in one content phrase
together  pairs of words of which some content phrase has both
foreign_text  stretches that are not English: no word of them is in a content phrase that is measured

A thing lost, two things glued, a style word or a parameter as a thing, a verb or an adverb as a head: one of these
and the prompt counts as wrong.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grefine_core.prompt.syntax import Phrase, PromptTree, Word, parse_prompt

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "data" / "syntax"
log = logging.getLogger("score_wild_prompts")


def forms(word: Word) -> set[str]:
    """What an annotation may call the word: itself, and its parts ("long_hair": long, hair)."""
    text = word.text.lower().replace("’", "'")
    return {text, *re.findall(r"[^\W_]+(?:'[^\W_]+)?", text), *re.findall(r"[^\W_]+", text)}


def head_forms(phrase: Phrase) -> set[str]:
    """What an annotation may call the head: itself, or the last of its parts."""
    text = phrase.head.text.lower()
    return {text, *re.findall(r"[^\W_]+", text)[-1:]}


def measured(tree: PromptTree) -> list[Phrase]:
    """The phrases that are looked for in the picture."""
    return [tree.phrases[i] for i in tree.content if not getattr(tree.phrases[i], "is_foreign", False)]


def faults(entry: dict[str, Any], tree: PromptTree) -> list[str]:
    """What is wrong with `tree` as the reading of the annotated prompt `entry`, in words; nothing if all is right."""
    phrases = measured(tree)
    heads = [head_forms(phrase) for phrase in phrases]
    words = [set().union(*map(forms, phrase.words)) for phrase in phrases]
    found = []
    for wanted in entry["want"]:
        if not any(head.intersection(wanted.split("|")) for head in heads):
            glued = any(text.intersection(wanted.split("|")) for text in words)
            found.append(f"{wanted!r} is {'no head' if glued else 'lost'}")
    for word in entry["never"]:
        if any(word in text for text in words):
            found.append(f"{word!r} is in a thing")
    for word in entry.get("absent", []):
        if any(word in text for text in words):
            found.append(f"{word!r} is kept out by the prompt")
    for word in entry.get("no_head", []):
        if any(word in head for head in heads):
            found.append(f"{word!r} is a head")
    for one, other in entry["apart"]:
        if any(one in text and other in text for text in words):
            found.append(f"{one!r} and {other!r} are glued")
    for one, other in entry.get("together", []):
        if not any(one in text and other in text for text in words):
            found.append(f"{one!r} and {other!r} are torn apart")
    for part in entry.get("foreign_text", []):
        start = entry["prompt"].index(part)
        if any(start <= word.start < start + len(part) for phrase in phrases for word in phrase.words):
            found.append(f"{part!r} is measured")
    return found


def score(entries: Sequence[dict[str, Any]]) -> dict[str, list[tuple[dict[str, Any], list[str]]]]:
    """Returns, for each style, its prompts with their faults."""
    styles: dict[str, list[tuple[dict[str, Any], list[str]]]] = {}
    for entry in entries:
        styles.setdefault(entry["style"], []).append((entry, faults(entry, parse_prompt(entry["prompt"]))))
    return styles


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    parser = argparse.ArgumentParser(description="How many prompts of each style are read with an error that hurts.")
    parser.add_argument("files", nargs="*", type=Path, help="annotated prompts (default: those of the tests)")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the faults of every prompt")
    arguments = parser.parse_args(argv)
    files = arguments.files or sorted(FOLDER.glob("wild_*.json"))
    entries = [entry for file in files for entry in json.loads(file.read_text("utf-8"))]
    bad = 0
    log.info("%-12s%6s%5s%7s", "style", "wrong", "of", "share")
    for style, results in score(entries).items():
        wrong = [(entry, found) for entry, found in results if found]
        bad += len(wrong)
        log.info("%-12s%6d%5d%7.0f%%", style, len(wrong), len(results), 100 * len(wrong) / len(results))
        for entry, found in wrong if arguments.verbose else ():
            log.info("    %s: %r\n        %s", entry["id"], entry["prompt"], "; ".join(found))
            log.info("        %s", " / ".join(phrase.text for phrase in measured(parse_prompt(entry["prompt"]))))
    log.info("%-12s%6d%5d%7.0f%%", "all", bad, len(entries), 100 * bad / len(entries))


if __name__ == "__main__":
    main()
