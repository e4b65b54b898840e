"""Which size a picture is asked for, and which it is worked on at. Sizes are (height, width) in pixels."""

from __future__ import annotations

from ...errors import InputError

Size = tuple[int, int]


def requested_size(size: Size, factor: float) -> Size:
    """``size`` enlarged by ``factor``, rounded."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def working_size(size: Size, shorter: int, multiple: int) -> Size:
    """The size that the networks see for a picture of ``size``.

    If its shorter side has fewer than ``shorter`` pixels it is enlarged to that; both sides go down to the next
    ``multiple``.

    Raises:
        InputError: a side that is too short for a single latent cell.
    """
    scale = max(1.0, shorter / min(size))
    height, width = (round(side * scale) // multiple * multiple for side in size)
    if height == 0 or width == 0:
        raise InputError(
            f"image: {size[1]}x{size[0]} pixels are too few, both sides need at least {multiple}. "
            "Choose a larger factor or process size."
        )
    return height, width
