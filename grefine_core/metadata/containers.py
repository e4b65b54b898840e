"""The texts that a picture file carries: PNG entries, EXIF, comments; in whatever encoding they were written."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..pixels import SIGNATURE, png_chunks

if TYPE_CHECKING:
    from PIL import Image

_EXIF_DIRECTORY, _USER_COMMENT, _XP_COMMENT = 0x8769, 0x9286, 0x9C9C
_DESCRIPTION, _MAKE, _MODEL, _SOFTWARE = 0x010E, 0x010F, 0x0110, 0x0131
#: A key that ComfyUI and others put before a text in EXIF's make, model or description: ``prompt:{…}``.
_KEY = re.compile(r"\s*([A-Za-z][\w -]{0,40}?)\s*:\s*(.*)", re.DOTALL)


def text_entries(file: Image.Image) -> dict[str, str]:
    """The text entries of an opened and loaded picture, by name; those of EXIF's user comment as ``parameters``."""
    entries = {str(key): value for key, value in file.info.items() if isinstance(value, str)}
    # Those behind the pixels, too. They are known once the picture is loaded, as it is.
    texts = getattr(file, "text", None)
    if isinstance(texts, dict):
        entries.update({str(key): value for key, value in texts.items() if isinstance(value, str)})
    comment = file.info.get("comment")
    if isinstance(comment, bytes):  # of JPEG and GIF files; PNG has a key of its own for it
        entries.setdefault("Comment", decoded(comment))
    try:
        exif = file.getexif()
        directory = exif.get_ifd(_EXIF_DIRECTORY)
    except Exception:  # a picture is not worse for what lies beside it
        return entries
    order = "utf-16-be" if exif.endian == ">" else "utf-16-le"
    # ComfyUI's and A1111's JPEG and WebP writers put the prompt into EXIF: make, model, or the user comment.
    for tag in (_MAKE, _MODEL, _DESCRIPTION):
        value = exif.get(tag)
        found = _KEY.fullmatch(value.strip("\0")) if isinstance(value, str) else None
        if found:
            entries.setdefault(found[1].lower(), found[2].strip())
        elif isinstance(value, str) and value.strip() and tag == _DESCRIPTION:
            entries.setdefault("Description", value.strip("\0"))
    if isinstance(exif.get(_SOFTWARE), str):
        entries.setdefault("Software", exif[_SOFTWARE])
    comment = _bytes(directory.get(_USER_COMMENT))
    if comment.strip(b"\0 "):
        entries.setdefault("parameters", decode_user_comment(comment, order))
    comment = _bytes(exif.get(_XP_COMMENT))
    if comment.strip(b"\0 "):
        entries.setdefault("parameters", comment.decode("utf-16-le", "replace").strip("\0"))
    return entries


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):  # stored as text: every letter is a byte
        return value.encode("latin-1", "replace")
    if isinstance(value, tuple) and all(isinstance(item, int) and 0 <= item < 256 for item in value):
        return bytes(value)
    return value if isinstance(value, bytes) else b""


# EXIF's user comment: eight letters that name the encoding, which writers do not always keep to, and the text.

_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16-be"), (b"\xff\xfe", "utf-16-le"))
_JAPANESE = ("iso2022_jp_3", "cp932", "euc_jp")
#: How much a text must look better, in bits, to be in another encoding than the one that is named.
_NAMED = 10.0
#: Greek, Cyrillic, Hebrew, Arabic, Devanagari, Thai, punctuation, arrows, kana, wide letters, emoji.
_IN_WIDE_USE = {
    0x03,
    0x04,
    0x05,
    0x06,
    0x09,
    0x0E,
    0x1E,
    0x20,
    0x21,
    0x26,
    0x27,
    0x30,
    0xFF,
    0x1F3,
    0x1F4,
    0x1F5,
    0x1F6,
    0x1F9,
}
#: How many of its bytes are looked at.
_LOOKED_AT = 4_000


def decode_user_comment(comment: bytes, order: str = "utf-16-be") -> str:
    """The text of a user comment.

    Args:
        comment: its bytes.
        order: of UTF-16, where the text itself does not tell: ``utf-16-be`` or ``utf-16-le``.
    """
    name, body = comment[:8], comment[8:]
    kind = name.rstrip(b"\0 ").upper() if len(name) == 8 else None
    if kind == b"UNICODE":
        return _likeliest(body, {"utf-16-be": 0.0, "utf-16-le": 0.0, "utf-8": _NAMED}, order)
    if kind == b"JIS":
        return _likeliest(body, {**dict.fromkeys(_JAPANESE, 0.0), "utf-8": _NAMED}, order)
    return decoded(body if kind in (b"ASCII", b"") else comment, order)


def decoded(body: bytes, order: str = "utf-16-be") -> str:
    """A text of no known encoding: UTF-8, UTF-16 or that of Western Windows."""
    return _likeliest(body, {"utf-8": 0.0, "utf-16-be": _NAMED, "utf-16-le": _NAMED, "cp1252": _NAMED}, order)


def _likeliest(body: bytes, encodings: dict[str, float], order: str) -> str:
    """The text in that encoding in which it looks most like one.

    Args:
        body: the bytes, perhaps with zeros behind them.
        encodings: each with the bits that speak against it.
        order: which of the two orders of bytes is taken if they look alike.
    """
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace").strip("\0")
    found: list[tuple[float, str]] = []
    for encoding, against in encodings.items():
        wide = encoding.startswith("utf-16")
        # What is cut within a character is no fault of the encoding; writers pad with zeros.
        whole = body[: len(body) // 2 * 2] if wide else body.rstrip(b"\0")
        try:
            text = whole.decode(encoding, "replace" if wide else "strict").strip("\0")
        except UnicodeDecodeError:
            continue
        if wide:
            against += (encoding != order) * 2.0 + (len(body) % 2) * 15.0
        found.append((against + _surprise(text[:_LOOKED_AT] if not wide else text[: _LOOKED_AT // 2]), text))
    return min(found)[1] if found else body.decode("utf-8", "replace").strip("\0")


def _surprise(text: str) -> float:
    """How unlikely a text is, in bits, roughly: letters strewn over all of Unicode, or in no use, are what the wrong
    encoding gives."""
    bits = 0.0
    alphabets: set[int] = set()
    for sign in text:
        code = ord(sign)
        if sign.isascii():
            bits += 4.5 if sign.islower() or sign in " \n" else 7.0 if sign.isprintable() or sign in "\r\t" else 40.0
        elif unicodedata.category(sign)[0] == "C" or sign == "\ufffd":
            bits += 40.0
        elif 0x3400 <= code <= 0x9FFF or 0xAC00 <= code <= 0xD7A3:
            common = any(_has(sign, encoding) for encoding in ("gb2312", "shift_jis", "euc_kr"))
            bits += 12.7 if common else 18.0
        elif code < 0x250:
            bits += 12.0
        else:
            bits += (7.0 if code >> 8 in alphabets else 14.0) + (code >> 8 not in _IN_WIDE_USE) * 10.0
            alphabets.add(code >> 8)
    return bits


def _has(sign: str, encoding: str) -> bool:
    try:
        sign.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


# PNG entries beyond what is read.


def without_large_texts(content: bytes) -> tuple[bytes, list[str]]:
    """The bytes of a PNG file without the text entries that Pillow refuses to read for their size: a few bytes of
    compressed text may be gigabytes.

    Returns:
        (the bytes, names of the entries left out); the same bytes if there are none.
    """
    if not content.startswith(SIGNATURE):
        return content, []
    from PIL import PngImagePlugin

    most, left = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
    kept, dropped = [SIGNATURE], []
    at = len(SIGNATURE)
    for kind, data in png_chunks(content):
        end = at + 12 + len(data)
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            size = _TEXT_SIZES[kind](data, most)
            if size is None or size > left:
                name = data.partition(b"\0")[0].decode("latin-1")
                dropped.append(name[:79])
                at = end
                continue
            left -= size
        kept.append(content[at:end])
        at = end
    if not dropped:
        return content, []
    return b"".join(kept) + content[at:], dropped


def _compressed(data: bytes, most: int) -> int | None:
    """How long a compressed text is; None if longer than ``most``."""
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(data, most)
    except zlib.error:
        return 0
    return None if unpacking.unconsumed_tail else len(text)


def _of_itxt(data: bytes, most: int) -> int | None:
    name, _, rest = data.partition(b"\0")
    if rest[:2] != b"\x01\0":
        return len(data) - len(name)
    return _compressed(rest[2:].partition(b"\0")[2].partition(b"\0")[2], most)


_TEXT_SIZES: dict[bytes, Callable[[bytes, int], int | None]] = {
    b"tEXt": lambda data, most: len(data),  # noqa: ARG005
    b"zTXt": lambda data, most: _compressed(data.partition(b"\0")[2][1:], most),
    b"iTXt": _of_itxt,
}
