"""The pictures that a calibration is made from: good ones, of which is known what they show and what they do not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ..alignment.texts import ContrastVocabulary
from ..errors import InputError, ModelFileError
from ..files import read_json
from ..pictures import load_picture
from ..prompt.syntax import parse_prompt

FOLDER = Path(__file__).with_name("reference")
TABLE = "reference.json"
KINDS = ("photograph", "drawing", "painting", "render")
SIDE = 512
"""Larger pictures are made smaller first: damage and encoder see no more."""
_ABSENT, _WRONG = 8, 3


@dataclass(frozen=True)
class ReferencePicture:
    """A good picture and what is known of it."""

    name: str
    load: Callable[[], Tensor]
    """Gives it as (H, W, 3) float32 in [0, 1]."""
    kind: str = ""
    """Of ``KINDS``; empty if it is not known."""
    caption: str = ""
    present: tuple[str, ...] = ()
    """Phrases of what is surely there."""
    absent: tuple[tuple[str, bool], ...] = ()
    """Nouns that are not there, and whether such a thing would be no surprise there."""
    wrong: tuple[str, ...] = ()
    """Phrases of things that are there with a modifier that is wrong."""
    bad: bool = False
    """A picture that a person marked as bad: only looked at to see whether it is found."""


@dataclass(frozen=True)
class Reference:
    """Pictures, and a name that changes with them."""

    pictures: tuple[ReferencePicture, ...]
    key: str

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def good(self) -> tuple[ReferencePicture, ...]:
        """Those that bounds are made from."""
        return tuple(picture for picture in self.pictures if not picture.bad)


def load_reference(folder: str | Path | None = None) -> Reference:
    """The reference pictures of a folder with ``reference.json``; None for those that come with the package.

    Raises:
        ModelFileError: the table or a picture is missing or damaged.
    """
    place = FOLDER if folder is None else Path(folder).expanduser()
    file = place / TABLE
    try:
        text = file.read_bytes()
        rows = read_json(file)["pictures"]
        pictures = tuple(_from_row(place, row) for row in rows)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(
            f"{file}: cannot be read as a table of reference pictures ({error}); install G-Refine again."
        ) from error
    if not pictures:
        raise ModelFileError(f"{file}: names no pictures.")
    missing = next((place / row["file"] for row in rows if not (place / row["file"]).is_file()), None)
    if missing is not None:
        raise ModelFileError(f"{missing}: a reference picture is missing; install G-Refine again.")
    return Reference(pictures, hashlib.blake2b(text, digest_size=8).hexdigest())


def _from_row(folder: Path, row: Mapping[str, Any]) -> ReferencePicture:
    file = folder / str(row["file"])
    return ReferencePicture(
        name=str(row["file"]),
        load=lambda: bounded_size(load_picture(file).image[0]),
        kind=str(row["kind"]),
        caption=str(row["caption"]),
        present=tuple(map(str, row["present"])),
        absent=tuple((str(each["noun"]), bool(each["related"])) for each in row["absent_nouns"]),
        wrong=tuple(str(each["phrase"]) for each in row["wrong_modifiers"]),
    )


def own_reference(
    samples: Iterable[tuple[Tensor, str | None]],
    vocabulary: ContrastVocabulary,
    bad: Sequence[Tensor] = (),
) -> Reference:
    """A reference from a user's own good pictures and their prompts.

    What a prompt names is there; nouns of the contrast vocabulary that no prompt names, and other modifiers of the same
    kind, are taken to be not. Pictures without a prompt count for perceptual quality alone.

    Args:
        samples: (picture (H, W, 3) or (1, H, W, 3), prompt or None).
        vocabulary: the model's.
        bad: pictures that a person marked as bad.

    Raises:
        InputError: no pictures.
    """
    pictures = []
    digest = hashlib.blake2b(digest_size=8)
    for number, (image, prompt) in enumerate(samples):
        picture = bounded_size(image[0] if image.ndim == 4 else image)
        digest.update(picture.contiguous().numpy().tobytes())
        digest.update((prompt or "").encode())
        phrases, absent, wrong = _from_prompt(prompt or "", vocabulary, number)
        pictures.append(
            ReferencePicture(f"picture {number + 1}", _held(picture), "", prompt or "", phrases, absent, wrong)
        )
    if not pictures:
        raise InputError("images: no good pictures to calibrate from.")
    for number, image in enumerate(bad):
        picture = bounded_size(image[0] if image.ndim == 4 else image)
        digest.update(picture.contiguous().numpy().tobytes())
        pictures.append(ReferencePicture(f"bad picture {number + 1}", _held(picture), bad=True))
    return Reference(tuple(pictures), digest.hexdigest())


def _held(picture: Tensor) -> Callable[[], Tensor]:
    return lambda: picture


def _from_prompt(
    prompt: str, vocabulary: ContrastVocabulary, number: int
) -> tuple[tuple[str, ...], tuple[tuple[str, bool], ...], tuple[str, ...]]:
    tree = parse_prompt(prompt)
    phrases = [tree.phrases[index] for index in tree.content]
    if not phrases:
        return (), (), ()
    words = frozenset(word.text for phrase in tree for word in phrase.words)
    others = vocabulary.other_nouns(phrases[0].head.text, words)
    # Others for each picture, so that all of the vocabulary has its turn.
    step = max(1, len(others) // _ABSENT)
    absent = tuple((noun, False) for noun in others[number % step :: step][:_ABSENT])
    wrong = []
    for phrase in phrases:
        for place, word in enumerate(phrase.words):
            kind = None if word == phrase.head else vocabulary.kind_of(word.text, word.tag)
            exchanged = () if kind is None else vocabulary.others_of_kind(word.text, kind, 1 + number % 5, words)
            if exchanged:
                parts = [other.text for other in phrase.words]
                parts[place] = exchanged[-1]
                wrong.append(" ".join(part for part in parts if part))
    return tuple(phrase.text for phrase in phrases), absent, tuple(wrong[:_WRONG])


def bounded_size(image: Tensor) -> Tensor:
    """The picture (H, W, 3) with no side over ``SIDE``, float32 on the CPU."""
    picture = image.detach().float().cpu()
    scale = SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = [max(1, round(side * scale)) for side in picture.shape[:2]]
    small = F.interpolate(
        picture.permute(2, 0, 1).unsqueeze(0), size=size, mode="bilinear", antialias=True, align_corners=False
    )
    return small[0].permute(1, 2, 0).clamp(0.0, 1.0).contiguous()
