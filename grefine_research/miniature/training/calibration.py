"""The calibration of the miniature models: ``python -m grefine_research.miniature.training.calibration``.

The bounds of AQ-Map come from validation scenes, of which it is known which phrase is unmatched and how, and so does
the bar of PS; all else comes from clean scenes and damaged copies of them, as for any other weights. The contrast
vocabulary is written first, because the scores depend on it.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from grefine_core.alignment.calibrate import Truth, calibrate_with_truth
from grefine_core.alignment.calibration import Calibration, Noise, calibration_path
from grefine_core.calibration.auto import measure, without_alignment
from grefine_core.miniature.loading import FILES, load_miniature_quality_model
from grefine_core.perceptual import perceptual_quality
from grefine_core.prompt.syntax import parse_prompt
from grefine_core.prompt.syntax.tree import PromptTree

from ..generator import make_sample
from ..reference import miniature_reference
from ..truth import phrase_truth
from ..vocabulary import write_vocabulary
from ..worlds import SHIPPED, WORLDS, World, world_named

if TYPE_CHECKING:
    from grefine_core.clip.quality_model import QualityModel

logger = logging.getLogger(__name__)

#: Validation samples from this number on are for bounds; those before it for everything else.
FIRST = 2_000_000
#: By how much indicators rise by chance, for the guard. Those that are measured on copies are three to six times as
#: large, and let more harm pass: on 32 validation scenes 3 pictures were worse afterwards, with these 1.
_NOISE = Noise(perceptual=0.05, phrase=0.1, region=0.05)
#: Of clean scenes, so many may have a PS below its bar.
_OPEN, _CLEAN, _TOGETHER = 0.015, 400, 16
_KINDS: tuple[tuple[str, ...], ...] = (("alignment",), (), ("alignment",), ("technical", "alignment"))


def calibrate(folder: str | Path, pictures: int = 600, world: World = SHIPPED) -> Calibration:
    """Write contrast vocabulary and calibration beside the CLIP and the embeddings of ``folder``; returns the
    calibration.

    Args:
        folder: with ``clip.safetensors``, ``clip.json`` and ``pq_embeddings.safetensors``.
        pictures: validation samples, three quarters of them with an alignment defect.
        world: of the samples.
    """
    folder = Path(folder)
    weights = folder / FILES["clip"]
    write_vocabulary(weights.with_name(f"{weights.stem}.banks.json"))
    model = load_miniature_quality_model(folder=folder)
    with tqdm(total=pictures, unit="picture", desc="bounds") as bar:
        made = calibrate_with_truth(model, _samples(pictures, world), lambda done, _: bar.update(done - bar.n) and None)
    with tqdm(unit="picture", desc="quality") as bar:
        measured = measure(
            model, miniature_reference(world=world), progress=lambda done, _: bar.update(done - bar.n) and None
        )
    made = replace(without_alignment(measured, made), pictures=made.pictures, phrases=made.phrases, quantile=None)
    made = replace(made, noise=_NOISE)
    made.save(calibration_path(weights))
    # PS is a share of the bounds just measured: the model has to be loaded with them.
    made = replace(made, perceptual_bar=clean_bar(load_miniature_quality_model(folder=folder), world))
    made.save(calibration_path(weights))
    for scoring, bounds in made.bounds.items():
        logger.info("%s: beta_n %.4f, beta_p %.4f", scoring, bounds.noun, bounds.phrase)
    return made


def clean_bar(model: QualityModel, world: World = SHIPPED) -> float:
    """The PS, in [0, 1] and rounded down to hundredths, that all but a few clean validation scenes reach."""
    scores: list[float] = []
    for first in tqdm(range(0, _CLEAN, _TOGETHER), desc="bar of PS"):
        numbers = range(FIRST - _CLEAN + first, FIRST - _CLEAN + first + _TOGETHER)
        images = [make_sample("validation", number, kinds=(), world=world).image for number in numbers]
        scores += perceptual_quality(model, torch.from_numpy(np.stack(images))).score.tolist()
    return math.floor(100 * float(np.quantile(scores, _OPEN))) / 100


def _samples(count: int, world: World) -> Iterator[tuple[torch.Tensor, PromptTree, Truth]]:
    for number in range(count):
        sample = make_sample("validation", FIRST + number, kinds=_KINDS[number % len(_KINDS)], world=world)
        tree = parse_prompt(sample.caption.prompt)
        yield torch.from_numpy(sample.image), tree, phrase_truth(sample, tree)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Set the bounds of AQ-Map for the miniature CLIP.")
    parser.add_argument("--folder", type=Path, required=True, help="of clip.safetensors and pq_embeddings.safetensors")
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--world", choices=tuple(WORLDS), default=SHIPPED.name)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    calibrate(options.folder, options.pictures, world_named(options.world))


if __name__ == "__main__":
    main()
