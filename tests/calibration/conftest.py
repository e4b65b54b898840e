"""A handful of pictures in the place of the reference, and observations drawn from known distributions."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from grefine_core.calibration.fingerprint import TokenRows
from grefine_core.calibration.measuring import MIRRORED, Copy, Observed, Phrases
from grefine_core.calibration.reference import Reference, ReferencePicture
from grefine_core.clip.quality_model import OWN, WORDS

KINDS = ("photograph", "drawing", "painting", "render")


def drawn(pictures: int = 64, *, apart: float = 3.0, phrases: float = 5.0, words: float = 1.0) -> Observed:
    """What a model would say whose log-odds of damaged copies lie ``apart`` below those of good pictures, and whose
    nouns that are not there lie ``phrases`` below those that are; ``words``: the same of its words."""
    generator = torch.Generator().manual_seed(5)

    def odds(shift: float) -> torch.Tensor:
        return 2.0 - shift + torch.randn(4, 17, generator=generator)

    def score(shift: float) -> float:
        return float(2.0 - shift + torch.randn((), generator=generator))

    inside = torch.zeros(16, dtype=torch.bool)
    inside[5:7] = True
    kinds = tuple(KINDS[number % 4] for number in range(pictures))
    classes = torch.nn.functional.normalize(torch.randn(pictures, 12, generator=generator) + 3.0, dim=-1)
    good = {OWN: torch.stack([odds(0.0) for _ in kinds]), WORDS: torch.stack([odds(0.0) for _ in kinds])}
    damaged = []
    for number in range(pictures):
        changed = {OWN: odds(0.0), WORDS: odds(0.0)}
        for source, shift in ((OWN, apart), (WORDS, words)):
            changed[source][:, 0] -= shift
            changed[source][:, 1:][:, inside] -= shift
        factor = ("technical", "rational", "natural")[number % 3]
        damaged.append(Copy(number, changed, inside, classes[number], factor, "blur", (512, 1024, 2048)[number % 3]))
    exchanged = tuple(
        Copy(number, {OWN: odds(0.0), WORDS: odds(0.0)}, inside, classes[number], name=MIRRORED) for number in range(20)
    )
    said = tuple(
        Phrases(
            tuple(score(0.0) for _ in range(5)),
            tuple(score(0.0) for _ in range(2)),
            tuple((score(phrases), place % 2 == 0) for place in range(6)),
            tuple(score(phrases) for _ in range(2)),
            # Modifiers are told closer together than nouns: the lowest of the right ones are above the lowest nouns.
            tuple(1.0 + 0.4 * score(0.0) for _ in range(2)),
            tuple(1.0 + 0.4 * score(phrases) for _ in range(2)),
        )
        for _ in kinds
    )
    return Observed(
        kinds=kinds,
        true_kinds=kinds,
        classes=classes,
        grid=(4, 4),
        odds=good,
        damaged=tuple(damaged),
        exchanged=exchanged,
        phrases={"contrast": said, "softmax": said},
        shifted={name: tuple((said[n], said[n]) for n in range(20)) for name in ("contrast", "softmax")},
        token_rows=TokenRows("same", 0.0),
        activation=None,
        model="drawn",
        source=OWN,
    )


@pytest.fixture(scope="session")
def observed() -> Observed:
    return drawn()


@pytest.fixture(scope="session")
def small_reference() -> Reference:
    """Eight pictures of stripes and discs, with phrases."""
    generator = torch.Generator().manual_seed(3)
    pictures = []
    for number in range(8):
        coarse = torch.rand(1, 3, 6, 8, generator=generator)
        fine = torch.nn.functional.interpolate(coarse, size=(48, 64), mode="bilinear")[0].permute(1, 2, 0).contiguous()
        pictures.append(
            ReferencePicture(
                name=f"{number}",
                load=partial(torch.clone, fine),
                kind=KINDS[number % 4],
                caption=f"a red ball number {number} on a green lawn",
                present=("red ball", "green lawn"),
                absent=(("dog", True), ("bridge", False)),
                wrong=("blue ball",),
            )
        )
    return Reference(tuple(pictures), "small")
