"""Reading and writing picture files: to tensors and back, keeping what a picture carries beside its colours."""

from __future__ import annotations

import io
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .errors import InputError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Picture:
    """A picture from a file.

    Attributes:
        image: ``(1, H, W, 3)`` float32 in [0, 1], composited over white where it was transparent.
        alpha: ``(H, W)`` uint8 if the file had transparency, so that saving can give it back; else None.
        text: the file's text entries (PNG chunks, EXIF user comment), by name.
        path: where it came from.
    """

    image: Tensor
    alpha: Tensor | None
    text: dict[str, str]
    path: Path
    info: dict[str, bytes] = field(default_factory=dict)


def load_picture(path: str | os.PathLike[str], content: bytes | None = None) -> Picture:
    """Read a picture file, upright (EXIF orientation applied).

    Args:
        path: the file.
        content: its bytes, where they lie elsewhere; ``path`` is only what it is called then.

    Raises:
        InputError: no such file, or not a readable picture.
    """
    import numpy as np
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(path)
    if content is None and not path.is_file():
        raise InputError(f"{path}: no such file.")
    try:
        with Image.open(path if content is None else io.BytesIO(content)) as file:
            text = _text_entries(file)
            info = {key: file.info[key] for key in ("icc_profile",) if file.info.get(key)}
            picture = _eight_bits(ImageOps.exif_transpose(file), path)
            has_alpha = "A" in picture.getbands() or "transparency" in picture.info
            pixels = np.asarray(picture.convert("RGBA" if has_alpha else "RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a readable picture ({error}).") from error
    colours = torch.from_numpy(pixels[..., :3].astype(np.float32) / 255.0)
    alpha = None
    if has_alpha:
        alpha = torch.from_numpy(pixels[..., 3].copy())
        share = (alpha.to(torch.float32) / 255.0).unsqueeze(-1)
        colours = colours * share + (1.0 - share)
    return Picture(image=colours.unsqueeze(0), alpha=alpha, text=text, path=path, info=info)


def save_picture(
    image: Tensor,
    path: str | os.PathLike[str],
    text: dict[str, str] | None = None,
    alpha: Tensor | None = None,
    icc_profile: bytes | None = None,
) -> Path:
    """Write one image ``(1, H, W, 3)`` or ``(H, W, 3)`` in [0, 1]; a half-written file never takes a good one's place.

    ``text`` goes into PNG text entries (other formats carry none). Folders are made. Returns the path.
    """
    import numpy as np
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    path = Path(path)
    single = image[0] if image.ndim == 4 else image
    pixels = (single.detach().to("cpu", torch.float32).clamp(0, 1) * 255.0).round().to(torch.uint8).numpy()
    keeps_alpha = path.suffix.lower() in (".png", ".webp", ".tif", ".tiff")
    if alpha is not None and keeps_alpha and tuple(alpha.shape) == pixels.shape[:2]:
        pixels = np.concatenate([pixels, alpha.numpy()[..., None]], axis=-1)
    picture = Image.fromarray(pixels)
    options: dict[str, Any] = {"icc_profile": icc_profile} if icc_profile else {}
    if path.suffix.lower() == ".png" and text:
        entries = PngInfo()
        for key, value in text.items():
            entries.add_itxt(key, value)
        options["pnginfo"] = entries
    elif path.suffix.lower() in (".jpg", ".jpeg", ".webp"):
        options["quality"] = 95
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not of the tempfile module: its files can only be read by their owner, and stay so under their final name.
    scratch = path.with_name(f".{path.stem}-{uuid.uuid4().hex}{path.suffix}")
    try:
        picture.save(scratch, **options)
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    return path


def find_pictures(paths: list[str]) -> list[Path]:
    """Expand files and folders (not searched deeper) to picture files, folders' content sorted by name.

    Raises:
        InputError: none of the paths exists, or a folder holds no picture. One of several that does not exist is given
            as it is: reading says what is wrong with it.
    """
    found: list[Path] = []
    missing = 0
    for name in paths:
        path = Path(name)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
            if not inside:
                raise InputError(f"{path}: the folder holds no picture ({', '.join(SUFFIXES)}).")
            found.extend(inside)
        elif path.is_file():
            found.append(path)
        else:
            found.append(path)
            missing += 1
    if missing and missing == len(found):
        raise InputError(f"{found[0]}: no such file or folder.")
    return found


def _eight_bits(picture: Image.Image, path: Path) -> Image.Image:
    """Bring grey pictures of 16 bits to 8; Pillow's own conversion would clip them to white.

    Raises:
        InputError: floating-point pixels, whose range nothing says.
    """
    import numpy as np
    from PIL import Image

    if picture.mode == "F":
        raise InputError(f"{path}: has floating-point pixels; save it with 8 or 16 bits.")
    if not picture.mode.startswith("I"):
        return picture
    return Image.fromarray((np.asarray(picture).astype(np.float64) / 257.0).round().clip(0, 255).astype(np.uint8))


def _text_entries(file: Image.Image) -> dict[str, str]:
    entries = {str(k): v for k, v in file.info.items() if isinstance(v, str)}
    exif = file.getexif()
    # ComfyUI's and A1111's JPEG and WebP writers put the prompt into EXIF: make, model, or the user comment.
    for tag in (0x010F, 0x0110, 0x010E):
        value = exif.get(tag)
        if isinstance(value, str) and ":" in value:
            key, _, rest = value.partition(":")
            entries.setdefault(key.strip().lower(), rest.strip())
    comment = exif.get_ifd(0x8769).get(0x9286)
    if isinstance(comment, bytes):
        entries.setdefault("parameters", _decode_user_comment(comment))
    return entries


def _decode_user_comment(comment: bytes) -> str:
    prefix, body = comment[:8], comment[8:]
    if prefix.startswith(b"UNICODE"):
        # The byte order is the writer's; a prompt's second byte tells, as its first letters are mostly ASCII.
        return body.decode("utf-16-be" if body[:1] == b"\0" else "utf-16-le", errors="replace").strip("\0")
    return (body if prefix.startswith((b"ASCII", b"\0")) else comment).decode("utf-8", errors="replace").strip("\0")
