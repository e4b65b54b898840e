"""PASD among the restorers: its options, and how it is loaded from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ...memory import empty_cache
from ...models.files import file_identity
from ...refine.protocols import Restorer
from ..entry import Entry, Option, Placement, paths
from .loading import load_pasd
from .model import PasdSettings
from .restorer import PasdRestorer

_PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
_OPTIONS = (
    Option(
        "weights",
        Path,
        "PASD's weights as published: a variant or its checkpoint-N",
        metavar="FOLDER",
        flag="pasd",
        needed="the folder of PASD's weights (grefine models list: pasd-unet, pasd-controlnet)",
    ),
    Option(
        "base",
        Path,
        "Stable Diffusion 1.5 for PASD: a diffusers folder or a checkpoint file",
        metavar="PATH",
        needed="Stable Diffusion 1.5 (a diffusers folder or a checkpoint file, or see sd15-checkpoint there)",
    ),
    Option("personalised", Path, "Stable Diffusion 1.5 whose UNet goes under PASD's", metavar="PATH"),
    Option("precision", str, "auto: fp16, on the CPU fp32", default="auto", choices=("auto", *_PRECISIONS)),
    Option("color", str, "how colours are kept; default: wavelet", choices=("wavelet", "adain", "none")),
    Option("guidance_scale", float, "how strictly the prompt is followed; default: 9", metavar="NUMBER"),
    Option(
        "conditioning_scale", float, "how closely the picture's own pixels are followed; default: 1", metavar="NUMBER"
    ),
    Option(
        "process_size",
        int,
        "pictures with a shorter side below this are enlarged for the work; default: 768",
        metavar="PX",
    ),
    Option(
        "tile_size",
        int,
        "larger pictures are worked on in tiles of so many times 8 pixels; default: 320",
        metavar="CELLS",
    ),
    Option(
        "added_noise_level",
        int,
        "timestep of the second noising at strength 1, -1 for none; default: 900",
        metavar="STEP",
    ),
    Option("added_prompt", str, "words appended to every prompt", metavar="TEXT"),
    Option("negative_prompt", str, "what the pictures should not show", metavar="TEXT"),
)


def settings(**options: Any) -> PasdSettings:
    """``PasdSettings`` of the options; what they do not say is as published.

    Raises:
        InputError: a value out of range.
    """
    files = {option.name for option in paths(_OPTIONS)} | {"precision"}
    chosen = {name: value for name, value in options.items() if name not in files}
    if chosen.get("added_noise_level") == -1:
        chosen["added_noise_level"] = None
    return PasdSettings(**chosen)


def _check(**options: Any) -> None:
    settings(**options)


def _identity(**options: Any) -> str:
    files = [file_identity(Path(options[option.name])) for option in paths(_OPTIONS) if options.get(option.name)]
    return f"{files} {options['precision']} {settings(**options)}"


def _load(
    weights: str,
    base: str,
    personalised: str | None = None,
    precision: str = "auto",
    *,
    place: Placement,
    **options: Any,
) -> Restorer:
    automatic = torch.float32 if torch.device(place.device).type == "cpu" else torch.float16
    offload = place.offload != "none"
    model = load_pasd(
        weights,
        base,
        personalised=personalised,
        dtype=_PRECISIONS.get(precision, automatic),
        device="cpu" if offload else place.device,
    )
    restorer = PasdRestorer(model, settings(**options))
    return _Offloaded(restorer, place.device) if offload else restorer


class _Offloaded:
    """A restorer whose networks are on the device only during a call, so that the pipeline has the memory otherwise."""

    def __init__(self, restorer: PasdRestorer, device: str) -> None:
        self._restorer, self._device = restorer, device
        self.size_multiple, self.min_side = restorer.size_multiple, restorer.min_side

    def restore(self, image: torch.Tensor, **options: Any) -> torch.Tensor:
        """Restore a whole picture; see the protocol."""
        try:
            self._restorer.model.to(self._device)
            return self._restorer.restore(image, **options)
        finally:
            self._restorer.model.to("cpu")
            empty_cache()


PASD: Entry[Restorer] = Entry(
    "pasd",
    "PASD",
    "PASD, the paper's restorer",
    _load,
    options=_OPTIONS,
    check=_check,
    identity=_identity,
    node="Load PASD",
)
