from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grefine_core.errors import InputError
from grefine_core.prompt.syntax import PromptTree, parse_prompt

ROOT = Path(__file__).parents[3]
TEXT = r"""
a the red old cat dog knight portrait painting of in with by on and or , . ! ( ) :1.3 [ ] { | } BREAK AND - / & 's no
not without that is are wearing holding made surrounded trending artstation greg rutkowski 8 k style lighting very
highly detailed two who to from <lora:x:1> __w__ embedding:y \( \) 猫 🐱 h. r. glowing flying as like pair
"""
WORDS = TEXT.split()


def check(tree: PromptTree) -> None:
    """What holds for every prompt."""
    used: set[int] = set()
    roots = 0
    previous = -1
    for index, phrase in enumerate(tree):
        assert phrase.words
        assert phrase.head in phrase.words
        assert phrase.words[0].start > previous
        previous = phrase.words[0].start
        assert list(phrase.words) == sorted(phrase.words, key=lambda word: word.start)
        for word in phrase.words:
            assert tree.prompt[word.start : word.end] == word.text
            assert word.tag
            positions = set(range(word.start, word.end))
            assert not positions & used, "a word in two phrases"
            used |= positions
        assert all(start < end for start, end in phrase.spans)
        if phrase.is_style:
            assert phrase.ancestor is None
            continue
        if phrase.ancestor is None:
            roots += 1
        else:
            assert not tree.phrases[phrase.ancestor].is_style
            assert phrase.ancestor < index
    assert roots == min(1, len(tree.content))


@given(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join))
@settings(max_examples=300)
def test_any_heap_of_words(prompt: str) -> None:
    check(parse_prompt(prompt))


@given(st.text(max_size=120))
@example("")
@example("   \n\t ")
@example("\x00\ud800")
@example("🐱🔥👩‍👩‍👧")
@example("一只可爱的猫坐在桌子上")
@example("((((((a))))))")
@example(")(:1.3")
@example("(red:1.3) (blue:nan) [a:b:0.5] {a|b|c}")
@example("' ’ 's ''s n't - -- / // & + . , ; :")
@settings(max_examples=300)
def test_any_text(prompt: str) -> None:
    check(parse_prompt(prompt))


@pytest.mark.parametrize("prompt", ["", " ", ",,,", "...", "the of and", "<lora:x:1>", "BREAK", "🐱"])
def test_nothing_said_nothing_found(prompt: str) -> None:
    assert len(parse_prompt(prompt)) == 0


@pytest.mark.parametrize(
    "prompt",
    [
        "dog " * 25_000,
        "big " * 25_000,
        "a dog of " * 11_000,
        "a red car and a big dog, " * 4_000,
        "by greg rutkowski, " * 5_000,
        "x" * 100_000,
        "1 " * 50_000,
        "(" * 50_000 + "a" + ")" * 50_000,
        "no " * 30_000,
        "猫" * 30_000,
    ],
    ids=lambda prompt: prompt[:12],
)
def test_very_long_prompts(prompt: str) -> None:
    tree = parse_prompt(prompt)
    assert all(tree.prompt[word.start : word.end] == word.text for phrase in tree for word in phrase.words)


@pytest.mark.parametrize("value", [None, 3, b"a cat", ["a cat"]])
def test_only_strings(value: Any) -> None:
    with pytest.raises(InputError, match="prompt"):
        parse_prompt(value)


def test_the_same_phrases_whatever_the_hash_seed(gold: tuple[str, list[dict[str, Any]]]) -> None:
    prompts = [entry["prompt"] for entry in gold[1]]
    code = (
        "import sys, json\nfrom grefine_core.prompt.syntax import parse_prompt\n"
        "for prompt in json.loads(sys.stdin.read()):\n"
        "    print([(p.words, p.head, p.ancestor, p.is_style) for p in parse_prompt(prompt)])\n"
    )
    outputs = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run(
            [sys.executable, "-c", code], input=json.dumps(prompts).encode(), env=environment,
            capture_output=True, check=True,
        )  # fmt: skip
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert outputs[0].count(b"\n") >= len(prompts)


def test_nltk_tags_on_first_use_and_needs_none_of_its_data(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom grefine_core import parse_prompt\nprint('nltk' in sys.modules)\n"
        "print([word.tag for phrase in parse_prompt('a red cat') for word in phrase.words], 'nltk' in sys.modules)\n"
        "import nltk\nnltk.data.path[:] = []\nprint(len(parse_prompt('a cat')))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NLTK_DATA": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert done.stdout.split() == [b"False", b"['JJ',", b"'NN']", b"True", b"1"]


def test_the_tags_are_what_nltk_s_perceptron_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from nltk.tag.perceptron import AveragedPerceptron

    monkeypatch.setattr(AveragedPerceptron, "predict", lambda self, features, return_conf=False: ("VB", None))
    assert {word.tag for word in parse_prompt("zorgs blick").phrases[0].words} == {"VB"}
