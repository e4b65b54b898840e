"""Reading and writing picture files: to tensors and back, keeping what a picture carries beside its colours."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import pixels as png
from .errors import InputError
from .files import written_whole
from .metadata import prompt_from_metadata as prompt_from_metadata
from .metadata import text_entries
from .metadata.containers import without_large_texts
from .pixels import exif_as_upright, read_pixels, text_as_upright, upright, xmp_as_upright

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

logger = logging.getLogger(__name__)

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff")
#: Pictures, too, which are named when a folder of them is passed over.
_OTHER_SUFFIXES = (".heic", ".heif", ".jxl", ".jp2", ".psd", ".exr", ".hdr", ".tga", ".dds", ".ico", ".svg", ".dng")
#: By Pillow's name of a format, where the ending is another: for pictures that come without a file name.
_SUFFIX_OF = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}

MAX_PIXELS = 8192 * 8192
"""Larger pictures are refused before they are decoded: a small file may hold more than the memory does."""

MARK = "grefine"
"""Text entry of what is written here: the report in a refined picture; ``{"kind": …}`` in maps, masks and sheets."""

_XMP = "XML:com.adobe.xmp"
_ORIENTATION = 0x0112
#: Of a TIFF file's directory, which also says how the file is laid out, what belongs to the picture.
_TIFF_TAGS = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, 0x8769, 0x8825)


@dataclass(frozen=True)
class Picture:
    """A picture from a file.

    Attributes:
        image: ``(1, H, W, 3)`` float32 in [0, 1], composited over white where it was transparent.
        alpha: ``(H, W)`` uint8 if the file had transparency; else None.
        text: the file's text entries (PNG chunks, EXIF user comment), by name.
        path: where it came from, or what it is called.
        info: what else it carries, as it is for upright pixels: ``icc_profile``, ``exif``, ``xmp`` (bytes), ``dpi``,
            ``chunks`` (those of a PNG file that say how colours are meant).
        pixels: ``(H, W, 3 or 4)`` uint8 or uint16, upright: the file's own values with straight alpha.
        content: the bytes of the file.
        suffix: the ending of its name; of a picture that came without a file the usual one of its format.
        notes: sentences about what is not looked at, or not kept if the picture is changed.
    """

    image: Tensor
    alpha: Tensor | None
    text: dict[str, str]
    path: Path
    info: dict[str, Any]
    pixels: np.ndarray[Any, Any]
    content: bytes
    suffix: str
    notes: tuple[str, ...] = ()


def load_picture(path: str | os.PathLike[str], content: bytes | None = None) -> Picture:
    """Read a picture file, upright (orientation applied); of several frames the first.

    Args:
        path: the file.
        content: its bytes, where they lie elsewhere; ``path`` is only what it is called then.

    Raises:
        InputError: no such file, not a readable picture, more than ``MAX_PIXELS``, or pixels whose range nothing says.
    """
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    path, in_memory = Path(path), content is not None
    try:
        if content is None:
            if not path.is_file():
                raise InputError(f"{path}: no such file.")
            content = path.read_bytes()
        readable, left_out = without_large_texts(content)
        with Image.open(io.BytesIO(readable)) as file:
            _check_size(file.size)
            kind = file.format or ""
            # The further pictures of MPO are previews and depths of the first.
            several = getattr(file, "is_animated", False) and kind != "MPO"
            turn = _orientation(file)
            file.load()
            text = text_entries(file)
            # Pillow turns some formats while it loads them: what is left to do may be less.
            left = _orientation(file)
            turned = bool({turn, left} & set(range(2, 9)))
            pixels, profile, notes = read_pixels(file, readable)
            pixels = upright(pixels, left)
            info = _carried(file, readable, turned)
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path}: {error}.") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: not a readable picture (its format is not known here).") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: {_too_large('')}.") from error
    except Exception as error:  # decoders of damaged files raise whatever they like
        raise InputError(f"{path}: not a readable picture ({error}).") from error
    if left_out:
        notes.insert(0, f"Texts of the file are too long to be read, and are left out: {', '.join(left_out)}.")
        logger.warning("%s: %s", path, notes[0])
    if profile:
        info["icc_profile"] = profile
    if turned:
        text = text_as_upright(text)
    if several:
        notes.insert(0, "The file has several frames or pages; only the first is looked at.")
        logger.warning("%s: %s", path, notes[0])
    colours = torch.from_numpy(pixels[..., :3].astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max))
    alpha = None
    if pixels.shape[2] == 4:
        share = _share(pixels)
        colours = colours * share + (1.0 - share)
        alpha = (share[..., 0] * 255.0).round().to(torch.uint8)
    suffix = path.suffix
    if in_memory and suffix.lower() not in SUFFIXES:
        suffix = _SUFFIX_OF.get(kind, f".{kind.lower()}")
    return Picture(colours.unsqueeze(0), alpha, text, path, info, pixels, content, suffix, tuple(notes))


def save_picture(
    image: Tensor,
    path: str | os.PathLike[str],
    text: Mapping[str, str] | None = None,
    alpha: Tensor | None = None,
    icc_profile: bytes | None = None,
) -> Path:
    """Write one image ``(1, H, W, 3)`` or ``(H, W, 3)`` in [0, 1]; a half-written file never takes a good one's place.

    ``text`` goes into PNG text entries (other formats carry none). Where there is an ``alpha``, ``(H, W)`` uint8, the
    image is one composited over white, as ``load_picture`` gives it. Folders are made. Returns the path.
    """
    import numpy as np

    path = Path(path)
    colours = _on_cpu(image)
    keeps_alpha = path.suffix.lower() in (".png", ".webp", ".tif", ".tiff")
    if alpha is not None and keeps_alpha and alpha.shape == colours.shape[:2]:
        clear = np.zeros((*alpha.shape, 4), np.uint8)
        clear[..., 3] = alpha.numpy()
        pixels = _values(colours, clear)
    else:
        pixels = _values(colours, np.zeros(colours.shape, np.uint8))
    options: dict[str, Any] = {"icc_profile": icc_profile} if icc_profile else {}
    if path.suffix.lower() == ".png":
        options["pnginfo"] = _entries(text or {})
    elif path.suffix.lower() in (".jpg", ".jpeg", ".webp"):
        options["quality"] = 95
    return _write(pixels, path, options)


def save_like(picture: Picture, image: Tensor, path: str | os.PathLike[str], text: Mapping[str, str]) -> Path:
    """Write a changed ``picture`` as PNG, with all that was not changed: every pixel that is still that of
    ``picture.image`` exactly as in its file, its bits, alpha and colours under it, profile, EXIF, XMP and texts.

    Args:
        picture: what the image was made of.
        image: ``(1, H, W, 3)`` in [0, 1], of the same size.
        path: a name with the ending .png.
        text: further text entries.
    """
    colours = _on_cpu(image)
    pixels = _values(colours, picture.pixels)
    same = (colours == _on_cpu(picture.image)).all(dim=-1).numpy()
    pixels[same] = picture.pixels[same]
    info = picture.info
    texts = {key: value for key, value in picture.text.items() if key != "compression"}  # of TIFF files: how stored
    if "xmp" in info:
        texts.setdefault(_XMP, info["xmp"].decode("utf-8", "replace"))
    options = {key: info[key] for key in ("icc_profile", "exif", "dpi") if info.get(key)}
    options["pnginfo"] = _entries({**texts, **text}, info.get("chunks", ()))
    return _write(pixels, Path(path), options)


def save_result(picture: Picture, image: Tensor, changed: bool, path: str | os.PathLike[str], text: Any) -> Path:
    """Write what became of a picture: as ``save_like`` if it was changed, else the file itself, byte for byte.

    Args:
        picture: what the image was made of.
        image: ``(1, H, W, 3)`` in [0, 1], of the same size.
        changed: whether it is another one.
        path: the name without an ending: ``.png`` is added, or that of the file. Where this is the picture's own file,
            nothing is written.
        text: further text entries of a changed picture.

    Returns:
        The file.
    """
    if changed:
        return save_like(picture, image, f"{path}.png", text)
    target = Path(f"{path}{picture.suffix}")
    if not (target.exists() and picture.path.exists() and target.samefile(picture.path)):
        with written_whole(target) as scratch:
            scratch.write_bytes(picture.content)
    return target


def marked(kind: str) -> dict[str, str]:
    """The text entry by which a map, mask or sheet is known as such, and not taken for a picture to measure."""
    return {MARK: json.dumps({"kind": kind})}


def is_picture(path: Path) -> bool:
    """Whether a file of a folder is a picture, by its name; hidden ones (``._a.png`` of a Mac's disk) are none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def find_pictures(paths: Sequence[str | os.PathLike[str]], output: Path | None = None) -> list[Path]:
    """Expand files and folders (not searched deeper) to picture files, folders' content sorted by name.

    In folders hidden files are left out, and maps, masks and sheets that were written here; which files are passed over
    for their format is logged as a warning.

    Args:
        paths: files and folders.
        output: the folder of the results; refined pictures that lie in it are no inputs of another run.

    Raises:
        InputError: none of the paths exists, or a folder holds no picture. One of several that does not exist is given
            as it is: reading says what is wrong with it.
    """
    found: list[Path] = []
    missing = 0
    for name in paths:
        path = Path(name)
        if path.is_dir():
            found.extend(_inside(path, output is not None and output.is_dir() and output.samefile(path)))
        elif path.is_file():
            found.append(path)
        else:
            found.append(path)
            missing += 1
    if missing and missing == len(found):
        raise InputError(f"{found[0]}: no such file or folder.")
    return found


def _inside(folder: Path, is_output: bool) -> list[Path]:
    pictures, own = [], 0
    for path in sorted(path for path in folder.iterdir() if is_picture(path)):
        mark = _mark_of(path) if path.suffix.lower() == ".png" else None
        if mark is not None and (is_output or "kind" in mark):
            own += 1
        else:
            pictures.append(path)
    others = sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() in _OTHER_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if own:
        logger.warning("%s: passed over %d files that grefine wrote (maps, masks, sheets, results).", folder, own)
    if others:
        logger.warning(
            "%s: passed over %s, whose format is not read here; save them as PNG or JPEG.", folder, ", ".join(others)
        )
    if not pictures:
        rest = f" but {own} files that grefine wrote" if own else ""
        rest += f" but {', '.join(others)}, whose format is not read here" if others else ""
        raise InputError(f"{folder}: the folder holds no picture{rest} ({', '.join(SUFFIXES)}).")
    return pictures


def _mark_of(path: Path) -> dict[str, Any] | None:
    """What a PNG file's mark says; None without one. Nothing is decoded."""
    from PIL import Image

    try:
        with Image.open(path) as file:
            mark = json.loads(file.info[MARK]) if MARK in file.info else None
            return mark if isinstance(mark, dict) else None
    except Exception:  # whatever is wrong with it is said when it is read
        return None


def _too_large(size: str) -> str:
    side = int(MAX_PIXELS**0.5)
    return f"has {size}more than {MAX_PIXELS / 1e6:.0f} million pixels ({side}×{side}); make it smaller"


def _check_size(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise InputError(_too_large(f"{size[0]}×{size[1]}, "))


def _orientation(file: Image.Image) -> int | None:
    """As EXIF has it (1 to 8), or XMP; None if nothing says it, or damaged data."""
    try:
        found = file.getexif().get(_ORIENTATION)
    except Exception:  # a picture is not worse for what lies beside it
        return None
    return found if isinstance(found, int) else None


def _carried(file: Image.Image, content: bytes, turned: bool) -> dict[str, Any]:
    """What a file has beside pixels, profile and texts; none of it says that its pixels are to be turned."""
    info: dict[str, Any] = {key: file.info[key] for key in ("dpi",) if file.info.get(key)}
    exif, xmp = file.info.get("exif"), file.info.get("xmp")
    if file.format == "TIFF":
        exif = _exif_of_tiff(file)
    if isinstance(exif, bytes):
        info["exif"] = exif_as_upright(exif) if turned else exif
    if isinstance(xmp, bytes):
        info["xmp"] = xmp_as_upright(xmp) if turned else xmp
    info["chunks"] = png.colour_chunks(content)
    return info


def _exif_of_tiff(file: Image.Image) -> bytes | None:
    from PIL import Image

    try:
        own, kept = file.getexif(), Image.Exif()
        for tag in _TIFF_TAGS:
            value = own.get_ifd(tag) if tag in (0x8769, 0x8825) else own.get(tag)
            if value:
                kept[tag] = value
        return kept.tobytes() if kept else None
    except Exception as error:
        logger.info("EXIF data of a TIFF file cannot be read, and are left out (%s)", error)
        return None


def _on_cpu(image: Tensor) -> Tensor:
    """``(H, W, 3)`` float32 on the CPU."""
    return (image[0] if image.ndim == 4 else image).detach().to("cpu", torch.float32)


def _share(pixels: np.ndarray[Any, Any]) -> Tensor:
    """How opaque the pixels are, ``(H, W, 1)`` in [0, 1]."""
    import numpy as np

    return torch.from_numpy(pixels[..., 3:].astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max))


def _values(colours: Tensor, like: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Colours ``(H, W, 3)`` in [0, 1], composited over white, as pixels of the depth and with the alpha of ``like``."""
    import numpy as np

    if like.shape[2] == 4:
        share = _share(like)
        colours = torch.where(share > 0, (colours - (1.0 - share)) / share.clamp_min(1e-6), 0.0)
    values = (colours.clamp(0, 1) * float(np.iinfo(like.dtype).max)).round().numpy().astype(like.dtype)
    if like.shape[2] == 3:
        return values
    values = np.where(like[..., 3:] > 0, values, like[..., :3])
    return np.concatenate([values, like[..., 3:]], axis=2)


def _entries(text: Mapping[str, str], chunks: Sequence[tuple[bytes, bytes]] = ()) -> Any:
    """PNG text entries, each of the kind that it came as. A name that PNG has no letters for is left out."""
    from PIL.PngImagePlugin import PngInfo

    entries = PngInfo()
    for kind, data in chunks:
        entries.add(kind, data)
    for key, value in text.items():
        if not 0 < len(key.encode("latin-1", "ignore")) == len(key) < 80:
            continue
        add = entries.add_itxt if key == _XMP else entries.add_text
        try:
            add(key, value)
        except UnicodeEncodeError:  # half of a letter
            add(key, value.encode("utf-8", "backslashreplace").decode("utf-8"))
    return entries


def _write(pixels: np.ndarray[Any, Any], path: Path, options: dict[str, Any]) -> Path:
    import numpy as np
    from PIL import Image

    deep = pixels.dtype == np.uint16
    picture = Image.fromarray((pixels >> 8).astype(np.uint8) if deep else pixels)
    with written_whole(path) as scratch:
        if deep:
            coded = io.BytesIO()
            picture.save(coded, "PNG", **options)
            scratch.write_bytes(png.with_sixteen_bits(coded.getvalue(), pixels))
        else:
            picture.save(scratch, **options)
    return path
