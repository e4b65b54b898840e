"""What a user has to know beside the figures, in plain words on the node: a prompt that is missing or not English,
weights that were not calibrated or cannot be trusted, small models outside of the world that they know. Imports without
the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..grefine_core.alignment.calibration import Calibration
from ..grefine_core.calibration.notes import USED_FOR
from ..grefine_core.miniature.world import SIDE, knows
from .preview import Line, line

if TYPE_CHECKING:
    from ..grefine_core.alignment.results import PhraseQuality

PERCEPTUAL = ("perceptual", "map")
ALIGNMENT = ("nouns", "modifiers")


def of_prompt(prompt: str, verdicts: Sequence[PhraseQuality] = ()) -> list[Line]:
    """What stands in the way of measuring alignment: no prompt, or another language than English."""
    if not prompt.strip():
        return [_warning("No prompt is given: alignment is not measured. Connect what the picture was made from.")]
    foreign = [verdict.phrase for verdict in verdicts if verdict.phrase.is_foreign]
    if not foreign:
        return []
    languages = ", ".join(dict.fromkeys(phrase.language for phrase in foreign))
    named = [verdict for verdict in verdicts if not verdict.phrase.is_style]
    if len(foreign) == len(named):
        return [
            _warning(
                f"The prompt is not English ({languages}): the text model reads English, and alignment is not "
                "measured. Translate it, or switch measure_anyway on."
            )
        ]
    parts = "1 part" if len(foreign) == 1 else f"{len(foreign)} parts"
    return [
        _warning(f"{parts} of the prompt not English ({languages}), and not measured: the text model reads English.")
    ]


def of_model(quality: Any, names: Sequence[str]) -> list[Line]:
    """Which of these indicators cannot be trusted with the weights, or that nobody measured it.

    names: "perceptual", "map", "nouns", "modifiers".
    """
    calibration: Calibration | None = getattr(quality, "calibration", None)
    if calibration is None or not calibration.calibrated:
        return [_warning("Not calibrated for these weights: what counts as a defect is a guess.")]
    bad = [name for name in names if not calibration.trusted(name)]
    if not bad:
        return []
    said = " and ".join(USED_FOR[name] for name in bad)
    notes = "\n".join(note for note in calibration.notes if any(USED_FOR[name] in note.lower() for name in bad))
    return [_warning(f"Not reliable with these weights: {said}. No gate is opened by it.", title=notes)]


def of_world(quality: Any, size: tuple[int, int], verdicts: Sequence[PhraseQuality] = ()) -> list[Line]:
    """That the small models are asked about what they do not know; nothing of other models.

    size: (height, width) of the picture.
    """
    if not getattr(quality, "miniature", False):
        return []
    found = []
    if size != (SIDE, SIDE):
        found.append(f"a picture of {size[1]} × {size[0]} pixels")
    strange = [verdict.phrase.text for verdict in verdicts if verdict.measured and not knows(_words(verdict))]
    found += [f"'{text}'" for text in strange]
    if not found:
        return []
    return [
        _warning(
            f"The miniature models know nothing of {', '.join(found)}: they were made for drawn pictures of "
            f"{SIDE} × {SIDE} pixels, and what they say here means nothing."
        )
    ]


def _words(verdict: PhraseQuality) -> list[str]:
    return [word.text for word in verdict.phrase.words]


def _warning(text: str, **more: Any) -> Line:
    return line(text, "warn", main=True, **more)
