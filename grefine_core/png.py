"""What Pillow cannot do with PNG files: 16 bits a channel, and the chunks that say how colours are meant."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

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
    return [(kind, data) for kind, data in _chunks(content) if kind in _OF_COLOURS]


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
    for kind, body in _chunks(content):
        if kind == b"IHDR":
            out.append(_chunk(kind, body[:8] + b"\x10" + body[9:]))
        elif kind == b"IDAT":
            out.append(_chunk(kind, data) if data else b"")
            data = b""
        else:
            out.append(_chunk(kind, body))
    return b"".join(out)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        yield content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        at += 12 + length


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
