"""Prints what Repair Instruction says for the prompts of the syntax data, to be read by a person.

    python tools/show_instructions.py [--sets NAME…] [--turn N]

No picture is looked at: of the phrases of a prompt, in turns, one is taken as there, one as missing, one as not as
described. For each prompt the prompt, the phrases with what is pretended of them, and the instruction.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from grefine_core.alignment.results import PhraseQuality
from grefine_core.diagnosis import Diagnosis
from grefine_core.instructions import instruct
from grefine_core.prompt.syntax import parse_prompt

SYNTAX = Path(__file__).resolve().parents[1] / "tests" / "data" / "syntax"
TURNS = ("none", "noun", "modifier")
SIGNS = {"none": "=", "noun": "−", "modifier": "≠"}


def pretended(prompt: str, turn: int) -> Diagnosis:
    """A diagnosis of a picture that nobody has seen; the first phrase has the ``turn``-th of ``TURNS``."""
    qualities = []
    for number, phrase in enumerate(parse_prompt(prompt).phrases):
        measured = not phrase.is_style and not phrase.is_foreign
        defect = TURNS[(turn + number) % len(TURNS)] if measured else "none"
        if defect == "modifier" and not phrase.modifiers:
            defect = "noun"
        qualities.append(PhraseQuality(phrase, 0.5, 0.5, defect, measured=measured))
    return Diagnosis((8, 8), prompt=prompt, phrases=tuple(qualities))


def main(arguments: list[str] | None = None) -> int:
    """Print them."""
    parser = argparse.ArgumentParser(description="Prints what Repair Instruction says for known prompts.")
    parser.add_argument("--sets", nargs="+", default=["gold_a", "wild_dev", "gold_b"], help="files of the syntax data")
    parser.add_argument("--most", type=int, default=150, help="how many prompts")
    parser.add_argument("--turn", type=int, help="what the first phrase of each is taken as: 0, 1 or 2")
    options = parser.parse_args(arguments)
    entries = [entry for name in options.sets for entry in json.loads((SYNTAX / f"{name}.json").read_text("utf-8"))]
    for place, entry in enumerate(entries[: options.most]):
        found = pretended(entry["prompt"], place if options.turn is None else options.turn)
        told = " ".join(f"{SIGNS[each.defect]}{each.phrase.text};" for each in found.phrases if each.measured)
        prompt = " ".join(entry["prompt"].split())
        sys.stdout.write(f"{place + 1}. {prompt}\n   {told}\n   → {instruct(found, rest=False)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
