"""Indicators before and after refinement: the paper's Tables 2 to 5, and its ablations, Table 8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..datasets import Dataset
from .external_results import find_compared
from .indicators.protocol import Context, Spec
from .refining import Refined, picture_path
from .scoring import Failure, Item, Scored, score_items
from .statistics import SEED, Estimate, mean
from .store import Record
from .variants import Row

ORIGINAL = "original"


@dataclass(frozen=True)
class Version:
    """One version of all pictures: the originals, a row of ours, or another program's."""

    name: str
    title: str
    images: Mapping[str, Path]
    """Key -> picture; some may be missing."""
    row: Row | None = None


@dataclass(frozen=True)
class Change:
    """One indicator on one version of some pictures."""

    spec: Spec
    version: Version
    group: str
    """Generator; "" for all pictures."""
    mean: Estimate
    count: int
    gain: Estimate
    """Mean difference to the original pictures, of those that have both; positive is better, whatever the scale."""
    improved: float
    """Share of these pictures that it is better on; NaN for the originals."""


@dataclass
class BeforeAfter:
    """What came of it."""

    dataset: Dataset
    versions: list[Version]
    specs: list[Spec]
    changes: list[Change] = field(default_factory=list)
    scored: dict[tuple[str, str], Scored] = field(default_factory=dict)
    """(version, indicator) -> scores."""
    obstacles: dict[str, str | None] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    records: dict[str, dict[str, Record]] = field(default_factory=dict)
    database: str = ""

    def change(self, spec: str, version: str, group: str = "") -> Change | None:
        """The figures of one cell; None if there are none."""
        for one in self.changes:
            if (one.spec.name, one.version.name, one.group) == (spec, version, group):
                return one
        return None

    @property
    def groups(self) -> list[str]:
        """Generators, where there are several."""
        names = sorted({one.group for one in self.dataset.examples if one.group})
        return names if len(names) > 1 else []

    @property
    def ran(self) -> list[Spec]:
        """The indicators that did run."""
        return [spec for spec in self.specs if self.obstacles.get(spec.name) is None]


def versions_of(
    dataset: Dataset, rows: Sequence[Row], pictures: Path, compared: Mapping[str, Path], failures: list[Failure]
) -> list[Version]:
    """The originals, our rows, and other programs' pictures; a picture that these lack is reported.

    Raises:
        InputError: a compared folder that has none of the pictures.
    """
    keys = [example.key for example in dataset.examples]
    versions = [Version(ORIGINAL, "original pictures", {one.key: one.image for one in dataset.examples})]
    for row in rows:
        there = {key: picture_path(pictures, row.name, key) for key in keys}
        there = {key: file for key, file in there.items() if file.is_file()}
        versions.append(Version(row.name, row.title, there, row))
    for name, folder in compared.items():
        found = find_compared(folder, keys)
        absent = [key for key in keys if key not in found]
        failures += [Failure(key, folder, f"comparing with {name}", "no picture of this name") for key in absent]
        versions.append(Version(f"compared-{name}", name, found))
    return versions


def measure_versions(
    dataset: Dataset,
    versions: Sequence[Version],
    specs: Sequence[Spec],
    context: Context,
    records: Path,
    *,
    refined: Refined | None = None,
    database: str = "",
    resamples: int = 1000,
    seed: int = SEED,
    resume: bool = True,
) -> BeforeAfter:
    """Score every version with every indicator, and compare each with the originals, picture by picture.

    Arguments as in ``evaluate_indicators``; ``refined`` adds what the refinement itself had to say.

    Raises:
        GRefineError: our own quality model cannot be loaded.
    """
    prompts = {example.key: example.prompt for example in dataset.examples}
    result = BeforeAfter(dataset, list(versions), list(specs), database=database)
    if refined is not None:
        result.records, result.failures = refined.records, list(refined.failures)
    for spec in specs:
        for version in versions:
            items = [Item(key, image, prompts[key]) for key, image in version.images.items()]
            file = records / version.name / f"{spec.name}.jsonl"
            scored = score_items(spec, items, context, file, version.title, resume)
            result.scored[version.name, spec.name] = scored
            result.failures += scored.failures
            if scored.obstacle is not None:
                result.obstacles[spec.name] = scored.obstacle
                break
        else:
            result.obstacles[spec.name] = None
            result.changes += _changes(result, spec, resamples, seed)
    return result


def _changes(result: BeforeAfter, spec: Spec, resamples: int, seed: int) -> list[Change]:
    before = result.scored[ORIGINAL, spec.name].values
    sign = -1.0 if spec.lower_is_better else 1.0
    changes = []
    for version in result.versions:
        values = result.scored[version.name, spec.name].values
        for group in ("", *result.groups):
            keys = [one.key for one in result.dataset.examples if group in ("", one.group) and one.key in values]
            both = [key for key in keys if key in before]
            gains = np.asarray([sign * (values[key] - before[key]) for key in both], np.float64)
            changes.append(
                Change(
                    spec,
                    version,
                    group,
                    mean([values[key] for key in keys], resamples, seed),
                    len(keys),
                    mean(gains, resamples, seed),
                    float(np.mean(gains > 0)) if version.name != ORIGINAL and len(gains) else float("nan"),
                )
            )
    return changes
