"""Keeping colours: a VAE round trip and a strong redraw shift them a little, which shows as a seam or a cast."""

from __future__ import annotations

from torch import Tensor

#: Fewer known pixels than this say nothing about a cast.
_FEWEST = 64
#: A contrast is never changed by more than this factor: flat surroundings would otherwise blow up noise.
_LARGEST_GAIN = 1.5


def match_color(images: Tensor, reference: Tensor, where: Tensor | None = None) -> Tensor:
    """Shift and scale every channel of ``images`` so that mean and standard deviation match ``reference``.

    Args:
        images: ``(1, H, W, 3)`` in [0, 1].
        reference: the same size.
        where: ``(1, H, W)`` bool, the pixels that are compared (the correction applies to all); None = all.

    Returns:
        ``(1, H, W, 3)`` clamped to [0, 1]; ``images`` itself where too few pixels can be compared.
    """
    if where is None:
        ours, theirs = images.flatten(1, 2)[0], reference.flatten(1, 2)[0]
    else:
        ours, theirs = images[where], reference[where]
    if ours.shape[0] < _FEWEST:
        return images
    gain = theirs.std(dim=0) / ours.std(dim=0).clamp_min(1e-4)
    gain = gain.clamp(1.0 / _LARGEST_GAIN, _LARGEST_GAIN)
    return ((images - ours.mean(dim=0)) * gain + theirs.mean(dim=0)).clamp(0.0, 1.0)
