"""The pictures of each part, and what is true of them, phrase by phrase."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grefine_core.miniature.world import COUNTS, SIDE
from grefine_research.miniature.captions import Caption
from grefine_research.miniature.captions.wordings import SIZE_WORDS
from grefine_research.miniature.draw import draw
from grefine_research.miniature.evaluators import Question
from grefine_research.miniature.generator import make_sample
from grefine_research.miniature.sample import FACTORS, Sample
from grefine_research.miniature.scene import Item, Scene

from .run import Run

_PERCEPTUAL: tuple[tuple[str, ...], ...] = ((), ("technical",), ("rational",), ("natural",))
#: Kinds of defects of picture 0, 1, …; repeated.
KINDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "language": ((),),
    "perceptual": (*_PERCEPTUAL, ("technical", "rational"), *_PERCEPTUAL, ("technical", "natural")),
    "alignment": (("alignment",), ("alignment",), ()),
    "clean": ((),),
    "refinement": (
        *(("technical",), ("alignment",), ("rational",), ("natural",)),
        *(("alignment",), ("technical", "alignment"), ("natural", "alignment"), ("rational", "technical")),
    ),
}
#: So that no part shows another's pictures.
_SALTS = {"language": 1, "perceptual": 2, "alignment": 3, "clean": 4, "refinement": 5}
#: Which verdict is right for what is wrong.
VERDICTS = {"missing": "noun", "wrong_partner": "noun", "wrong_attribute": "modifier"}


@dataclass(frozen=True)
class Case:
    """One picture with the truth about it."""

    sample: Sample

    @property
    def prompt(self) -> str:
        """What the picture was meant to show."""
        return self.sample.caption.prompt

    @cached_property
    def image(self) -> Tensor:
        """(1, 128, 128, 3) float32."""
        return torch.from_numpy(np.clip(self.sample.image, 0.0, 1.0))[None]

    @cached_property
    def clean(self) -> Tensor:
        """The same without any defect."""
        return torch.from_numpy(np.clip(self.sample.clean, 0.0, 1.0))[None]

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """What each phrase of the prompt asks for."""
        return questions(self.sample.caption, self.sample.scene)

    @cached_property
    def unmatched(self) -> tuple[bool, ...]:
        """Of each phrase, whether the picture does not show what it asks for."""
        return tuple(not shows(self.sample.shown, question) for question in self.questions)

    @property
    def verdict(self) -> str | None:
        """The right kind of verdict on its unmatched phrases; None where all is matched."""
        names = [defect.name for defect in self.sample.defects if defect.kind == "alignment"]
        return VERDICTS[names[0]] if names else None

    @cached_property
    def mended(self) -> tuple[NDArray[np.bool_], ...]:
        """Of each defect, the pixels that are other where it is mended: its mask; for alignment defects where what is
        shown differs from what should be (which lies elsewhere than the region that has to be redrawn, if a thing is
        missing)."""
        masks = []
        for defect in self.sample.defects:
            if defect.kind in FACTORS:
                masks.append(defect.mask)
            else:
                masks.append(np.abs(draw(self.sample.shown) - self.sample.clean).max(axis=2) > 0.02)
        return tuple(masks)

    def mask(self, *kinds: str) -> NDArray[np.bool_]:
        """(128, 128): what is wrong, of some kinds together; of all perceptual ones if none is named."""
        wanted = kinds or FACTORS
        union = np.zeros((SIDE, SIDE), bool)
        for defect in self.sample.defects:
            if defect.kind in wanted:
                union |= defect.mask
        return union


def make_case(run: Run, part: str, index: int) -> Case:
    """Picture ``index`` of a part."""
    kinds = KINDS[part][index % len(KINDS[part])]
    given = {"difficulty": run.difficulty, "salt": _SALTS[part], "world": run.world}
    return Case(make_sample(run.split, index, kinds=kinds, **given))


def cases(run: Run, part: str, indices: list[int], together: int = 16) -> Iterator[list[tuple[int, Case]]]:
    """Pictures in groups."""
    for start in range(0, len(indices), together):
        yield [(index, make_case(run, part, index)) for index in indices[start : start + together]]


def images_of(group: list[tuple[int, Case]]) -> Tensor:
    """(B, 128, 128, 3) of a group."""
    return torch.cat([case.image for _, case in group])


def questions(caption: Caption, scene: Scene) -> tuple[Question, ...]:
    """One question for each true phrase: exactly what its words say, no more."""
    asked = []
    for phrase in caption.phrases:
        if phrase.item is None:
            asked.append(Question(ground=scene.ground))
            continue
        item, words = scene.items[phrase.item], set(phrase.words)
        sized = item.size is not None and words & set(SIZE_WORDS[item.size])
        asked.append(
            Question(
                item.kind,
                colour=item.colour if item.colour in words else None,
                pattern=item.pattern if item.pattern in words else None,
                size=item.size if sized else None,
                count=item.count if COUNTS.get(item.count) in words else None,
            )
        )
    return tuple(asked)


def shows(scene: Scene, question: Question) -> bool:
    """Whether a scene has what is asked for."""
    if question.kind is None:
        return question.ground in (None, scene.ground)
    return any(_is(item, question) for item in scene.items)


def _is(item: Item, question: Question) -> bool:
    asked = (question.kind, question.colour, question.pattern, question.size, question.count)
    own = (item.kind, item.colour, item.pattern, item.size, item.count)
    return all(wanted is None or wanted == has for wanted, has in zip(asked, own, strict=True))
