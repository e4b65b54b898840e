"""Prompts of PQ-Map without opinions: from good pictures and copies of them that are damaged more or less.

The strength of the damage is the label of its factor, so that no person has to rate anything; the image encoder stays
as it is, as in the paper. The idea: QualiCLIP (arXiv 2403.11176).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from grefine_core.calibration.damage import DAMAGES, SIZES, damage
from grefine_core.checks import number, whole_number
from grefine_core.clip.embeddings import FACTORS
from grefine_core.clip.surgery import DEFAULT_BLOCKS
from grefine_core.errors import InputError

from .feature_store import Features, Progress, build_features
from .fingerprint import model_fingerprint
from .launch import Launch
from .options import PromptTuningOptions
from .precision import Precision
from .prompt_tuning import EpochEnd, TunedPrompts, tune_prompts
from .targets import Targets

#: Words to start from, a weight for the map, bounds under which few good pictures fall.
DEFAULTS = PromptTuningOptions(
    epochs=60,
    learning_rate=2e-2,
    patch_weight=1.0,
    patch_target="presence",
    pool_share=0.08,
    measure_bounds="quantile",
    bound_quantile=0.2,
    start="words",
)
COPIES = 4500
"""Crops, flips and damaged copies that are made of however few pictures."""
_CLEAN = 0.25
_LOCAL = 0.6
_LOCAL_LABEL = 0.6
"""Of the label of damage everywhere, what the same in one place comes to."""
_FACTORS = FACTORS[1:]


@dataclass(frozen=True)
class Copies:
    """``count`` copies of good pictures, each always the same by its number."""

    read: Callable[[int], Tensor]
    """Number of a good picture -> (H, W, 3) float32 in [0, 1]."""
    pictures: int
    count: int = COPIES
    seed: int = 0
    name: str = ""
    """Of the pictures: copies of others are others."""

    def __post_init__(self) -> None:
        whole_number(self.count, "copies", 8, 1 << 20)
        if whole_number(self.pictures, "images", 0, 1 << 30) < 2:
            raise InputError(f"images: {self.pictures} good pictures; give two or more, better fifty.")

    @property
    def keys(self) -> list[str]:
        """One name for each copy."""
        return [f"copy-{number}" for number in range(self.count)]

    @property
    def sources(self) -> Tensor:
        """(count,) of which picture each is made: those of one picture train, or validate, together."""
        return torch.arange(self.count) * self.pictures // self.count

    def images(self, keys: Sequence[str]) -> Iterator[Tensor]:
        """The copies of these names."""
        sources = self.sources.tolist()
        source, picture = -1, torch.empty(0)
        for place in (int(key.rsplit("-", 1)[1]) for key in keys):
            if sources[place] != source:
                source = sources[place]
                picture = self.read(source)
            yield self._made(place, picture)

    def targets(self) -> Targets:
        """Labels of all factors, 1 is good; that of the overall one is their product."""
        rows = torch.tensor([self._drawn(number)[1] for number in range(self.count)], dtype=torch.float32)
        factors = {name: rows[:, place] for place, name in enumerate(_FACTORS)}
        return Targets({"overall": rows.prod(dim=1), **factors})

    def _drawn(self, number: int) -> tuple[list[tuple[str, float, bool, int]], list[float], torch.Generator]:
        """Its damages (name, strength, local, size), its labels, and the generator of all else."""
        draws = torch.Generator().manual_seed((self.seed * 1_000_003 + number) % (1 << 63))

        def chance() -> float:
            return float(torch.rand((), generator=draws))

        labels = [1.0] * len(_FACTORS)
        damages: list[tuple[str, float, bool, int]] = []
        names = list(DAMAGES)
        for _ in range(0 if chance() < _CLEAN else 1 + (chance() < 0.3)):
            name = names[int(chance() * len(names))]
            strength, local = 0.1 + 0.9 * chance(), chance() < _LOCAL
            size = SIZES[int(chance() * 2)]
            damages.append((name, strength, local, size))
            place = _FACTORS.index(DAMAGES[name][0])
            labels[place] *= 1.0 - strength * (_LOCAL_LABEL if local else 1.0)
        return damages, labels, draws

    def _made(self, number: int, picture: Tensor) -> Tensor:
        damages, _, draws = self._drawn(number)
        image = _view(picture, draws)
        for name, strength, local, size in damages:
            image = damage(image, name, size=size, local=local, strength=strength, generator=draws).image
        return image


def _view(picture: Tensor, draws: torch.Generator) -> Tensor:
    """A crop of 60 to 100 % of each side, flipped every other time."""
    shares = 0.6 + 0.4 * torch.rand(2, generator=draws)
    height, width = (max(8, int(side * share)) for side, share in zip(picture.shape[:2], shares.tolist(), strict=True))
    height, width = min(height, picture.shape[0]), min(width, picture.shape[1])
    offsets = torch.rand(3, generator=draws).tolist()
    top, left = int(offsets[0] * (picture.shape[0] - height + 1)), int(offsets[1] * (picture.shape[1] - width + 1))
    crop = picture[top : top + height, left : left + width]
    return crop.flip(1) if offsets[2] < 0.5 else crop


def learn_without_opinions(
    clip: nn.Module,
    copies: Copies,
    work: Path,
    options: PromptTuningOptions = DEFAULTS,
    *,
    tokenizer: object = None,
    resolution: int | None = None,
    blocks: int = DEFAULT_BLOCKS,
    precision: Precision = "float32",
    launch: Launch | None = None,
    progress: Progress | None = None,
    epoch_end: EpochEnd | None = None,
) -> TunedPrompts:
    """Make the copies, encode them, and tune the prompts of PQ-Map on the strength of their damage.

    Args:
        clip: the open_clip model; not changed.
        copies: of the good pictures.
        work: folder of features and checkpoint; whatever of them is there is used.
        options: of the prompt tuning.
        tokenizer: texts -> token ids (n, 77); None for CLIP's own.
        resolution: side to encode at, pixels; None for the model's own.
        blocks: last blocks with V-V attention.
        precision: of the encoder's products.
        launch: this process among several.
        progress: called with (encoded, copies).
        epoch_end: called after each epoch; may raise to stop.

    Returns:
        The prompts of the epoch with the best SROCC on copies of pictures that were held back.
    """
    name = _short(copies.name, copies.pictures, copies.count, copies.seed)
    features: Features = build_features(
        work / f"features-self-{name}",
        clip,
        copies.keys,
        copies.images,
        patches=options.patch_weight > 0,
        resolution=resolution,
        blocks=blocks,
        precision=precision,
        launch=launch,
        progress=progress,
    )
    share = number(options.validation_share, "validation_share", 0.0, 0.9)
    count = max(1, round(share * copies.pictures)) if share else 0
    # Whole pictures are held back: another crop of one that was trained on says little.
    chosen = torch.randperm(copies.pictures, generator=torch.Generator().manual_seed(options.seed))[:count]
    held_back = torch.isin(copies.sources, chosen).nonzero().flatten()
    return tune_prompts(
        clip,
        features,
        copies.targets(),
        options,
        tokenizer=tokenizer,
        held_back=held_back if len(held_back) else None,
        checkpoint=work / f"checkpoint-self-{_short(name, model_fingerprint(clip), options)}.safetensors",
        epoch_end=epoch_end,
    )


def _short(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=4).hexdigest()
