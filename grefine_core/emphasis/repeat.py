"""Emphasis by repetition, for text encoders that do not know weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..markup import read_weights

if TYPE_CHECKING:
    from ..syntax.tree import Phrase

_log = logging.getLogger(__name__)


def repeat_phrases(prompt: str, phrases: Sequence[Phrase]) -> str:
    """Return ``prompt`` with ``, <phrase>`` appended for every phrase that is not repeated at its end already."""
    first: dict[str, int] = {}
    for phrase in phrases:
        first.setdefault(_escaped(phrase.text), phrase.spans[-1][1])
    repeated = _repeated(prompt, first)
    missing = [text for text in first if text not in repeated]
    if not missing:
        return prompt
    stripped = prompt.rstrip()
    separator = ", "
    if stripped.endswith(","):
        separator = "" if stripped != prompt else " "
    changed = prompt + separator + ", ".join(missing)
    if not _extends(prompt, changed):
        _log.info("Not repeated, the prompt's parentheses do not balance: %s", ", ".join(missing))
        return prompt
    return changed


def _repeated(prompt: str, first: dict[str, int]) -> set[str]:
    """Return which of the texts stand in the row of repetitions that ends the prompt, behind where they come first."""
    found: set[str] = set()
    end = len(prompt)
    while True:
        start = prompt.rfind(",", 0, end) + 1
        text = prompt[start:end].strip()
        if start == 0 or text not in first or start < first[text]:
            return found
        found.add(text)
        end = start - 1


def _escaped(text: str) -> str:
    """A word keeps the backslash of an escaped parenthesis or has none at all; what is appended has one."""
    return text.replace("\\(", "(").replace("\\)", ")").replace("(", "\\(").replace(")", "\\)")


def _extends(prompt: str, changed: str) -> bool:
    """Whether the host reads ``changed`` as ``prompt`` with something behind it."""
    before = [(character, weight) for text, weight in read_weights(prompt) for character in text]
    after = [(character, weight) for text, weight in read_weights(changed) for character in text]
    return repr(after[: len(before)]) == repr(before) and all(weight == 1.0 for _, weight in after[len(before) :])
