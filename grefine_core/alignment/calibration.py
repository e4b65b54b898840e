"""The bounds of AQ-Map: which score counts as matched. They belong to one CLIP model and lie in a small JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..checks import choice, number
from ..errors import InputError, ModelFileError
from ..files import read_json, write_text

FORMAT = "grefine-calibration-1"
Scoring = Literal["contrast", "softmax"]
SCORINGS: tuple[Scoring, ...] = ("contrast", "softmax")
Evidence = Literal["picture", "place", "both"]
"""What a score is made of: the picture as a whole (its class token), the place where the phrase fits best (its
patches), or both alike."""
EVIDENCES: tuple[Evidence, ...] = ("picture", "place", "both")


@dataclass(frozen=True)
class Bounds:
    """β_n and β_p of one way of scoring, each in (0, 1]."""

    noun: float
    """β_n: a head noun that scores below it is not in the picture."""
    phrase: float
    """β_p: a phrase that scores below it is not as described."""

    def __post_init__(self) -> None:
        for name, value in (("noun", self.noun), ("phrase", self.phrase)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value <= 1.0:
                raise InputError(f"bounds: {name} has to be a number above 0 and up to 1, got {value!r}.")


@dataclass(frozen=True)
class LocalEvidence:
    """What an_i and as_i are made of where verdicts may use the patches, too."""

    noun: Evidence = "both"
    """For an_i: is the thing there?"""
    modifier: Evidence = "both"
    """For as_i: is it as described?"""
    share: float = 0.05
    """Of the picture, in (0, 1]: the patches that fit the phrase best, whose mean is its place."""

    def __post_init__(self) -> None:
        choice(self.noun, "noun", EVIDENCES)
        choice(self.modifier, "modifier", EVIDENCES)
        if number(self.share, "share", 0.0, 1.0) == 0.0:
            raise InputError("share: has to be above 0, for a place needs patches.")

    @property
    def needed(self) -> bool:
        """Whether patches have a say."""
        return (self.noun, self.modifier) != ("picture", "picture")


EVIDENCE: LocalEvidence | None = LocalEvidence("both", "both", 0.02)
"""Which evidence new bounds are measured for, beside the picture as a whole; None: no other. ``benchmarks/decision.py``
decides it."""


@dataclass(frozen=True)
class LocalBounds:
    """Bounds for scores that are made of ``evidence``."""

    evidence: LocalEvidence
    bounds: Mapping[str, Bounds]
    """"contrast" and "softmax" -> their bounds."""

    def __post_init__(self) -> None:
        missing = [name for name in SCORINGS if not isinstance(self.bounds.get(name), Bounds)]
        if missing:
            raise InputError(f"calibration: no local bounds for {', '.join(missing)}.")


def _default_bounds() -> dict[str, Bounds]:
    # Contrast: at 0.5 a text fits as well as the others on average. A head noun has to do clearly better than that; a
    # modifier, which may say little that can be seen ("beautiful"), only fails where others of its kind fit better.
    # Softmax against the empty string: 0.5 is where the phrase says no more of the picture than nothing does.
    return {"contrast": Bounds(0.8, 0.3), "softmax": Bounds(0.5, 0.5)}


@dataclass(frozen=True)
class Calibration:
    """Bounds for both ways of scoring, and what they were made from (method, section 3.3)."""

    bounds: Mapping[str, Bounds] = field(default_factory=_default_bounds)
    """"contrast" and "softmax" -> their bounds."""
    scoring: Scoring = "contrast"
    """The way of scoring that is used where none is asked for."""
    temperature: float | None = None
    """τ of the scores; None for the CLIP model's own."""
    quantile: float | None = None
    """Share of matched phrases that the bounds reject; None if they were not measured."""
    pictures: int = 0
    """Pictures the bounds were measured on; 0: defaults, not measured."""
    phrases: int = 0
    """Phrases in them."""
    model: str = ""
    """Name of the CLIP model."""
    made_on: str = ""
    """Date, ISO 8601."""
    local: LocalBounds | None = None
    """What the verdicts of ``formula="bounded"`` use; None: ``bounds``, as the other formulas, and no patches."""

    def __post_init__(self) -> None:
        missing = [name for name in SCORINGS if not isinstance(self.bounds.get(name), Bounds)]
        if missing:
            raise InputError(f"calibration: no bounds for {', '.join(missing)}.")
        if self.scoring not in SCORINGS:
            raise InputError(f"calibration: scoring has to be one of {', '.join(SCORINGS)}, got {self.scoring!r}.")
        tau = self.temperature
        if tau is not None and not (isinstance(tau, int | float) and math.isfinite(tau) and tau > 0):
            raise InputError(f"calibration: the temperature has to be above 0 or None, got {tau!r}.")

    @property
    def calibrated(self) -> bool:
        """Whether the bounds were measured."""
        return self.pictures > 0

    def for_formula(self, formula: str) -> tuple[Mapping[str, Bounds], LocalEvidence | None]:
        """The bounds of both ways of scoring that a formula uses, and what the scores are to be made of."""
        if formula == "bounded" and self.local is not None:
            return self.local.bounds, self.local.evidence
        return self.bounds, None

    def save(self, path: str | Path) -> Path:
        """Write the file, replacing an older one as a whole; returns its path."""
        file = Path(path)
        content = {"format": FORMAT, **asdict(self), "bounds": _as_json(self.bounds)}
        if self.local is None:
            del content["local"]
        else:
            content["local"] = {"evidence": asdict(self.local.evidence), "bounds": _as_json(self.local.bounds)}
        return write_text(file, json.dumps(content, indent=2, sort_keys=True) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Read a file that :meth:`save` wrote.

        Raises:
            ModelFileError: missing, damaged, or something else than a calibration; says what is wrong.
        """
        file = Path(path)
        try:
            content = read_json(file)
        except FileNotFoundError as error:
            raise ModelFileError(f"calibration: {file} does not exist; make one with `grefine calibrate`.") from error
        except (OSError, ValueError) as error:
            raise ModelFileError(f"calibration: {file} cannot be read as JSON ({error}); make it again.") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ModelFileError(f"calibration: {file} is not a calibration file of G-Refine ({FORMAT}).")
        try:
            return cls._from_json(content)
        except (InputError, AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ModelFileError(f"calibration: {file} is incomplete or damaged ({error}); make it again.") from error

    @classmethod
    def _from_json(cls, content: Mapping[str, Any]) -> Calibration:
        local = content.get("local")
        return cls(
            bounds=_bounds(content["bounds"]),
            scoring=content.get("scoring", "contrast"),
            temperature=content["temperature"],
            quantile=content["quantile"],
            pictures=int(content["pictures"]),
            phrases=int(content["phrases"]),
            model=str(content["model"]),
            made_on=str(content["made_on"]),
            local=None if local is None else LocalBounds(LocalEvidence(**local["evidence"]), _bounds(local["bounds"])),
        )


def _as_json(bounds: Mapping[str, Bounds]) -> dict[str, dict[str, float]]:
    return {name: asdict(bounds[name]) for name in SCORINGS}


def _bounds(content: Mapping[str, Mapping[str, float]]) -> dict[str, Bounds]:
    return {name: Bounds(float(values["noun"]), float(values["phrase"])) for name, values in content.items()}


def calibration_path(beside: str | Path) -> Path:
    """Where the calibration of a weight or embedding file lies: ``<file name>.calibration.json`` beside it, or
    ``calibration.json`` in a folder."""
    file = Path(beside).expanduser()
    return file / "calibration.json" if file.is_dir() else file.with_name(file.name + ".calibration.json")


def find_calibration(*beside: str | Path | None) -> Calibration | None:
    """The first calibration file found beside any of the files; None if there is none."""
    for file in beside:
        if file is not None and calibration_path(file).is_file():
            return Calibration.load(calibration_path(file))
    return None
