"""The picture that the demonstration works on: a sample of the miniature world, or the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import InputError
from ..metadata import prompt_from_metadata
from ..pictures import load_picture, save_picture
from . import FOREIGN, INDEX, LARGEST_SIDE

if TYPE_CHECKING:
    from ..miniature.sample import Sample


@dataclass(frozen=True)
class Subject:
    """A picture in the output folder, and what is known of it.

    Attributes:
        path: a PNG file with the prompt in its metadata: what the library reads, and what ComfyUI is sent.
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


def sample_subject(folder: Path, index: int = INDEX) -> Subject:
    """Write a sample of the test split, the same picture without its defects, and the true mask of these.

    Raises:
        InputError: a negative index.
    """
    from ..miniature.generator import make_sample

    sample = make_sample("test", index)
    name = f"miniature-{index}"
    path = write_sample(sample, folder / f"{name}.png")
    files = {"clean": _tensor(sample.clean), "truth": _true_mask(sample)}
    written = tuple((what, save_picture(image, folder / f"{name}.{what}.png")) for what, image in files.items())
    return Subject(path, sample.caption.prompt, (in_words(sample),), files=written)


def write_sample(sample: Sample, path: Path) -> Path:
    """Write a sample's picture as PNG, its prompt in its metadata."""
    return save_picture(_tensor(sample.image), path, {"parameters": sample.caption.prompt})


def own_subject(folder: Path, image: Path, prompt: str | None) -> Subject:
    """Take the user's picture, smaller if it is large, with its prompt: the given one, or that of its metadata.

    Raises:
        InputError: no readable picture, or no prompt.
    """
    picture = load_picture(image)
    prompt = prompt if prompt is not None else prompt_from_metadata(picture.text)
    if prompt is None:
        raise InputError(f"{image}: no prompt. Give --prompt; the picture's metadata hold none.")
    height, width = picture.image.shape[1:3]
    notes = [FOREIGN]
    pixels = picture.image
    if max(height, width) > LARGEST_SIDE:
        pixels = _smaller(pixels)
        notes.insert(0, f"Made smaller for the demonstration: {width}x{height} to {pixels.shape[2]}x{pixels.shape[1]}.")
    path = folder / f"{image.stem}.png"
    if path.resolve() == image.resolve():
        path = folder / f"{image.stem}.copy.png"
    save_picture(pixels, path, {"parameters": prompt})
    return Subject(path, prompt, tuple(notes), tuple(notes))


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


def _smaller(image: Tensor) -> Tensor:
    """The picture with ``LARGEST_SIDE`` as its longer side."""
    import numpy as np
    from PIL import Image

    pixels = Image.fromarray((image[0] * 255.0).round().to(torch.uint8).numpy())
    pixels.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(pixels).astype(np.float32) / 255.0).unsqueeze(0)
