"""The words of the miniature world as a contrast vocabulary: what its small CLIP can tell apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from grefine_core.alignment.texts import ContrastVocabulary, NounGroup
from grefine_core.miniature.world import COLOURS, COUNTS, FORMS, GROUNDS, PATTERNS, THINGS

from .captions import describe
from .captions.wordings import SIZE_WORDS
from .layout import sample_scene

CAPTIONS = 40
"""Captions that a whole prompt is contrasted with."""
_SEED = 101


def world_vocabulary() -> ContrastVocabulary:
    """Return the contrast vocabulary of the miniature world; always the same.

    Nouns are its forms, things and grounds; modifiers its colours, patterns, sizes and numbers, patterns with the empty
    word, since a form may be plain as well; captions those of training scenes.
    """
    sizes = tuple(tuple(dict.fromkeys(words)) for words in SIZE_WORDS.values())
    return ContrastVocabulary(
        nouns={
            "form": NounGroup(_each(FORMS), names=("form", "shape", "figure")),
            "thing": NounGroup(_each(THINGS), names=("thing", "object")),
            "ground": NounGroup(_each(GROUNDS), names=("ground", "background")),
        },
        modifiers={
            "colour": tuple(COLOURS),
            "pattern": (*PATTERNS, ""),
            "size": tuple(word for words in sizes for word in words),
            "number": tuple(COUNTS.values()),
        },
        alike=sizes,
        captions=_captions(),
        note="The words of the miniature world, made by grefine_research.miniature.vocabulary.",
    )


def write_vocabulary(path: str | Path) -> Path:
    """Write the contrast vocabulary of the miniature world to a file; beside CLIP weights ``<stem>.banks.json`` is
    found by itself.

    Returns:
        The path. An older file is replaced as a whole.
    """
    return world_vocabulary().save(path)


def _each(words: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple((word,) for word in words)


def _captions() -> tuple[str, ...]:
    """Different prompts of training scenes, of few items and of many."""
    rng = np.random.default_rng(_SEED)
    found: dict[str, None] = {}
    while len(found) < CAPTIONS:
        scene = sample_scene(rng, "train", difficulty=len(found) / CAPTIONS)
        found[describe(scene, rng, "train").prompt] = None
    return tuple(found)
