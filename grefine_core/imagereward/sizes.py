"""How large an ImageReward network is: the published one, or a smaller one that says so beside its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..errors import InputError, ModelFileError
from ..json_reading import read_json

FORMAT = "grefine-imagereward-1"
LARGEST, MOST_LAYERS = 1 << 24, 256
"""Beyond any network; one is built from its sizes before its weights are looked at."""


@dataclass(frozen=True)
class Sizes:
    """Widths, depths and numbers of heads; the defaults are the published network's (BLIP, ViT-L/16 and BERT-base).

    Raises:
        InputError: a size below 1, or widths that the heads do not divide.
    """

    image_size: int = 224
    patch_size: int = 16
    vision_width: int = 1024
    vision_layers: int = 24
    vision_heads: int = 16
    vision_mlp: int = 4096
    text_width: int = 768
    text_layers: int = 12
    text_heads: int = 12
    text_mlp: int = 3072
    vocabulary: int = 30524
    """bert-base-uncased's 30522 tokens, then ``[DEC]`` and ``[ENC]``."""
    positions: int = 512
    text_length: int = 35
    """Tokens of a text at most, with start and end; longer ones are cut."""
    joint_width: int = 256

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            most = MOST_LAYERS if "layers" in name else LARGEST
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise InputError(f"sizes: {name} has to be a whole number from 1 to {most}, got {value!r:.100}.")
        if self.vision_width % self.vision_heads or self.text_width % self.text_heads:
            raise InputError("sizes: the widths have to be multiples of the numbers of heads.")
        if self.image_size % self.patch_size:
            raise InputError("sizes: image_size has to be a multiple of patch_size.")
        if self.text_length > self.positions:
            raise InputError("sizes: text_length may not be above positions.")

    @property
    def side(self) -> int:
        """Patches in a row, and in a column."""
        return self.image_size // self.patch_size

    def save(self, weights: str | Path) -> Path:
        """Write them as ``<stem>.json`` beside a weight file, where loading finds them; returns that path."""
        file = Path(weights).with_suffix(".json")
        part = file.with_name(file.name + ".part")
        part.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=2) + "\n", encoding="utf-8")
        part.replace(file)
        return file


PUBLISHED = Sizes()


def sizes_of(weights: Path) -> Sizes:
    """The sizes in ``<stem>.json`` beside a weight file; the published ones where there is no such file.

    Raises:
        ModelFileError: it is damaged, or about something else.
    """
    file = weights.with_suffix(".json")
    if not file.is_file():
        return PUBLISHED
    try:
        content = read_json(file)
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{file}: cannot be read as JSON ({error}); take it away, or write it anew.") from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ModelFileError(
            f"{file}: lies beside {weights.name}, but does not name the sizes of an ImageReward network ({FORMAT}). "
            "Give the published weights a folder of their own."
        )
    known = {field.name for field in fields(Sizes)}
    if unknown := sorted(set(content) - known):
        raise ModelFileError(f"{file}: unknown sizes {', '.join(unknown)}; it may have {', '.join(sorted(known))}.")
    try:
        return Sizes(**content)
    except (InputError, TypeError) as error:
        raise ModelFileError(f"{file}: is damaged ({error}).") from error
