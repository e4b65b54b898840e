"""Bounds and thresholds of one CLIP model, and how far what it says can be trusted; they lie in a small JSON file.

The bounds of AQ-Map, which score counts as matched, are always there. The rest is measured where the weights are
(``grefine_core.calibration``); files without it are read as well.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ..checks import choice, number
from ..clip.embeddings import PerceptualBounds
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
class Figure:
    """A measured number with its interval at 95 %."""

    value: float
    low: float
    high: float
    count: int
    """Pictures, or observations, that it rests on."""

    def __post_init__(self) -> None:
        for each in (self.value, self.low, self.high):
            if isinstance(each, bool) or not isinstance(each, int | float) or not math.isfinite(each):
                raise InputError(f"calibration: {each!r} is no figure.")


@dataclass(frozen=True)
class Noise:
    """How far indicators rise, at the 95th percentile, when good content is exchanged for content as good: what a
    repaint has to beat. Each at least 0."""

    region: float
    """Mean of PQ over a region, in [0, 1]."""
    perceptual: float
    """Logarithm of the unclamped PS."""
    phrase: float
    """q of a phrase, the unclamped ratio to its bounds."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < math.inf:
                raise InputError(f"calibration: noise of {name} has to be a number of at least 0, got {value!r}.")


@dataclass(frozen=True)
class Gallery:
    """The pictures that a calibration was made from, as the model sees them: to tell what is unlike all of them."""

    packed: str
    """Unit features of the class token, float16 in base64."""
    width: int
    """Of one feature."""
    farthest: float
    """Cosine to the nearest other one that nearly all of them reach: below it a picture is outside."""

    @classmethod
    def of(cls, features: Tensor, farthest: float) -> Gallery:
        """From unit features (N, C)."""
        raw = features.detach().to("cpu", torch.float16).contiguous().numpy().astype("<f2").tobytes()
        return cls(base64.b64encode(raw).decode("ascii"), int(features.shape[1]), float(farthest))

    @cached_property
    def features(self) -> Tensor:
        """(N, C) float32."""
        import numpy as np

        values = np.frombuffer(base64.b64decode(self.packed, validate=True), dtype="<f2").astype(np.float32)
        return torch.from_numpy(values.copy()).reshape(-1, self.width)


#: What has to be reached by the lower end of a figure's interval so that verdicts of its kind open a gate.
BARS: Mapping[str, float] = {"perceptual": 0.6, "map": 0.65, "nouns": 0.75, "modifiers": 0.6}


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

    by_count: Mapping[Scoring, Mapping[int, Bounds]] = field(default_factory=dict)
    """"contrast" and "softmax" -> number of phrases in a prompt -> bounds: each of many phrases may fail less often if
    few prompts are to have one that does."""
    perceptual: PerceptualBounds | None = None
    """β of PQ-Map, for ``formula="bounded"``; None: those of the embeddings."""
    map_threshold: float | None = None
    """Defect map (1 − PQ) above which there is a defect; 1 where the map cannot be trusted."""
    perceptual_bar: float | None = None
    """PS below which a picture fails; 0 where PS cannot be trusted."""
    noise: Noise | None = None
    kinds: Mapping[str, Calibration] = field(default_factory=dict)
    """The same for each kind of picture, and for what is "outside" of all of them."""
    gallery: Gallery | None = None
    trust: Mapping[str, Figure] = field(default_factory=dict)
    """How well the indicators do with these weights, by name."""
    notes: tuple[str, ...] = ()
    """What cannot be trusted, in plain words."""
    embeddings: str = ""
    """Which embeddings of PQ-Map it was measured with: "published", "words" or "own"."""
    key: str = ""
    """Of the files that it was measured with; empty for one that is made by hand."""

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

    def for_formula(
        self, formula: str, phrases: int = 0, described: int | None = None
    ) -> tuple[Mapping[str, Bounds], LocalEvidence | None]:
        """The bounds of both ways of scoring that a formula uses for a prompt with so many measured phrases, so many of
        them with modifiers (None: all), and what the scores are to be made of."""
        if formula != "bounded":
            return self.bounds, None
        evidence = None if self.local is None else self.local.evidence
        if self.by_count:
            return {scoring: self.bounds_for(scoring, phrases, described) for scoring in SCORINGS}, evidence
        return self.bounds if self.local is None else self.local.bounds, evidence

    def bounds_for(self, scoring: Scoring, phrases: int = 0, described: int | None = None) -> Bounds:
        """β_n of a prompt with so many measured phrases, and β_p of one with so many that have modifiers (None: all of
        them); of a usual prompt where nothing is known of that.

        Between numbers that were measured the stricter neighbour (the larger number) counts.
        """
        table = self.by_count.get(scoring, {})
        if phrases < 1 or not table:
            return self.bounds[scoring] if self.local is None else self.local.bounds[scoring]
        noun, phrase = (
            table[min((count for count in table if count >= number), default=max(table))]
            for number in (phrases, phrases if described is None else max(1, described))
        )
        return Bounds(noun.noun, phrase.phrase)

    def trusted(self, what: str) -> bool:
        """Whether verdicts of a kind ("perceptual", "map", "nouns", "modifiers") may open a gate; true where it was not
        measured."""
        figure = self.trust.get(what)
        return figure is None or figure.low >= BARS[what]

    def for_kind(self, kind: str) -> Calibration:
        """The calibration of one kind of picture, with all that belongs to every kind; itself where that was not
        measured apart."""
        own = self.kinds.get(kind)
        return self if own is None else replace(self, **{name: getattr(own, name) for name in _OF_A_KIND}, kinds={})

    def save(self, path: str | Path) -> Path:
        """Write the file, replacing an older one as a whole; returns its path."""
        content = {"format": FORMAT, **self._to_json()}
        return write_text(Path(path), json.dumps(content, indent=2, sort_keys=True) + "\n")

    def _to_json(self) -> dict[str, Any]:
        content = asdict(replace(self, kinds={}, perceptual=None))
        content["bounds"] = {name: asdict(self.bounds[name]) for name in SCORINGS}
        content["perceptual"] = None if self.perceptual is None else json.loads(self.perceptual.to_json())
        content["kinds"] = {name: kind._to_json() for name, kind in self.kinds.items()}
        # What was not measured is not written: files stay as small and as they were.
        return {name: value for name, value in content.items() if name in _ALWAYS or value not in (None, {}, (), "")}

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
        gallery, noise, perceptual, local = (content.get(name) for name in ("gallery", "noise", "perceptual", "local"))
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
            by_count={
                scoring: {int(count): one for count, one in _bounds(content["by_count"][scoring]).items()}
                for scoring in SCORINGS
                if scoring in content.get("by_count", {})
            },
            perceptual=None
            if perceptual is None
            else PerceptualBounds(perceptual["score"], perceptual["patches"], perceptual.get("map")),
            map_threshold=_share(content, "map_threshold"),
            perceptual_bar=_share(content, "perceptual_bar"),
            noise=None if noise is None else Noise(**noise),
            kinds={name: cls._from_json(kind) for name, kind in content.get("kinds", {}).items()},
            gallery=None if gallery is None else Gallery(**gallery),
            trust={name: Figure(**figure) for name, figure in content.get("trust", {}).items()},
            notes=tuple(map(str, content.get("notes", ()))),
            embeddings=str(content.get("embeddings", "")),
            key=str(content.get("key", "")),
        )


#: What a kind of picture has of its own.
_OF_A_KIND = ("bounds", "local", "by_count", "perceptual", "map_threshold", "perceptual_bar")
_ALWAYS = ("bounds", "scoring", "temperature", "quantile", "pictures", "phrases", "model", "made_on")


def _share(content: Mapping[str, Any], name: str) -> float | None:
    value = content.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not 0.0 <= value <= 1.0:
        raise InputError(f"{name} has to be from 0 to 1, got {value!r}")
    return float(value)


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
