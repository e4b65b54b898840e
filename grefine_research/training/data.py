"""From a data set to what prompt tuning takes: features of its pictures, labels, and pictures held back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from grefine_core.clip.embeddings import FACTORS
from grefine_core.clip.surgery import DEFAULT_BLOCKS
from grefine_core.errors import InputError

from ..datasets import Dataset, Skipped, read_pictures
from .feature_store import Features, Progress, build_features, source_of
from .launch import Launch
from .precision import Precision
from .targets import Targets

Overall = Literal["joint", "own"]

#: Scores that speak of perceptual quality, the first one that a data set has is its MOS.
RATINGS = ("perception", "mos")

SHARD = 128
"""Pictures in one file of features: what a killed encoding loses at most."""


@dataclass(frozen=True)
class Labels:
    """Which scores of a data set are labels of what."""

    mos: str | None = None
    """The score that PS is to follow; None for none."""
    factors: Mapping[str, str] | None = None
    """Factor -> the score that is its label."""
    overall: Overall = "joint"
    """Whether the overall factor learns through PS alone, or has the MOS as a label of its own as well."""

    def scores(self) -> list[str]:
        """All scores that are labels."""
        named = [*(self.factors or {}).values(), *([self.mos] if self.mos else [])]
        return list(dict.fromkeys(named))


def labels_of(
    dataset: Dataset, mos: str | None = None, factors: Mapping[str, str] | None = None, overall: Overall = "joint"
) -> Labels:
    """The labels of a data set, those that are not given found by their names: factors as factors, ``perception`` or
    ``mos`` as the MOS ("none": it is left out).

    Raises:
        InputError: no such score or factor, or no labels at all.
    """
    there = list(dataset.scales)
    chosen = {name: name for name in FACTORS if name in there} | dict(factors or {})
    if unknown := [name for name in chosen if name not in FACTORS]:
        raise InputError(f"factor: {unknown[0]!r} is none of {', '.join(FACTORS)}.")
    rating = mos or next((name for name in RATINGS if name in there), None)
    found = Labels(None if rating == "none" else rating, chosen, overall)
    if missing := [score for score in found.scores() if score not in there]:
        raise InputError(f"{dataset.name}: has no score {missing[0]!r}; it has {', '.join(there) or 'none'}.")
    if not found.scores():
        raise InputError(
            f"{dataset.name}: has neither a rating ({', '.join(RATINGS)}) nor a label of a factor; it has "
            f"{', '.join(there) or 'no scores'}. Name one (--mos, --factor), or its column (--column)."
        )
    return found


def labelled(dataset: Dataset, labels: Labels) -> Dataset:
    """The examples that have at least one label; the others are among the skipped."""
    wanted = labels.scores()
    kept = tuple(example for example in dataset.examples if any(score in example.scores for score in wanted))
    without = [example for example in dataset.examples if not any(score in example.scores for score in wanted)]
    skipped = tuple(Skipped(example.key, example.image, f"has no {' or '.join(wanted)}") for example in without)
    if not kept:
        raise InputError(f"{dataset.name}: none of {len(dataset)} pictures has {' or '.join(wanted)}.")
    return replace(dataset, examples=kept, skipped=(*dataset.skipped, *skipped))


def targets_of(dataset: Dataset, keys: Sequence[str], labels: Labels) -> Targets:
    """Labels in [0, 1] of the pictures with these keys, in their order."""
    place = {example.key: number for number, example in enumerate(dataset.examples)}
    rows = torch.tensor([place[key] for key in keys], dtype=torch.long)

    def column(score: str) -> Tensor:
        values = [float("nan") if value is None else value for value in dataset.unit_scores(score)]
        return torch.tensor(values, dtype=torch.float32)[rows]

    factors = {factor: column(score) for factor, score in (labels.factors or {}).items()}
    mos = column(labels.mos) if labels.mos else None
    if labels.overall == "own" and mos is not None and "overall" not in factors:
        factors["overall"] = mos
    # A column may have lost its last label with a picture that cannot be read.
    factors = {factor: values for factor, values in factors.items() if not values.isnan().all()}
    return Targets(factors, mos)


def held_back(dataset: Dataset, share: float, seed: int = 0) -> tuple[set[str], set[str]]:
    """Keys to train on, and keys to validate on.

    A data set that has pictures of a validation split validates on these. Else a share of its training pictures (of
    all, where it has no splits) is held back: whole prompts, so that no prompt is on both sides. Pictures of a test
    split are in neither.

    Args:
        dataset: with labelled examples.
        share: of the pictures, about.
        seed: another number holds back others.
    """
    usable = [example for example in dataset.examples if example.split != "test"]
    validation = {example.key for example in usable if example.split == "validation"}
    training = {example.key for example in usable} - validation
    if validation or share == 0.0:
        return training, validation
    by_prompt: dict[str, list[str]] = {}
    for example in usable:
        by_prompt.setdefault(example.prompt or example.key, []).append(example.key)
    # In an order of their own: it does not change when pictures are added or taken away.
    order = sorted(by_prompt, key=lambda prompt: hashlib.blake2b(f"{seed} {prompt}".encode()).digest())
    for prompt in order[:-1]:
        if len(validation) >= share * len(training):
            break
        validation.update(by_prompt[prompt])
    return training - validation, validation


def encode_dataset(
    dataset: Dataset,
    clip: nn.Module,
    work: Path,
    *,
    patches: bool = False,
    resolution: int | None = None,
    blocks: int = DEFAULT_BLOCKS,
    precision: Precision = "float32",
    launch: Launch | None = None,
    threads: int = 4,
    progress: Progress | None = None,
) -> tuple[Features, Dataset]:
    """Features of a data set's pictures, from ``work/features-…`` as far as they are there.

    Returns:
        The features, and the data set with the pictures that could not be read among the skipped.
    """
    source = source_of(clip, patches=patches, resolution=resolution, blocks=blocks, precision=precision)
    keys = [example.key for example in dataset.examples]
    # Other pictures, or others under the same names, are another store: neither takes the other's place.
    files = [f"{example.key} {example.image.stat().st_size}" for example in dataset.examples]
    chosen = hashlib.blake2b("\0".join((dataset.kind, *files)).encode(), digest_size=4).hexdigest()
    features = build_features(
        work / f"features-{source.short()}-{chosen}",
        clip,
        keys,
        read_pictures(dataset, threads),
        patches=patches,
        resolution=resolution,
        blocks=blocks,
        shard=SHARD,
        precision=precision,
        launch=launch,
        progress=progress,
    )
    there = set(features.keys)
    lost = [example for example in dataset.examples if example.key not in there]
    skipped = tuple(Skipped(example.key, example.image, "cannot be read as a whole") for example in lost)
    kept = tuple(example for example in dataset.examples if example.key in there)
    return features, replace(dataset, examples=kept, skipped=(*dataset.skipped, *skipped))
