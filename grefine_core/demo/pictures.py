"""The picture that the demonstration works on: a sample of the miniature world, or the user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import InputError
from ..metadata import prompt_from_metadata
from ..pictures import Picture, load_picture, marked, save_picture
from . import FOREIGN, INDEX, LARGEST_SIDE

if TYPE_CHECKING:
    from ..miniature.sample import Sample


#: Called with the picture's path and the files that are about to be written; what it raises stops that.
Before = Callable[[Path, Sequence[Path]], None]


@dataclass(frozen=True)
class Subject:
    """A picture, and what is known of it.

    Attributes:
        path: what the library reads, and what ComfyUI is sent.
        prompt: what the picture was meant to show.
        remarks: lines for people: what is wrong with it, or what to keep in mind.
        notes: those of them that belong into the report.
        files: other pictures of it that were written, by what they are.
    """

    path: Path
    prompt: str
    remarks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    files: tuple[tuple[str, Path], ...] = ()


def sample_subject(folder: Path, index: int = INDEX, before: Before | None = None) -> Subject:
    """Write a sample of the test split, the same picture without its defects, and the true mask of these.

    Raises:
        InputError: a negative index.
    """
    from ..miniature.generator import make_sample

    sample = make_sample("test", index)
    path = folder / f"miniature-{index}.png"
    files = {what: folder / f"{path.stem}.{what}.png" for what in ("clean", "truth")}
    if before is not None:
        before(path, [path, *files.values()])
    write_sample(sample, path)
    save_picture(_tensor(sample.clean), files["clean"])
    save_picture(_true_mask(sample), files["truth"], marked("truth"))
    return Subject(path, sample.caption.prompt, (in_words(sample),), files=tuple(files.items()))


def write_sample(sample: Sample, path: Path) -> Path:
    """Write a sample's picture as PNG, its prompt in its metadata."""
    return save_picture(_tensor(sample.image), path, {"parameters": sample.caption.prompt})


def own_subject(folder: Path, image: Path, prompt: str | None, before: Before | None = None) -> Subject:
    """Take the user's picture with its prompt: the given one, or that of its metadata. Of a large one a smaller copy is
    written, with the prompt in its metadata.

    Raises:
        InputError: no readable picture, or no prompt.
    """
    picture = load_picture(image)
    prompt = prompt if prompt is not None else prompt_from_metadata(picture.text)
    if prompt is None:
        raise InputError(f"{image}: no prompt. Give --prompt; the picture's metadata hold none.")
    height, width = picture.pixels.shape[:2]
    if max(height, width) <= LARGEST_SIDE:
        if before is not None:
            before(image, [])
        return Subject(image, prompt, (FOREIGN,), (FOREIGN,))
    path = folder / f"{image.stem}.png"
    if path.resolve() == image.resolve():
        path = folder / f"{image.stem}.copy.png"
    if before is not None:
        before(path, [path])
    pixels, alpha = _smaller(picture)
    save_picture(pixels, path, {"parameters": prompt}, alpha, picture.info.get("icc_profile"))
    smaller = f"Made smaller for the demonstration: {width}x{height} to {pixels.shape[2]}x{pixels.shape[1]}."
    notes = (smaller, *picture.notes, FOREIGN)
    return Subject(path, prompt, notes, notes)


def in_words(sample: Sample) -> str:
    """What is wrong with a sample, as it was made."""
    phrases = sample.caption.phrases
    found = []
    for defect in sample.defects:
        about = "" if defect.phrase is None else f' of "{" ".join(phrases[defect.phrase].words)}"'
        found.append(f"{defect.name.replace('_', ' ')}{about} ({defect.kind})")
    return f"Wrong with it, as it was drawn: {', '.join(found) or 'nothing'}."


def _tensor(pixels: Any) -> Tensor:
    return torch.from_numpy(pixels).to(torch.float32)


def _true_mask(sample: Sample) -> Tensor:
    """All that is wrong, white on black."""
    mask = torch.zeros(sample.image.shape[:2])
    for defect in sample.defects:
        mask = torch.maximum(mask, torch.from_numpy(defect.mask).to(torch.float32))
    return mask.unsqueeze(-1).expand(-1, -1, 3)


def _smaller(picture: Picture) -> tuple[Tensor, Tensor | None]:
    """The picture with ``LARGEST_SIDE`` as its longer side, ``(1, h, w, 3)`` over white, and its alpha ``(h, w)``."""
    import numpy as np
    from PIL import Image

    def resized(values: Any) -> Any:
        whole = Image.fromarray((values * 255.0).round().to(torch.uint8).numpy())
        whole.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
        return np.array(whole)

    image = torch.from_numpy(resized(picture.image[0]).astype(np.float32) / 255.0).unsqueeze(0)
    alpha = None if picture.alpha is None else torch.from_numpy(resized(picture.alpha / 255.0))
    return image, alpha
