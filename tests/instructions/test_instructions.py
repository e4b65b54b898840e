"""The diagnosis in words, for models that edit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from grefine_core.alignment.results import PhraseQuality
from grefine_core.diagnosis import Diagnosis
from grefine_core.instructions import TEMPLATES, instruct, sentences
from grefine_core.prompt.syntax import parse_prompt

from ..tooling import tool

SYNTAX = Path(__file__).resolve().parents[1] / "data" / "syntax"


def diagnosis(prompt, verdicts, **more):
    """``verdicts``: defect by the text of the phrase; the others are matched."""
    phrases = tuple(
        PhraseQuality(
            phrase,
            0.5,
            0.5,
            verdicts.get(phrase.text, "none"),
            0.5 if phrase.text in verdicts else 0.0,
            ratio=0.5 if phrase.text in verdicts else 1.0,
            measured=not phrase.is_style and not phrase.is_foreign,
        )
        for phrase in parse_prompt(prompt).phrases
    )
    assert set(verdicts) <= {each.phrase.text for each in phrases}
    return Diagnosis((8, 8), prompt=prompt, phrases=phrases, **more)


CASES = {
    "missing, with its place": (
        "a fish on a green square, a dotted yellow star",
        {"fish": "noun", "dotted yellow star": "modifier"},
        "Add a fish on the green square. Make the star dotted and yellow.",
    ),
    "missing on what is there": (
        "a red fox curled up on a mossy log",
        {"mossy log": "noun"},
        "Show the red fox curled up on a mossy log.",
    ),
    "a part of what is there": ("an old sailor with a grey beard", {"grey beard": "noun"},
                                "Add a grey beard to the old sailor."),
    "what is done to it": (
        "a tiny robot watering a cactus in a clay pot",
        {"cactus": "noun", "clay pot": "modifier"},
        "Show the tiny robot watering a cactus. Turn the pot into a clay pot.",
    ),
    "all of it is missing": ("a cat with a red hat", {"cat": "noun", "red hat": "noun"}, "Add a cat with a red hat."),
    "its holder is not as described": (
        "a ruined tower with a flag",
        {"ruined tower": "modifier", "flag": "noun"},
        "Make the tower ruined. Add a flag to the tower.",
    ),
    "number": ("three cats on a wall", {"three cats": "modifier"}, "Show exactly three cats."),
    "action": ("a brown dog jumping over a fence", {"brown dog jumping": "modifier"},
               "Show the brown dog jumping over a fence."),
    "tags": (
        "1girl, silver_hair, red_eyes, black_dress, city",
        {"1girl": "noun", "silver hair": "noun", "black dress": "modifier", "city": "noun"},
        "Add a girl. Add silver hair. Make the dress black. Add city.",
    ),
    "a verb with its object": ("an owl wearing a top hat", {"owl wearing": "noun", "top hat": "modifier"},
                               "Add an owl wearing the hat. Turn the hat into a top hat."),
    "a verb without its object": ("a dragon breathing fire, a queen riding", {"queen riding": "noun"},
                                  "Add a queen riding."),
    "a verb of a sentence": ("The pope had a rock band.", {"pope had": "noun"}, "Add the pope that had the rock band."),
    "a verb of a sentence that needs more": ("Snowflakes cling to the fence.", {"Snowflakes cling": "noun"},
                                             "Add snowflakes."),
    "made of": ("a coffee mug made of cardboard", {"cardboard": "noun"}, "Show the coffee mug made of cardboard."),
    "writing": ('a wooden sign that says "WELCOME HOME" hanging on a red door', {"red door": "noun"},
                'Show the wooden sign that says "WELCOME HOME" hanging on a red door.'),
    "a prompt in quotation marks": ('{"prompt": "a hot air balloon over a canyon"}', {"canyon": "noun"},
                                    "Show the hot air balloon over a canyon."),
    "how many": ("many eyeballs on a plate", {"many eyeballs": "modifier"}, "Show many eyeballs."),
    "no adverb": ("a girl, long black hair", {"long black hair": "modifier"}, "Make the hair long and black."),
    "a kind that is no quality": ("a fishing rod", {"fishing rod": "modifier"}, "Turn the rod into a fishing rod."),
    "weight of an object": ("a dog wearing (a red bandana:1.1)", {"dog wearing": "modifier"},
                            "Show the dog wearing a red bandana."),
    "weights": ("(white cat:1.3) (red ball:1.1)", {"white cat": "modifier"}, "Make the cat white."),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_instruction(case):
    prompt, verdicts, expected = CASES[case]
    assert instruct(diagnosis(prompt, verdicts), rest=False) == expected
    assert instruct(diagnosis(prompt, verdicts)) == f"{expected} {TEMPLATES['rest']}"


def test_of_a_region_only_its_own_phrases_are_asked_for():
    found = diagnosis("a red cup and a blue plate", {"red cup": "noun", "blue plate": "modifier"})
    assert instruct(found, (1,), rest=False) == "Make the plate blue."
    assert instruct(found, (), bad=False) == TEMPLATES["nothing"]
    assert instruct(found, (), bad=True, rest=False) == TEMPLATES["overall"]


def test_how_it_looks_is_asked_for_where_it_is_below_its_bar_and_only_the_worst_of_it():
    ratios = {"overall": 0.9, "technical": 0.4, "rational": 1.2, "natural": 0.9}
    bad = diagnosis("a red cup", {}, perceptual_score=0.3, ratios=ratios)
    assert instruct(bad, rest=False) == TEMPLATES["technical"]
    fine = diagnosis("a red cup", {}, perceptual_score=0.9)
    assert instruct(fine) == TEMPLATES["nothing"]


def _prompts():
    names = ("gold_a", "gold_b", "gold_c", "gold_d", "gold_e", "wild_dev", "wild_held")
    return [entry["prompt"] for name in names for entry in json.loads((SYNTAX / f"{name}.json").read_text("utf-8"))]


def test_of_real_prompts_every_unmatched_phrase_is_asked_for_once_and_nothing_else_is():
    prompts = _prompts()
    assert len(prompts) >= 300
    for place, prompt in enumerate(prompts):
        phrases = parse_prompt(prompt).phrases
        defects = {}
        for number, phrase in enumerate(phrases):
            if phrase.is_style or phrase.is_foreign:
                continue
            kind = ("none", "noun", "modifier")[(place + number) % 3]
            defects[number] = "noun" if kind == "modifier" and not phrase.modifiers else kind
        qualities = tuple(
            PhraseQuality(phrase, 0.5, 0.5, defects.get(number, "none"), measured=number in defects)
            for number, phrase in enumerate(phrases)
        )
        asked = sentences(Diagnosis((8, 8), prompt=prompt, phrases=qualities))
        unmatched = sorted(number for number, defect in defects.items() if defect != "none")
        assert sorted(number for each in asked for number in each.phrases) == unmatched, prompt
        for each in asked:
            assert re.fullmatch(r"(Add|Make|Show|Turn) \S.*\.", each.text, re.DOTALL), each.text
            for number in each.phrases:
                head = phrases[number].head.text.lstrip("0123456789")
                assert head.lower() in each.text.lower(), (prompt, each.text)
            for number, phrase in enumerate(phrases):
                if defects.get(number) == "none":  # at most it says where
                    assert not each.text.startswith(
                        (f"Add {phrase.text}", f"Make the {phrase.head.text} {phrase.text}")
                    )


def test_the_article_stands_right_in_front_of_its_phrase():
    far = "the" + " " * 200 + "old cat"
    assert instruct(diagnosis(far, {"old cat": "noun"}), rest=False) == "Add old cat."
    assert instruct(diagnosis("the   old cat", {"old cat": "noun"}), rest=False) == "Add the old cat."


def test_the_instructions_can_be_printed_to_be_read(capsys):
    assert tool("show_instructions").main(["--sets", "gold_a", "--most", "4", "--turn", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 * 4
    assert lines[1:3] == ["   −survival; ≠winter forest;", "   → Add survival. Turn the forest into a winter forest."]
