"""Whether a thing of a kind, with given attributes, is in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grefine_core.miniature.world import COLOURS, GROUNDS, KINDS, PATTERNS

from ..scene import Item
from .network import OUT, WIDTHS, Trunk, planes

NO_KIND = len(KINDS)
"""Class of the cells that no item covers."""
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS),
    "pattern": ("plain", *PATTERNS),
    "size": ("middling", "small", "large"),
    "count": ("1", "2", "3"),
}
"""What is told of an item's cells, each apart from its kind, so that combinations never seen can be told as well."""


@dataclass(frozen=True)
class Question:
    """Is there an item of this kind that has all these attributes? None asks for nothing; ``ground`` asks for it alone.

    Attributes:
        kind: one of ``world.KINDS``, None for a question about the ground.
        colour, pattern, size: as in ``scene.Item``.
        count: 1, 2 or 3.
        ground: one of ``world.GROUNDS``.
    """

    kind: str | None = None
    colour: str | None = None
    pattern: str | None = None
    size: str | None = None
    count: int | None = None
    ground: str | None = None

    @property
    def attributes(self) -> dict[str, str]:
        """Attribute -> value, of those that are asked for."""
        given = {"colour": self.colour, "pattern": self.pattern, "size": self.size}
        if self.count is not None:
            given["count"] = str(self.count)
        return {name: value for name, value in given.items() if value is not None}


def labels_of(item: Item) -> dict[str, int | None]:
    """The class of every attribute of an item; None for what it has none of (a thing's colour)."""
    return {
        "colour": None if item.colour is None else ATTRIBUTES["colour"].index(item.colour),
        "pattern": ATTRIBUTES["pattern"].index(item.pattern or "plain") if item.is_form else None,
        "size": ATTRIBUTES["size"].index(item.size or "middling"),
        "count": item.count - 1,
    }


class ContentsEvaluator(nn.Module):
    """Tells kind and attributes of every cell, and the ground of the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.kind = nn.Conv2d(OUT, len(KINDS) + 1, 1)
        self.attributes = nn.ModuleDict({name: nn.Conv2d(OUT, len(values), 1) for name, values in ATTRIBUTES.items()})
        self.ground = nn.Linear(WIDTHS[-1], len(GROUNDS))

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) in [0, 1] -> logits: "kind" and each attribute (B, n, H/4, W/4), "ground" (B, 6)."""
        cells, whole = self.trunk(pictures)
        found = {name: head(cells) for name, head in self.attributes.items()}
        return {"kind": self.kind(cells), **found, "ground": self.ground(whole)}

    @torch.no_grad()
    def look(self, images: Tensor, batch: int = 32) -> list[Sight]:
        """What is seen in each of the pictures (B, H, W, 3) in [0, 1]."""
        device = self.ground.weight.device
        sights = []
        for part in images.split(batch):
            found = {name: logits.softmax(1).cpu() for name, logits in self(planes(part.to(device))).items()}
            sights += [Sight({name: values[i] for name, values in found.items()}) for i in range(len(part))]
        return sights


@dataclass(frozen=True)
class Sight:
    """Probabilities of one picture: "kind" and each attribute (n, h, w), "ground" (n,)."""

    shares: dict[str, Tensor]

    def answer(self, question: Question) -> float:
        """How sure the evaluator is that the answer is yes, in [0, 1].

        The kind and all attributes have to be found in the same place: their shares are multiplied cell by cell,
        averaged over 3×3 cells and the best place counts; the root makes questions with more parts no harder.
        """
        if question.kind is None:
            if question.ground is None:
                return 1.0
            return float(self.shares["ground"][GROUNDS.index(question.ground)])
        evidence = self.shares["kind"][KINDS.index(question.kind)]
        given = question.attributes
        for name, value in given.items():
            evidence = evidence * self.shares[name][ATTRIBUTES[name].index(value)]
        best = F.avg_pool2d(evidence[None, None], 3, stride=1).max()
        return float(best.clamp(min=0.0)) ** (1.0 / (1 + len(given)))

    def answers(self, questions: Sequence[Question]) -> list[float]:
        """One :meth:`answer` for each question."""
        return [self.answer(question) for question in questions]
