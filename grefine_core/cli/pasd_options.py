"""Stage 2 by PASD: its options, and loading it for ``refine``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from . import common

RESTORERS = ("pipeline", "pasd")
#: Options and the attributes of ``PasdSettings`` that they set.
_SETTINGS = {
    "guidance_scale": (float, "NUMBER", "how strictly the prompt is followed; default: 9"),
    "conditioning_scale": (float, "NUMBER", "how closely the picture's own pixels are followed; default: 1"),
    "process_size": (int, "PX", "pictures with a shorter side below this are enlarged for the work; default: 768"),
    "tile_size": (int, "CELLS", "larger pictures are worked on in tiles of so many times 8 pixels; default: 320"),
    "added_noise_level": (int, "STEP", "timestep of the second noising at strength 1, -1 for none; default: 900"),
    "added_prompt": (str, "TEXT", "words appended to every prompt"),
    "negative_prompt": (str, "TEXT", "what the pictures should not show"),
}


def add_restorer_options(parser: argparse.ArgumentParser) -> None:
    """Who does stage 2."""
    group = parser.add_argument_group("stage 2")
    group.add_argument(
        "--restorer",
        choices=RESTORERS,
        default="pipeline",
        help="pipeline: the inpainting pipeline's own weights; pasd: PASD, the paper's restorer",
    )
    group.add_argument("--pasd", metavar="FOLDER", help="PASD's weights as published: a variant or its checkpoint-N")
    group.add_argument(
        "--pasd-base", metavar="PATH", help="Stable Diffusion 1.5 for PASD: a diffusers folder or a checkpoint file"
    )
    group.add_argument("--pasd-personalised", metavar="PATH", help="Stable Diffusion 1.5 whose UNet goes under PASD's")
    group.add_argument(
        "--pasd-precision",
        choices=("auto", "fp16", "bf16", "fp32"),
        default="auto",
        help="auto: fp16, on the CPU fp32",
    )
    group.add_argument(
        "--pasd-color", choices=("wavelet", "adain", "none"), help="how colours are kept; default: wavelet"
    )
    for name, (kind, metavar, text) in _SETTINGS.items():
        group.add_argument(f"--pasd-{name.replace('_', '-')}", type=kind, metavar=metavar, help=text)


def check_restorer_options(arguments: argparse.Namespace) -> None:
    """Find out what is missing before any model is loaded.

    Raises:
        InputError: PASD without its weights or its base, options of PASD without PASD, or a value out of range.
    """
    given = [name for name, value in vars(arguments).items() if name.startswith("pasd") and value not in (None, "auto")]
    if arguments.restorer != "pasd":
        if given:
            raise InputError(f"--{given[0].replace('_', '-')}: is PASD's; add --restorer pasd.")
        return
    for name, what in (
        ("pasd", "the folder of PASD's weights (grefine models list: pasd-unet, pasd-controlnet)"),
        ("pasd_base", "Stable Diffusion 1.5 (a diffusers folder or a checkpoint file, or see sd15-checkpoint there)"),
    ):
        if not getattr(arguments, name):
            raise InputError(f"--{name.replace('_', '-')}: --restorer pasd needs {what}.")
    settings(arguments)


def settings(arguments: argparse.Namespace) -> Any:
    """``PasdSettings`` of the options; what they do not say is as published.

    Raises:
        InputError: a value out of range.
    """
    from ..engines.pasd.model import PasdSettings

    names = (*_SETTINGS, "color")
    chosen = {name: value for name in names if (value := getattr(arguments, f"pasd_{name}")) is not None}
    if chosen.get("added_noise_level") == -1:
        chosen["added_noise_level"] = None
    return PasdSettings(**chosen)


def identity(arguments: argparse.Namespace) -> str:
    """What tells results by these weights and settings from results by others, as long as the files are not edited."""
    from ..models.files import file_identity

    named = (arguments.pasd, arguments.pasd_base, arguments.pasd_personalised)
    files = [file_identity(Path(name)) for name in named if name]
    return f"{files} {arguments.pasd_precision} {settings(arguments)}"


def load_restorer(arguments: argparse.Namespace) -> Any:
    """PASD as the options ask for it; with ``--offload`` it is on the device only while it works.

    Raises:
        ModelFileError: files that are missing, damaged or of another model.
    """
    import torch

    from ..engines.pasd import load_pasd
    from ..engines.pasd.restorer import PasdRestorer

    types = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
    device = common.pick_device(arguments.device)
    types["auto"] = torch.float32 if torch.device(device).type == "cpu" else torch.float16
    offload = arguments.offload != "none"
    model = load_pasd(
        arguments.pasd,
        arguments.pasd_base,
        personalised=arguments.pasd_personalised,
        dtype=types[arguments.pasd_precision],
        device="cpu" if offload else device,
    )
    restorer = PasdRestorer(model, settings(arguments))
    return _Offloaded(restorer, device) if offload else restorer


class _Offloaded:
    """A restorer whose networks are on the device only during a call, so that the pipeline has the memory otherwise."""

    def __init__(self, restorer: Any, device: str) -> None:
        self._restorer, self._device = restorer, device
        self.size_multiple, self.min_side = restorer.size_multiple, restorer.min_side

    def restore(self, image: Any, **options: Any) -> Any:
        """Restore a whole picture; see the protocol."""
        from ..memory import empty_cache

        try:
            self._restorer.model.to(self._device)
            return self._restorer.restore(image, **options)
        finally:
            self._restorer.model.to("cpu")
            empty_cache()
