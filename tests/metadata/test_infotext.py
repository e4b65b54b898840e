"""Texts as AUTOMATIC1111's web UI and others write them."""

from __future__ import annotations

import pytest

from grefine_core.metadata import prompt_from_metadata, prompt_of, read_prompt
from grefine_core.metadata.infotext import read_infotext

SETTINGS = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Model: x"
FOX = "a red fox, in snow"

CASES = {
    "lines": (f"{FOX}\nNegative prompt: bad hands\n{SETTINGS}", FOX, "bad hands"),
    "several lines": (f"{FOX},\nat dusk\nNegative prompt: bad,\nhands\n{SETTINGS}", f"{FOX},\nat dusk", "bad,\nhands"),
    "line ends of Windows": (f"{FOX}\r\nNegative prompt: bad\r\n{SETTINGS}\r\n", FOX, "bad"),
    "no negative prompt": (f"{FOX}\n{SETTINGS}", FOX, ""),
    "no settings": (f"{FOX}\nNegative prompt: bad", FOX, "bad"),
    "prompt alone": (FOX, FOX, ""),
    "one line": (f"{FOX} Negative prompt: bad hands {SETTINGS}", FOX, "bad hands"),
    "one line, no negative prompt": (f"a red fox. {SETTINGS}", "a red fox.", ""),
    "one line, without steps": (f"{FOX} Negative prompt: bad Sampler: Euler, CFG scale: 7, Seed: 1", FOX, "bad"),
    "settings in another order": (f"{FOX}\nSeed: 1, Size: 512x512, Model: x, Sampler: Euler", FOX, ""),
    "steps in the prompt": (
        f"Steps: a stone stairway\nin fog\nNegative prompt: bad\n{SETTINGS}",
        "Steps: a stone stairway\nin fog",
        "bad",
    ),
    "steps with a number in the prompt": (
        f"a temple, Steps: 99 of them\n{SETTINGS}",
        "a temple, Steps: 99 of them",
        "",
    ),
    "size in the prompt": (f"a hat, Size: huge\n{SETTINGS}", "a hat, Size: huge", ""),
    "few settings": ("a red fox\nSteps: 3", "a red fox", ""),
    "lines behind the settings": (f"{FOX}\nNegative prompt: bad\n{SETTINGS}\nTemplate: a {{red|blue}} fox", FOX, "bad"),
    "prompts within the settings": (
        f'{FOX}\n{SETTINGS}, ADetailer prompt: "face", ADetailer negative prompt: "bad"',
        FOX,
        "",
    ),
    "no prompt": (f"Negative prompt: bad\n{SETTINGS}", "", "bad"),
    "settings alone": (SETTINGS, "", ""),
    "line separators of prompts": ("a cat\u2028on a mat\nSteps: 3", "a cat\u2028on a mat", ""),
    "small letters": (f"{FOX}\nnegative prompt: bad\n{SETTINGS}", FOX, "bad"),
}


@pytest.mark.parametrize("name", CASES)
def test_prompt_and_negative_prompt(name):
    text, positive, negative = CASES[name]
    found = read_infotext(text)
    assert (found.positive, found.negative) == (positive, negative)
    assert prompt_from_metadata({"parameters": text}) == (positive or None)


def test_takes_time_by_length_alone():
    for piece in ("Steps: 20, ", "Negative prompt: ", "Steps: a\n", "Seed: 1, Size: 2 "):
        read_infotext(piece * 20_000)


def test_the_text_file_beside_a_picture(tmp_path):
    entries = {"parameters": "another one"}
    assert prompt_of(tmp_path / "a.png", entries).positive == "another one"
    (tmp_path / "a.txt").write_text(f"\ufeff{FOX}\nNegative prompt: bad\n{SETTINGS}", encoding="utf-8")
    found = prompt_of(tmp_path / "a.png", entries)
    assert (found.positive, found.negative) == (FOX, "bad")
    (tmp_path / "a.txt").write_text("a cat,\non a mat\n", encoding="utf-8")
    assert prompt_of(tmp_path / "a.png", entries).positive == "a cat,\non a mat"
    (tmp_path / "a.txt").write_text("", encoding="utf-8")
    assert prompt_of(tmp_path / "a.png", entries).positive == ""


def test_the_graph_goes_before_parameters_unless_it_does_not_tell():
    graph = '{"3": {"class_type": "KSampler", "inputs": {"seed": 1, "positive": ["6", 0]}}, "6": %s}'
    entries = {"parameters": f"{FOX}\n{SETTINGS}"}
    told = graph % '{"class_type": "CLIPTextEncode", "inputs": {"text": "a cat"}}'
    assert read_prompt({**entries, "prompt": told}).positive == "a cat"
    made = graph % '{"class_type": "CLIPTextEncode", "inputs": {"text": ["7", 0]}}'
    assert read_prompt({**entries, "prompt": made}).positive == FOX
