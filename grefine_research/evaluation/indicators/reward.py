"""ImageReward, by the project's own backend on transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from grefine_core.models.files import file_identity

from .protocol import Context, Indicator, Spec, package_version

if TYPE_CHECKING:
    from grefine_core.imagereward import ImageReward


class Reward:
    """ImageReward's score of a picture and its prompt."""

    def __init__(self, model: ImageReward) -> None:
        self._model = model

    def score(self, image: Tensor, prompt: str) -> float:
        """As ``Indicator.score``."""
        return float(self._model.rewards(image, prompt)[0])


def _load(context: Context) -> Indicator:
    from grefine_core.imagereward import load_image_reward

    return Reward(load_image_reward(context.weights["imagereward"], device=context.device))


def _identity(context: Context) -> str:
    weights = file_identity(context.weights["imagereward"]) if "imagereward" in context.weights else ""
    return f"imagereward transformers {package_version('transformers')} {weights}"


SPECS = (
    Spec(
        "imagereward",
        "ImageReward",
        "alignment",
        _load,
        _identity,
        packages=("transformers",),
        needs_weights="ImageReward.pt, see `grefine models list`",
        licence="Apache-2.0, its weights too",
        paper=("ImageReward",),
    ),
)
