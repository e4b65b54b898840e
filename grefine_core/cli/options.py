"""Options of the method's steps, shared by ``maps``, ``refine`` and ``demo``; defaults are the library's own."""

from __future__ import annotations

import argparse
from dataclasses import replace

from ..refine.protocols import MaskOptions, PlanOptions, RefineOptions


def add_mask_options(parser: argparse.ArgumentParser) -> None:
    """From maps to the mask."""
    group = parser.add_argument_group("mask")
    own = MaskOptions()
    group.add_argument(
        "--merge", choices=("max", "mean", "noisy_or"), default=own.merge, help="how both defect maps become one"
    )
    group.add_argument(
        "--method", choices=("threshold", "otsu", "top"), default=own.method, help="how the map becomes a mask"
    )
    group.add_argument("--threshold", type=float, default=own.threshold, help="defects above this are repainted")
    group.add_argument("--top", type=float, default=own.top, help="share of the area for --method top")
    group.add_argument("--grow", type=float, default=own.grow, help="growth of the mask, share of the shorter side")
    group.add_argument("--feather", type=float, default=own.feather, help="soft edge, share of the shorter side")


def mask_options(arguments: argparse.Namespace) -> MaskOptions:
    """Return what the options ask for; the rest as in ``arguments.base``, if there is one."""
    return replace(
        _base(arguments).masks,
        merge=arguments.merge,
        method=arguments.method,
        threshold=arguments.threshold,
        top=arguments.top,
        grow=arguments.grow,
        feather=arguments.feather,
    )


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Whether, how strongly and in how many steps to refine."""
    group = parser.add_argument_group("plan")
    own = PlanOptions()
    group.add_argument(
        "--mode", choices=("gated", "paper"), default=own.mode, help="gated: good pictures pass untouched"
    )
    group.add_argument("--steps", type=int, default=own.steps, help="denoiser calls of both stages together")
    group.add_argument("--stage1-min", type=float, default=own.stage1_min, help="strength for the slightest defect")
    group.add_argument("--stage1-max", type=float, default=own.stage1_max, help="strength for the worst")
    group.add_argument(
        "--stage2-strength", type=float, default=own.stage2_strength, help="how far the whole picture may change"
    )
    group.add_argument(
        "--perceptual-bar",
        type=float,
        default=own.perceptual_bar,
        help="from this perceptual score on a picture passes",
    )
    group.add_argument(
        "--alignment-bar", type=float, default=own.alignment_bar, help="from this alignment score on a picture passes"
    )
    group.add_argument(
        "--region-bar",
        type=float,
        default=own.region_bar,
        help="from this quality of its worst region on a picture passes; below it stage 1 runs even if both scores "
        "pass; 0: not asked",
    )
    group.add_argument("--seed", type=int, default=0, help="same seed, same inputs: the same picture")
    group.add_argument("--no-guard", action="store_true", help="keep changes that measure worse")
    group.add_argument(
        "--tolerance", type=float, default=0.0, help="how much a score may fall before a change is refused"
    )


def refine_options(arguments: argparse.Namespace) -> RefineOptions:
    """Return what the options ask for; the rest as in ``arguments.base``, if there is one."""
    base = _base(arguments)
    plan = replace(
        base.plan,
        mode=arguments.mode,
        steps=arguments.steps,
        stage1_min=arguments.stage1_min,
        stage1_max=arguments.stage1_max,
        stage2_strength=arguments.stage2_strength,
        perceptual_bar=arguments.perceptual_bar,
        alignment_bar=arguments.alignment_bar,
        region_bar=arguments.region_bar,
    )
    return replace(
        base,
        masks=mask_options(arguments),
        plan=plan,
        guard=not arguments.no_guard,
        tolerance=arguments.tolerance,
    )


def _base(arguments: argparse.Namespace) -> RefineOptions:
    base: RefineOptions = getattr(arguments, "base", None) or RefineOptions()
    return base
