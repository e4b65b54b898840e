"""Pictures with the severity of their defects, for the embeddings, drawn once and kept; and the maps' figures.

What is kept holds pictures and one number for each factor. Masks are not in it: they are only asked for, of other
samples, when the finished maps are scored.
"""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grefine_core.clip.quality_model import QualityModel
from grefine_core.files import written_whole
from grefine_core.miniature.world import Split
from grefine_core.perceptual import perceptual_quality

from ...evaluation.statistics import auroc
from ...training import Targets
from ..generator import make_sample
from ..sample import FACTORS
from ..source_mark import source_mark
from ..worlds import SHIPPED, WORLDS, Name, World

logger = logging.getLogger(__name__)

PART = 256
_ABOVE = 0.5
"""Of a defect map: what counts as defective by default."""
_LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 20))
_PASSES = 0.8
"""PS from which a picture counts as good by default."""


class Pictures:
    """Samples 0 … count - 1 of a split, in ``part-*.npz`` of a folder; parts that are missing are drawn.

    Args:
        folder: for all splits and counts; a part has world, difficulty and a mark of the generator's code in its name:
            after a change of the generator parts are drawn anew.
        split: of the samples.
        count: how many.
        difficulty: of the samples.
        processes: that draw; 1 draws in this process.
        world: of the samples.
    """

    def __init__(
        self,
        folder: Path,
        split: Split,
        count: int,
        difficulty: float = 0.5,
        processes: int = 2,
        world: World = SHIPPED,
    ) -> None:
        self.count = count
        stem = f"{world.name}-{split}-{difficulty:g}-{source_mark()}"
        self.keys = [f"{stem}/{index}" for index in range(count)]
        folder.mkdir(parents=True, exist_ok=True)
        tasks = [
            (folder / f"{stem}-{start:06d}-{min(PART, count - start)}.npz", split, difficulty, start, world.name)
            for start in range(0, count, PART)
        ]
        self.parts = [task[0] for task in tasks]
        missing = [task for task in tasks if not task[0].is_file()]
        if not missing:
            return
        from tqdm import tqdm

        bar = tqdm(total=len(missing) * PART, desc=f"drawing {split}", unit="picture", mininterval=5, disable=None)
        with bar:
            if processes > 1 and len(missing) > 1:
                with multiprocessing.get_context("spawn").Pool(processes) as pool:
                    for _ in pool.imap_unordered(_draw_part, missing):
                        bar.update(PART)
            else:
                for task in missing:
                    _draw_part(task)
                    bar.update(PART)

    def read(self, keys: Sequence[str]) -> Iterator[Tensor]:
        """The pictures (128, 128, 3) float32 of some keys, one after the other."""
        images: NDArray[np.uint8] | None = None
        opened = -1
        for key in keys:
            part, row = divmod(int(key.rsplit("/", 1)[1]), PART)
            if part != opened or images is None:
                with np.load(self.parts[part]) as content:
                    images = content["images"]
                opened = part
            yield torch.from_numpy(images[row].astype(np.float32) / 255.0)

    def targets(self, overall: bool) -> Targets:
        """Labels: 1 - severity of each factor, and of all together as the MOS.

        Args:
            overall: whether the overall factor has the MOS as its own label, too, or learns through PS alone.
        """
        severities = []
        for part in self.parts:
            with np.load(part) as content:
                severities.append(content["severity"])
        good = 1.0 - torch.from_numpy(np.concatenate(severities))
        factors = {name: good[:, index] for index, name in enumerate(FACTORS)}
        mos = good.prod(1)
        return Targets({"overall": mos, **factors} if overall else factors, mos)


def _draw_part(task: tuple[Path, Split, float, int, Name]) -> None:
    """Draw one part; the file is there as a whole or not at all."""
    path, split, difficulty, start, world = task
    count = int(path.stem.rsplit("-", 1)[1])
    images, severity = [], []
    for index in range(start, start + count):
        sample = make_sample(split, index, difficulty=difficulty, world=WORLDS[world])
        images.append(np.rint(255 * sample.image).astype(np.uint8))
        severity.append([sample.severity(name) for name in FACTORS])
    with written_whole(path) as scratch:
        np.savez(scratch, images=np.stack(images), severity=np.asarray(severity, np.float32))


def map_figures(
    model: QualityModel, count: int, difficulty: float = 0.5, start: int = 1_000_000, world: World = SHIPPED
) -> dict[str, float]:
    """Score the defect map of perceptual defects against their masks, on validation samples that nothing else uses.

    Args:
        model: with the embeddings to score.
        count: samples.
        difficulty: of the samples.
        start: index of the first one.
        world: of the samples.

    Returns:
        ``iou``: mean over defective pictures at 0.5; ``iou_best`` and ``threshold``: the same at the threshold that
        suits it best; ``auroc``: of all pixels together; ``clean_area``: mean share above 0.5 of pictures without
        perceptual defects; ``clean_pass``: share of these with PS of at least 0.8; ``srocc``: of PS with 1 - severity.
    """
    from ...training.correlation import srocc

    maps, truths, scores, labels = [], [], [], []
    for index in range(start, start + count):
        sample = make_sample("validation", index, difficulty=difficulty, world=world)
        found = perceptual_quality(model, torch.from_numpy(sample.image)[None])
        truth = np.zeros(sample.image.shape[:2], bool)
        for defect in sample.defects:
            truth |= defect.mask if defect.kind in FACTORS else False
        maps.append(found.defect_map[0].numpy())
        truths.append(truth)
        scores.append(float(found.score[0]))
        labels.append(1.0 - sample.severity())
    values, masks, quality = np.stack(maps), np.stack(truths), np.asarray(scores)
    bad = masks.any((1, 2))
    overlaps = {level: _overlap(values[bad] > level, masks[bad]) for level in _LEVELS}
    best = max(overlaps, key=lambda level: overlaps[level])
    return {
        "iou": overlaps[_ABOVE],
        "iou_best": overlaps[best],
        "threshold": best,
        "auroc": auroc(values.ravel(), masks.ravel()) if masks.any() and not masks.all() else 0.5,
        "clean_area": float((values[~bad] > _ABOVE).mean()) if not bad.all() else 0.0,
        "clean_pass": float((quality[~bad] >= _PASSES).mean()) if not bad.all() else 1.0,
        "srocc": srocc(torch.tensor(scores), torch.tensor(labels)),
    }


def _overlap(marked: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Mean intersection over union of (n, H, W); 0 for none."""
    if len(truth) == 0:
        return 0.0
    return float(((marked & truth).sum((1, 2)) / (marked | truth).sum((1, 2))).mean())
