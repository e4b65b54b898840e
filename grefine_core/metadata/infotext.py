"""The text that AUTOMATIC1111's web UI, Forge and many others write: prompt, negative prompt, settings."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..plain_text import lines_of

_NEGATIVE = re.compile(r"negative prompt:", re.IGNORECASE)
#: ``Steps`` with its number begins the settings wherever it stands; a prompt may well say "Steps: a stone stairway".
_STEPS = re.compile(r"(?<!\S)Steps: *\d+ *(?=,|\n|$)")
_SETTING = re.compile(
    r"(?<![^\s,])(Steps|Sampler|Schedule type|CFG scale|Distilled CFG Scale|Seed|Size|Model|Model hash|VAE|VAE hash|"
    r"Clip skip|Denoising strength|Version|Face restoration|Width|Height|Guidance|Hires upscale|Hires steps|ENSD|"
    r"Created Date): *\S"
)
_ENOUGH = 3


@dataclass(frozen=True)
class Infotext:
    """What such a text says. Each part may be empty."""

    positive: str
    negative: str
    settings: str


def read_infotext(text: str) -> Infotext:
    """Take prompt, negative prompt and settings apart, in lines of their own or all in one line.

    A text without negative prompt and settings is a prompt as a whole.
    """
    text = "\n".join(lines_of(text.strip("\0"))).strip()
    negative_at = _line_of(_NEGATIVE, text)
    settings_at = _settings(text, 0 if negative_at is None else negative_at)
    if negative_at is None:
        # Somewhere in a line: only before the settings, since those of extensions have prompts of their own.
        found = re.search(r"(?<!\S)negative prompt:(?=\s|$)", text[:settings_at], re.IGNORECASE)
        negative_at = found.start() if found else None
    if negative_at is None:
        return Infotext(text[:settings_at].strip(), "", text[settings_at:].strip())
    negative = text[negative_at:settings_at].partition(":")[2]
    return Infotext(text[:negative_at].strip(), negative.strip(), text[settings_at:].strip())


def _line_of(pattern: re.Pattern[str], text: str) -> int | None:
    """Where the first line begins that starts so."""
    at = 0
    for line in text.split("\n"):
        if pattern.match(line):
            return at
        at += len(line) + 1
    return None


def _settings(text: str, start: int) -> int:
    """Where the settings begin at ``start`` or later; the length of the text if there are none."""
    at, found = start, None
    for line in text[start:].split("\n"):
        if _STEPS.match(line) or (_SETTING.match(line) and len(_SETTING.findall(line)) >= _ENOUGH):
            found = at  # the last: prompts come before
        at += len(line) + 1
    if found is not None:
        return found
    # In a line with what comes before.
    steps_in_line = [found.start() for found in _STEPS.finditer(text, start)]
    if steps_in_line:
        return steps_in_line[-1]
    at = start
    for line in text[start:].split("\n"):
        settings = [found.start() for found in _SETTING.finditer(line)]
        if len(settings) >= _ENOUGH:
            return at + settings[0]
        at += len(line) + 1
    return len(text)
