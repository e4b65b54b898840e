"""``--miniature``: a command with the small models that come along, and with what was decided for their world."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..miniature.world import GROUNDS, SIDE, THINGS
from ..regions import RegionOptions
from . import common, options

if TYPE_CHECKING:
    from ..clip.quality_model import QualityModel
    from ..miniature.loading import Choices

MODELS = (
    "The models are the small ones of the miniature world, trained on drawn pictures of 128 pixels: coloured shapes "
    "and a few things. They know nothing else."
)
#: Of ``--guidance-scale`` where the models are large ones.
GUIDANCE = 7.0

#: Options of the command that the miniature world has values of its own for.
_MASKS = ("merge", "method", "threshold", "top", "grow", "feather")
_PLAN = (
    "mode",
    "steps",
    "stage1_min",
    "stage1_max",
    "stage2_strength",
    "perceptual_bar",
    "alignment_bar",
    "region_bar",
)

#: All of them.
UNNAMED = (
    *(*_MASKS, *_PLAN, "formula", "scoring", "aggregate", "tolerance"),
    *("masks_from", "most_phrases", "max_area", "guard_rule", "attempts"),
)


def add_option(parser: argparse.ArgumentParser) -> None:
    """``--miniature``, after all other options of the command."""
    parser.add_argument(
        "--miniature",
        action="store_true",
        help="use the small models that come along, nothing is to be downloaded; they know drawn pictures alone, such "
        "as those of 'grefine demo'",
    )
    # What is not named is as everywhere, or as decided for the miniature world: known when the command runs.
    usual = {name: parser.get_default(name) for name in UNNAMED}
    parser.set_defaults(usual=usual, **dict.fromkeys(UNNAMED))


def settle(arguments: argparse.Namespace) -> None:
    """Give the options that were not named their values.

    Raises:
        InputError: ``--miniature`` beside other models.
    """
    if not arguments.miniature:
        for name, value in arguments.usual.items():
            if getattr(arguments, name) is None:
                setattr(arguments, name, value)
        if getattr(arguments, "guidance_scale", GUIDANCE) is None:
            arguments.guidance_scale = GUIDANCE
        return
    from ..miniature.loading import load_choices

    others = ("clip", "clip_vision", "architecture", "embeddings", "calibration", "alignment_encoder", "resolution")
    for name in (*others, "pipeline"):
        if getattr(arguments, name, None) not in (None, "auto", "clip"):
            raise InputError(
                f"--miniature, --{name.replace('_', '-')}: one of both; the miniature models are all that --miniature "
                "uses."
            )
    arguments.no_guard = getattr(arguments, "no_guard", False)
    fill_choices(arguments, load_choices())


def load_quality(arguments: argparse.Namespace) -> QualityModel:
    """The quality model that the options ask for; of the miniature one it is said what it is."""
    if not arguments.miniature:
        return common.load_model(arguments)
    from ..miniature.loading import load_miniature_quality_model

    common.say(MODELS, sys.stderr)
    return load_miniature_quality_model(device=common.pick_device(arguments.device))


def is_bundled(arguments: argparse.Namespace) -> bool:
    """Whether the options ask for the small models, by ``--miniature`` or by the file of their weights."""
    from ..miniature.loading import weights_file

    if arguments.miniature or not arguments.clip:
        return bool(arguments.miniature)
    return Path(arguments.clip).expanduser().resolve() == weights_file("clip").resolve()


def about(pictures: int) -> Iterator[str]:
    """What the small models are, line by line; their bounds come from so many pictures."""
    yield (
        f"These are the small models that come with G-Refine, made for drawn pictures of {SIDE} × {SIDE} pixels: "
        f"coloured shapes and a few things ({', '.join(THINGS)}) on {', '.join(GROUNDS[:-1])} or {GROUNDS[-1]}."
    )
    yield "What they say of any other picture, a photograph say, means nothing, however certain the figures look."
    yield (
        f"Their bounds come with them, from {pictures} pictures of that world. How well they tell good from bad there "
        "is measured in benchmarks/results/miniature.md."
    )
    yield (
        "For your own pictures take the large model: grefine models download clip-vit-b-16, then grefine check without "
        "--miniature."
    )


def load_inpainter(arguments: argparse.Namespace) -> Any:
    """The miniature inpainter, as the options want it."""
    from ..miniature.loading import load_miniature_inpainter

    return load_miniature_inpainter(
        common.pick_device(arguments.device),
        guidance_scale=arguments.guidance_scale,
        negative_prompt=arguments.negative_prompt,
    )


def fill_choices(arguments: argparse.Namespace, choices: Choices) -> Choices:
    """Give the options that were not named their values of this world; returns all choices with those that were."""
    own = choices.options
    regions = own.regions or RegionOptions()
    if arguments.mode is None and (arguments.alignment_bar is not None or arguments.region_bar is not None):
        arguments.mode = "gated"  # as everywhere: who names bars of both scores goes by them
    by_verdicts = (arguments.mode or own.plan.mode) == "verdicts"
    arguments.no_guard = arguments.no_guard or not own.guard
    values = {
        **{name: getattr(own.masks, name) for name in _MASKS},
        **{name: getattr(own.plan, name) for name in _PLAN},
        "formula": choices.calibration,
        "scoring": choices.scoring or "auto",
        "aggregate": choices.aggregate,
        "tolerance": own.tolerance,
        "masks_from": "regions" if by_verdicts and own.regions is not None else "maps",
        "most_phrases": regions.phrases,
        "max_area": regions.max_area,
        "guard_rule": own.rule if by_verdicts and arguments.tolerance is None else "scores",
        "attempts": 1 if arguments.no_guard else own.attempts,  # without the guard nothing is refused
    }
    for name, value in values.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    arguments.own_phrases = getattr(arguments, "own_phrases", False) or own.own_phrases
    arguments.uncalibrated = getattr(arguments, "uncalibrated", False) or not regions.calibrated
    arguments.base, arguments.assessment = own, choices.assessment()
    return replace(
        choices,
        options=options.refine_options(arguments),
        calibration=arguments.formula,
        scoring=None if arguments.scoring == "auto" else arguments.scoring,
        aggregate=arguments.aggregate,
    )
