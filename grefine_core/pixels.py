"""The pixels of an opened picture file as RGB or RGBA, with all bits that can be had, and what could not be kept."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from . import png
from .errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

_BITS_PER_SAMPLE = 258


def read_pixels(file: Image.Image, content: bytes) -> tuple[np.ndarray[Any, Any], bytes | None, list[str]]:
    """The first frame of a picture, not yet turned upright.

    Args:
        file: opened and loaded.
        content: the bytes of its file.

    Returns:
        (``(H, W, 3 or 4)`` uint8 or uint16 with straight alpha, the colour profile that fits them, sentences about what
        is not kept).

    Raises:
        InputError: pixels whose range nothing says.
    """
    notes: list[str] = []
    # Header of a profile, byte 16: the colour space that it is for.
    profile = file.info.get("icc_profile") or None
    space = bytes(profile[16:20]).decode("latin-1").strip() if profile else ""
    pixels = _sixteen_bits(file, content, notes)
    if file.mode == "CMYK":
        notes.append("The file is in CMYK; it is looked at, and written if it is changed, in sRGB.")
        file = _from_cmyk(file, profile if space == "CMYK" else None)
    elif space not in ("", "RGB"):
        notes.append(f"The file's colour profile is one for {space}; a changed picture, in RGB, is written without it.")
    return _eight_bits(file) if pixels is None else pixels, profile if space == "RGB" else None, notes


def _eight_bits(file: Image.Image) -> np.ndarray[Any, Any]:
    import numpy as np

    transparent = file.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in file.info
    return np.asarray(file.convert("RGBA" if transparent else "RGB"))


def _sixteen_bits(file: Image.Image, content: bytes, notes: list[str]) -> np.ndarray[Any, Any] | None:
    """The pixels of a file with more than 8 bits; None if it has no more, or these cannot be had."""
    import numpy as np

    pixels: np.ndarray[Any, Any] | None = None
    if file.mode == "F":
        raise InputError("has floating-point pixels, whose range nothing says; save it with 8 or 16 bits")
    if file.mode.startswith("I;16") or (file.mode == "I" and file.format in ("PNG", "PPM")):
        pixels = np.asarray(file).astype(np.uint16)[..., None]
    elif file.mode.startswith("I"):
        raise InputError("has integer pixels of 32 bits, whose range nothing says; save it with 8 or 16 bits")
    elif png.has_sixteen_bits(content):
        pixels = png.read_sixteen_bits(content)
    if pixels is None:
        bits = getattr(file, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
        if png.has_sixteen_bits(content) or max(bits if isinstance(bits, tuple) else (bits,)) > 8:
            notes.append("The file has more than 8 bits a channel; a changed picture is written with 8.")
        return None
    channels = pixels.shape[2]
    if channels <= 2:
        pixels = np.concatenate([pixels[..., :1]] * 3 + [pixels[..., 1:]], axis=2)
    key = file.info.get("transparency")
    if pixels.shape[2] == 3 and isinstance(key, (int, tuple)):
        clear = (pixels == np.array(key, np.uint16)).all(axis=2, keepdims=True)
        pixels = np.concatenate([pixels, np.where(clear, 0, 65535).astype(np.uint16)], axis=2)
    return pixels


def _from_cmyk(file: Image.Image, profile: bytes | None) -> Image.Image:
    """In sRGB: by the profile, where there is one that can be used."""
    if profile:
        from PIL import ImageCms

        try:
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(file, io.BytesIO(profile), target, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            converted = None
        if converted is not None:
            return converted
    return file.convert("RGB")
