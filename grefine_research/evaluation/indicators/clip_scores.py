"""CLIPScore, PickScore and both human preference scores: each the cosine of a picture and its prompt in one CLIP.

They run on open_clip, which the project needs anyway, from a weight file that the user names; nothing is fetched. The
authors' own packages pin old versions of protobuf and pytest (hpsv2) or fetch from a hub.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from grefine_core.models.files import file_identity

from .protocol import Context, Indicator, Spec, package_version

BLACK = 0.0


@dataclass(frozen=True)
class Recipe:
    """How one of them is computed.

    Attributes:
        architecture: of open_clip; a configuration beside the weights goes before it.
        prefix: before the prompt.
        factor: of the cosine; None for CLIP's own temperature.
        clamp: whether a negative cosine counts as none.
        whole: the picture is fitted into the square as a whole, with black at the sides (HPSv2), instead of cut to it.
    """

    architecture: str
    prefix: str = ""
    factor: float | None = 1.0
    clamp: bool = False
    whole: bool = False


RECIPES = {
    # Hessel et al. 2021: 2.5 · max(cos, 0), with these words before the caption.
    "clipscore": Recipe("ViT-B-32-quickgelu", "A photo depicts ", 2.5, clamp=True),
    "pickscore": Recipe("ViT-H-14", factor=None),
    "hpsv2": Recipe("ViT-H-14", whole=True),
    "hps": Recipe("ViT-L-14-quickgelu"),
}


class ClipCosine:
    """A score by ``recipe`` with an open_clip model ``clip`` in memory."""

    def __init__(self, clip: Any, recipe: Recipe, tokenizer: Any) -> None:
        from grefine_core.clip.preprocess import geometry

        self._clip, self._recipe, self._tokenizer = clip.eval(), recipe, tokenizer
        self._geometry = geometry(clip)
        self._device = next(clip.parameters()).device

    @torch.no_grad()
    def score(self, image: Tensor, prompt: str) -> float:
        """As ``Indicator.score``."""
        recipe = self._recipe
        tokens = self._tokenizer([recipe.prefix + prompt]).to(self._device)
        seen = F.normalize(self._clip.encode_image(self.pixels(image)), dim=-1)
        read = F.normalize(self._clip.encode_text(tokens), dim=-1)
        cosine = float((seen * read).sum())
        if recipe.clamp:
            cosine = max(cosine, 0.0)
        factor = float(self._clip.logit_scale.exp()) if recipe.factor is None else recipe.factor
        return factor * cosine

    def pixels(self, image: Tensor) -> Tensor:
        """What the image encoder reads, (1, 3, side, side): as each of the authors' programs prepares it."""
        side = self._geometry.size[0]
        planes = image.permute(0, 3, 1, 2)
        prepared = _fit(planes, side) if self._recipe.whole else _short_side_crop(planes, side)
        mean, std = (
            torch.tensor(values, dtype=prepared.dtype).view(1, 3, 1, 1)
            for values in (self._geometry.mean, self._geometry.std)
        )
        return ((prepared - mean) / std).to(self._device, next(self._clip.parameters()).dtype)


def _short_side_crop(planes: Tensor, side: int) -> Tensor:
    """CLIP's own way: 8 bits, shorter side to ``side`` by Pillow's bicubic filter, middle square."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as T

    picture = T.to_pil_image((planes[0].clamp(0, 1) * 255).round().to(torch.uint8).cpu())
    resized = T.resize(picture, [side], InterpolationMode.BICUBIC)
    return T.to_tensor(T.center_crop(resized, [side, side])).unsqueeze(0)


def _fit(planes: Tensor, side: int) -> Tensor:
    """HPSv2's way: floats, longer side to ``side``, black around."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as T

    height, width = planes.shape[-2:]
    scale = side / max(height, width)
    tall, wide = round(height * scale), round(width * scale)
    if scale != 1.0:
        planes = T.resize(planes, [tall, wide], InterpolationMode.BICUBIC, antialias=True)
    above, left = (side - tall) // 2, (side - wide) // 2
    return T.pad(planes.cpu(), [left, above, side - wide - left, side - tall - above], fill=BLACK)


def _load(context: Context, name: str) -> Indicator:
    from grefine_core.clip.loading import load_clip, tokenizer_of
    from grefine_core.models.finding import weight_file

    recipe = RECIPES[name]
    file = weight_file(context.weights[name])
    beside = any(path.is_file() for path in (file.with_suffix(".json"), file.parent / "open_clip_config.json"))
    clip, architecture = load_clip(file, "auto" if beside else recipe.architecture, context.device)
    return ClipCosine(clip, recipe, tokenizer_of(architecture))


def _identity(context: Context, name: str) -> str:
    weights = file_identity(context.weights[name]) if name in context.weights else ""
    return f"{name} {RECIPES[name]} open_clip {package_version('open_clip_torch')} {weights}"


def _spec(name: str, title: str, weights: str, licence: str, paper: tuple[str, ...]) -> Spec:
    return Spec(
        name,
        title,
        "alignment",
        partial(_load, name=name),
        partial(_identity, name=name),
        packages=("open_clip", "torchvision"),
        needs_weights=weights,
        licence=f"open_clip: MIT; weights: {licence}",
        paper=paper,
    )


SPECS = (
    _spec(
        "clipscore",
        "CLIPScore",
        "OpenAI's CLIP ViT-B/32, e.g. open_clip_model.safetensors of timm/vit_base_patch32_clip_224.openai",
        "MIT (OpenAI)",
        ("CLIPScore",),
    ),
    _spec(
        "pickscore",
        "PickScore",
        "model.safetensors of yuvalkirstain/PickScore_v1",
        "none stated by its authors; read its model card",
        ("PickScore", "PicScore"),
    ),
    _spec("hpsv2", "HPSv2", "HPS_v2_compressed.pt of xswu/HPSv2", "Apache-2.0", ("HPSv2",)),
    _spec("hps", "HPS (v1)", "hpc.pth, linked in tgxs002/align_sd", "none stated by its authors", ("HPS",)),
)
