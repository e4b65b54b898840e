"""How a picture file says that it is to be turned, and how it stops saying so once its pixels are upright."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_TAG = 0x0112
_IN_XMP = r"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[0-9]+"
_RAW = "Raw profile type "


def upright(pixels: np.ndarray[Any, Any], orientation: int | None) -> np.ndarray[Any, Any]:
    """Turn ``(H, W, C)`` as EXIF's orientation (1 to 8) wants it to be shown; anything else leaves it as it is."""
    import numpy as np

    turned = np.rot90(pixels, {3: 2, 6: 3, 7: 2, 8: 1}.get(orientation or 1, 0))
    if orientation in (5, 7):
        turned = turned.transpose(1, 0, 2)
    elif orientation in (2, 4):
        turned = np.flip(turned, axis=1 if orientation == 2 else 0)
    return np.ascontiguousarray(turned)


def exif_as_upright(exif: bytes) -> bytes:
    """EXIF data with every orientation set to 1 and nothing else moved: makers' notes hold offsets into it.

    Returns:
        The same number of bytes; none at all if the data are damaged.
    """
    data = bytearray(exif)
    start = 6 if data[:6] == b"Exif\0\0" else 0
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[start : start + 2]))
    if order is None:
        return b""
    try:
        (offset,) = struct.unpack_from(order + "I", data, start + 4)
        for _ in range(2):  # the picture's directory, and the thumbnail's behind it
            if not offset:
                break
            (count,) = struct.unpack_from(order + "H", data, start + offset)
            first = start + offset + 2
            for entry in range(first, first + 12 * count, 12):
                if struct.unpack_from(order + "H", data, entry) == (_TAG,):
                    struct.pack_into(order + "HIHH", data, entry + 2, 3, 1, 1, 0)
            (offset,) = struct.unpack_from(order + "I", data, first + 12 * count)
    except struct.error:
        return b""
    return bytes(data)


def xmp_as_upright(xmp: bytes) -> bytes:
    """XMP data with its orientation set to 1."""
    return re.sub(_IN_XMP.encode(), rb"\g<1>1", xmp)


def text_as_upright(text: dict[str, str]) -> dict[str, str]:
    """Text entries with the orientation set to 1 in those that hold XMP or EXIF, as ImageMagick writes it, too."""
    return {key: _entry_as_upright(key, value) for key, value in text.items()}


def _entry_as_upright(key: str, value: str) -> str:
    if not key.startswith(_RAW):
        return re.sub(_IN_XMP, r"\g<1>1", value) if "xmp" in key.lower() else value
    # "\nexif\n      26\n" and hexadecimal digits in lines of 72.
    kind, _, digits = value.strip().partition("\n")
    try:
        data = bytes.fromhex("".join(digits.split()[1:]))
    except ValueError:
        return value
    data = exif_as_upright(data) or xmp_as_upright(data)
    hexadecimal = data.hex()
    lines = [hexadecimal[at : at + 72] for at in range(0, len(hexadecimal), 72)]
    return f"\n{kind}\n{len(data):8d}\n" + "\n".join(lines) + "\n"
