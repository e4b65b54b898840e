"""The pixels of an opened picture file as RGB or RGBA, with all bits that can be had, and what could not be kept."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


# How a picture file says that it is to be turned, and how it stops saying so once its pixels are upright.

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


# What Pillow cannot do with PNG files: 16 bits a channel, and the chunks that say how colours are meant.

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_OF_COLOURS = (b"cHRM", b"gAMA", b"sRGB", b"cICP")


def has_sixteen_bits(content: bytes) -> bool:
    """Whether these are the bytes of a PNG file with 16 bits a channel."""
    return content.startswith(SIGNATURE) and content[24:25] == b"\x10"


def read_sixteen_bits(content: bytes) -> np.ndarray[Any, Any] | None:
    """The channels of such a file as they are stored, ``(H, W, C)`` uint16; None where this torchvision cannot."""
    import torch

    try:
        from torchvision.io import decode_png

        planes = decode_png(torch.frombuffer(bytearray(content), dtype=torch.uint8))
    except (ImportError, RuntimeError):
        return None
    return planes.permute(1, 2, 0).contiguous().numpy() if planes.dtype == torch.uint16 else None


def colour_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG file that tell how its colours are meant, but the profile; none of other files."""
    if not content.startswith(SIGNATURE):
        return []
    return [(kind, data) for kind, data in png_chunks(content) if kind in _OF_COLOURS]


def with_sixteen_bits(content: bytes, pixels: np.ndarray[Any, Any]) -> bytes:
    """A PNG file of 8 bits, not interlaced, with other pixels of 16: ``(H, W, 3 or 4)`` uint16, as many channels."""
    import numpy as np

    height = pixels.shape[0]
    rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    step = 2 * pixels.shape[2]
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = 1  # "Sub": every byte less the one of the pixel to its left
    filtered[:, 1 : 1 + step] = rows[:, :step]
    filtered[:, 1 + step :] = rows[:, step:] - rows[:, :-step]
    out, data = [SIGNATURE], zlib.compress(filtered.tobytes())
    for kind, body in png_chunks(content):
        if kind == b"IHDR":
            out.append(_chunk(kind, body[:8] + b"\x10" + body[9:]))
        elif kind == b"IDAT":
            out.append(_chunk(kind, data) if data else b"")
            data = b""
        else:
            out.append(_chunk(kind, body))
    return b"".join(out)


def png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of the chunks of a PNG file; the last may be cut short."""
    at = len(SIGNATURE)
    while at + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        yield content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        at += 12 + length


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


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
    return _eight_bits(file, content) if pixels is None else pixels, profile if space == "RGB" else None, notes


def _eight_bits(file: Image.Image, content: bytes) -> np.ndarray[Any, Any]:
    import numpy as np

    clear = file.info.get("transparency")
    if file.mode == "L" and isinstance(clear, int) and content.startswith(SIGNATURE) and content[24] in (2, 4):
        # Pillow scales such grey values to 8 bits, but not the one that is transparent.
        file.info["transparency"] = clear * (255 // ((1 << content[24]) - 1))
    transparent = file.mode in ("LA", "La", "PA", "RGBA", "RGBa") or clear is not None
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
    elif has_sixteen_bits(content):
        pixels = read_sixteen_bits(content)
    if pixels is None:
        bits = getattr(file, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
        if has_sixteen_bits(content) or max(bits if isinstance(bits, tuple) else (bits,)) > 8:
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
