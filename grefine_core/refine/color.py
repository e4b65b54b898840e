"""Keeping colours: a VAE round trip and a strong redraw shift them a little, which shows as a seam or a cast."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..tensors import strips

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
    color = color_match(images, reference, where)
    if color is None:
        return images
    matched = torch.empty_like(images, memory_format=torch.contiguous_format)
    for rows in strips(images.shape[1]):
        matched[:, rows] = color(images[:, rows])
    return matched


def color_match(images: Tensor, reference: Tensor, where: Tensor | None = None) -> Callable[[Tensor], Tensor] | None:
    """The correction that ``match_color`` applies, for parts of ``images``; None where there is nothing to compare."""
    if (images[..., 0].numel() if where is None else int(where.count_nonzero())) < _FEWEST:
        return None
    (mean, spread), (wanted, wanted_spread) = _moments(images, where), _moments(reference, where)
    gain = (wanted_spread / spread.clamp_min(1e-4)).clamp(1.0 / _LARGEST_GAIN, _LARGEST_GAIN)
    return lambda part: (part - mean).mul_(gain).add_(wanted).clamp_(0.0, 1.0)


def _moments(images: Tensor, where: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every channel (C,) over the pixels of ``where``.

    Without copies: picking the pixels out would take the places of all of them, three times eight bytes each.
    """
    if where is None:
        pairs = [torch.var_mean(values) for values in images.unbind(-1)]
        return torch.stack([mean for _, mean in pairs]), torch.stack([variance for variance, _ in pairs]).sqrt()

    count = int(where.count_nonzero())
    sums = torch.zeros(2, images.shape[-1], dtype=torch.float64)  # on the CPU: not every device knows float64
    for rows in strips(images.shape[1]):
        sums[0] += (images[:, rows] * where[:, rows].unsqueeze(-1)).sum(dim=(0, 1, 2)).cpu()
    mean = (sums[0] / count).to(images)
    for rows in strips(images.shape[1]):
        sums[1] += (images[:, rows] - mean).square_().mul_(where[:, rows].unsqueeze(-1)).sum(dim=(0, 1, 2)).cpu()
    return mean, (sums[1] / (count - 1)).sqrt().to(images)


def wavelet_color(images: Tensor, reference: Tensor, levels: int = 5) -> Tensor:
    """Give ``images`` the low frequencies of ``reference``: its colours and light, and their own detail.

    The split is an undecimated wavelet transform, a binomial 3x3 blur whose taps lie twice as far apart at every level
    (the colour fix of PASD and of other diffusion models for super-resolution).

    Args:
        images: ``(B, H, W, 3)``.
        reference: the same size.
        levels: of the split; everything coarser than about ``2 ** levels`` pixels comes from ``reference``.

    Returns:
        ``(B, H, W, 3)``, not clamped: sharp edges may lie somewhat outside [0, 1].
    """
    return images + _coarse(reference - images, levels)


def adain_color(images: Tensor, reference: Tensor) -> Tensor:
    """Give every channel of ``images`` the mean and the standard deviation that it has in ``reference``.

    As ``match_color``, but without its limits and picture by picture of a batch (adaptive instance normalisation).

    Args:
        images: ``(B, H, W, 3)``.
        reference: the same number of pictures, of any size.

    Returns:
        ``(B, H, W, 3)``, not clamped.
    """
    (mean, spread), (wanted_mean, wanted_spread) = _statistics(images), _statistics(reference)
    return (images - mean) / spread * wanted_spread + wanted_mean


def _coarse(images: Tensor, levels: int) -> Tensor:
    """The low frequencies of ``(B, H, W, 3)``; linear in the pictures.

    kornia takes the gaps between the taps for taps of 0: on a CPU seven times as long as a dilated convolution, for the
    same values; either, about a second at 1024², is little beside one step of a diffusion model there.
    """
    from kornia.filters import filter2d_separable

    coarse = torch.empty_like(images, memory_format=torch.contiguous_format)
    for channel, plane in enumerate(images.unbind(-1)):  # each by itself: the temporaries are those of one
        planes = plane.unsqueeze(1)
        for level in range(levels):
            far = 2**level
            taps = planes.new_zeros(1, 2 * far + 1)
            taps[0, ::far] = planes.new_tensor([0.25, 0.5, 0.25])
            planes = filter2d_separable(planes, taps, taps, border_type="replicate")
        coarse[..., channel] = planes[:, 0]
    return coarse


def _statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``(B, 1, 1, 3)``, the latter never 0."""
    correction = 1 if images.shape[1] * images.shape[2] > 1 else 0
    spread = (images.var(dim=(1, 2), keepdim=True, correction=correction) + 1e-5).sqrt()
    return images.mean(dim=(1, 2), keepdim=True), spread
