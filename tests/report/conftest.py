from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from grefine_core.alignment.results import PhraseQuality
from grefine_core.plan import plan_refinement
from grefine_core.prompt.syntax.tree import Phrase, Word
from grefine_core.report import GuardEntry, Report


def _verdict(prompt: str, text: str, defect: str, is_style: bool = False) -> PhraseQuality:
    words, position = [], 0
    for part in text.split():
        position = prompt.index(part, position)
        words.append(Word(part, position))
        position += len(part)
    phrase = Phrase(tuple(words), words[-1], is_style=is_style, prompt=prompt)
    deficit = 0.0 if defect == "none" else 0.5
    map, ratio = torch.zeros(2, 2), 1.25 - 1.5 * deficit  # noqa: A001
    return PhraseQuality(phrase, 0.7, 0.9, defect, deficit, None, map, ratio)  # type: ignore[arg-type]


@pytest.fixture
def make_report() -> Callable[..., Report]:
    def make(height: int = 40, width: int = 60, **changes: Any) -> Report:
        prompt = "a red balloon, a green frog, 8k"
        values = torch.linspace(0, 1, height * width).reshape(height, width)
        fields: dict[str, Any] = {
            "prompt": prompt,
            "emphasized_prompt": "a (red balloon:1.30), a green frog, 8k",
            "seed": 7,
            "size": (height, width),
            "before": (0.5, 0.4),
            "after": (0.6, 0.4),
            "factors": {"overall": 0.5, "technical": 0.25},
            "phrases": (
                _verdict(prompt, "red balloon", "modifier"),
                _verdict(prompt, "green frog", "none"),
                _verdict(prompt, "8k", "none", is_style=True),
            ),
            "plan": plan_refinement(0.5, 0.4, area=0.5),
            "area": 0.5,
            "guard": (
                GuardEntry(1, (0, 0, 9, 8), False, (0.5, 0.4), (0.4, 0.4), "PS would fall"),
                GuardEntry(2, None, True, (0.5, 0.4), (0.6, 0.4), "both hold"),
            ),
            "changed": True,
            "factors_after": {"overall": 0.6, "technical": float("nan")},
            "shares": {"overall": 0.625, "technical": 0.3125},
            "shares_after": {"overall": 0.75, "technical": float("nan")},
            "notes": ("nothing else",),
            "worst_region": 0.125,
            "worst_region_after": 0.375,
            "maps": {"perceptual_defect": values, "alignment_defect": 1 - values, "denoise": (values > 0.5).float()},
        }
        return Report(**{**fields, **changes})

    return make
