"""Which PASD a file holds, by its keys: folders have any name, and stock classes drop unknown keys in silence."""

from __future__ import annotations

from ...errors import ModelFileError
from ..weights import Shape, Weights
from .model import Variant

_EMBEDDING = "controlnet_cond_embedding."
_DENSE = _EMBEDDING + "preprocesser."
#: Heads that only training uses: they make small pictures of the condition's features for a loss.
_HEADS = _EMBEDDING + "to_rgbs."


def detect(unet: Weights, controlnet: Weights) -> Variant:
    """The variant that the keys of both networks tell.

    Raises:
        ModelFileError: a UNet without any attention to the condition, or with both kinds.
    """
    pixel = any(".pixel_attentions." in name for name in unet.shapes)
    light = any("_plus." in name for name in unet.shapes)
    if pixel and light:
        raise ModelFileError(f"{unet.title}: has the extra tensors of both pasd and pasd_light; no known PASD has.")
    if not (pixel or light):
        raise ModelFileError(
            f"{unet.title}: no PASD UNet: neither pixel_attentions (pasd) nor proj_in_plus, attn2_plus (pasd_light) "
            "are in it. Give the folder of PASD's weights; a plain Stable Diffusion goes into `base` or `personalised`."
        )
    return Variant(light=light, rrdb=any(name.startswith(_DENSE) for name in controlnet.shapes))


def without_heads(controlnet: Weights, channels: list[int]) -> Weights:
    """The ControlNet's weights less the six tensors of the heads; files from which they are already gone are fine.

    Args:
        controlnet: names and shapes as published.
        channels: of the condition's encoder, first to last.

    Raises:
        ModelFileError: heads of other shapes than training has.
    """
    expected: dict[str, Shape] = {}
    for i, width in enumerate(channels[1:]):
        expected[f"{_HEADS}{i}.weight"], expected[f"{_HEADS}{i}.bias"] = (3, width, 3, 3), (3,)
    wrong = [
        f"{name} {list(controlnet.shapes[name])}"
        for name, shape in expected.items()
        if controlnet.shapes.get(name, shape) != shape
    ]
    if wrong:
        raise ModelFileError(f"{controlnet.title}: training heads of unknown shapes ({', '.join(wrong)}).")
    return controlnet.renamed(lambda name: None if name in expected else name)
