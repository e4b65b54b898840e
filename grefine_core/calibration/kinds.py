"""Which kind of picture one is, told by the CLIP itself, and whether it is unlike all that was measured."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..alignment.calibration import Calibration
from ..clip.quality_model import ImageFeatures, QualityModel

OUTSIDE = "outside"
"""Unlike all pictures of the reference: bounds are the loosest, and nothing opens the perceptual gate."""

TEXTS: dict[str, tuple[str, ...]] = {
    "photograph": ("a photograph", "a photo taken with a camera"),
    "drawing": ("a line drawing", "a cartoon", "a comic"),
    "painting": ("an oil painting", "a watercolor painting"),
    "render": ("a 3d render", "computer graphics of a video game"),
}


def told_kinds(model: QualityModel, class_features: Tensor) -> list[str]:
    """The kind of each picture, of its unit class features (B, C): the texts that it fits best on average."""
    every = [text for texts in TEXTS.values() for text in texts]
    vectors = dict(zip(every, model.text_features(every), strict=True))
    means = torch.stack(
        [F.normalize(torch.stack([vectors[text] for text in texts]).mean(0), dim=0) for texts in TEXTS.values()]
    )
    names = list(TEXTS)
    return [names[index] for index in (class_features @ means.T).argmax(-1).tolist()]


def nearest(features: Tensor, gallery: Tensor, *, own: bool = False) -> Tensor:
    """Cosine (B,) to the most alike picture of a gallery; ``own``: the features are the gallery, each but itself."""
    cosines = features @ gallery.T
    if own:
        cosines = cosines - 3.0 * torch.eye(len(gallery))
    return cosines.amax(-1)


def calibrations_of(calibration: Calibration, model: QualityModel, features: ImageFeatures) -> list[Calibration]:
    """For each picture the calibration of its kind; the same for all where kinds were not measured.

    Args:
        calibration: the model's, or another that was measured with it.
        model: the quality model.
        features: of its CLIP, of B pictures.
    """
    kinds = kinds_of(calibration, model, features)
    chosen = {kind: calibration.for_kind(kind) for kind in set(kinds)}
    return [chosen[kind] for kind in kinds]


def kinds_of(calibration: Calibration, model: QualityModel, features: ImageFeatures) -> list[str]:
    """For each picture "photograph", "drawing", "painting", "render", or "outside"; empty texts where kinds were not
    measured."""
    classes = features.unit[:, 0]
    if not calibration.kinds:
        return [""] * len(classes)
    named = set(calibration.kinds) - {OUTSIDE}
    told: Sequence[str] = told_kinds(model, classes) if named else [""] * len(classes)
    gallery = calibration.gallery
    if gallery is None or gallery.width != classes.shape[1]:
        return list(told)
    near = nearest(classes, gallery.features).tolist()
    return [OUTSIDE if cosine < gallery.farthest else kind for kind, cosine in zip(told, near, strict=True)]
