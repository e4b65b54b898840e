"""What the independent evaluators and the clean scene say of a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from grefine_research.miniature.evaluators import Evaluators
from grefine_research.miniature.evaluators.severity import inside, overall
from grefine_research.miniature.sample import FACTORS

from .cases import Case
from .stats import psnr, ssim


def evaluate(case: Case, images: list[Tensor], evaluators: Evaluators) -> list[dict[str, Any]]:
    """Evaluate versions of one picture.

    Args:
        case: the truth.
        images: (1, H, W, 3) each; equal ones are evaluated once.
        evaluators: both.

    Returns:
        For each version: "severity" of the whole picture; "inside", one for each defect of the case (None for alignment
        defects); "answers", one for each phrase; "psnr", "ssim" against the clean scene, where each defect is to be
        mended, and "psnr_whole", "ssim_whole"; "outside", the mean change from the case's picture outside all
        defects; "changed".
    """
    distinct = {image.numpy().tobytes(): image for image in images}
    stacked = torch.cat(list(distinct.values()))
    maps, sights = evaluators.severity.maps(stacked), evaluators.contents.look(stacked)
    totals = overall(maps).tolist()
    found = {}
    for place, (key, image) in enumerate(distinct.items()):
        found[key] = {
            "severity": totals[place],
            "inside": _inside(case, maps[place]),
            "answers": sights[place].answers(case.questions),
            **_against_truth(case, image),
        }
    return [found[image.numpy().tobytes()] for image in images]


def _inside(case: Case, maps: Tensor) -> list[float | None]:
    values: list[float | None] = []
    for defect in case.sample.defects:
        if defect.kind in FACTORS:
            values.append(float(inside(maps, torch.from_numpy(defect.mask))[FACTORS.index(defect.kind)]))
        else:
            values.append(None)
    return values


def _against_truth(case: Case, image: Tensor) -> dict[str, Any]:
    now = image[0].numpy().astype(np.float64)
    clean = case.clean[0].numpy().astype(np.float64)
    before = case.image[0].numpy().astype(np.float64)
    everywhere = np.ones(now.shape[:2], bool)
    outside = ~case.mask(*FACTORS, "alignment")
    return {
        "psnr": [psnr(now, clean, mask) for mask in case.mended],
        "ssim": [ssim(now, clean, mask) for mask in case.mended],
        "psnr_whole": psnr(now, clean, everywhere),
        "ssim_whole": ssim(now, clean, everywhere),
        "outside": float(np.abs(now - before)[outside].mean()) if outside.any() else 0.0,
        "changed": bool((now != before).any()),
    }
