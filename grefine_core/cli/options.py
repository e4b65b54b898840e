"""Options of the method's steps, shared by ``maps``, ``refine`` and ``demo``; defaults are the library's own."""

from __future__ import annotations

import argparse
from dataclasses import replace

from ..refine.guard import RULES
from ..refine.protocols import MaskOptions, PlanOptions, RefineOptions
from ..regions import RegionOptions

#: Where masks come from: a region of each unmatched phrase, or both maps merged.
SOURCES = ("regions", "maps")


def add_mask_options(parser: argparse.ArgumentParser) -> None:
    """From maps to the mask."""
    group = parser.add_argument_group("mask")
    own = MaskOptions()
    group.add_argument(
        "--masks-from",
        choices=SOURCES,
        help="regions: where the picture looks bad, and the region of every unmatched phrase by itself; maps: both "
        "maps merged, then made a mask; default: regions, with the modes gated and paper maps",
    )
    group.add_argument(
        "--most-phrases",
        type=int,
        default=RegionOptions().phrases,
        help="with regions: so many phrases are mended in one pass, the largest deficits first",
    )
    group.add_argument(
        "--max-area",
        type=float,
        default=RegionOptions().max_area,
        help="with regions: where more than this share of the picture looks bad, stage 2 mends it",
    )
    group.add_argument(
        "--uncalibrated",
        action="store_true",
        help="take --threshold and --perceptual-bar as they are, whatever was measured for the quality model",
    )
    group.add_argument(
        "--merge",
        choices=("max", "mean", "noisy_or"),
        default=own.merge,
        help="with maps: how both defect maps become one",
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


def region_options(arguments: argparse.Namespace) -> RegionOptions | None:
    """Return what the options ask for; the rest as in ``arguments.base``, if there is one."""
    if (arguments.masks_from or ("regions" if _mode(arguments) == "verdicts" else "maps")) == "maps":
        return None
    return replace(
        _base(arguments).regions or RegionOptions(),
        phrases=arguments.most_phrases,
        max_area=arguments.max_area,
        calibrated=not getattr(arguments, "uncalibrated", False),
    )


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Whether, how strongly and in how many steps to refine."""
    group = parser.add_argument_group("plan")
    own = PlanOptions()
    group.add_argument(
        "--mode",
        choices=("verdicts", "gated", "paper"),
        help="verdicts: stage 1 runs where something is masked, stage 2 where the picture looks bad as a whole; gated: "
        "by bars for both scores; paper: stage 2 always; default: verdicts, gated if --alignment-bar or --region-bar "
        "is given",
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
        "--alignment-bar",
        type=float,
        default=own.alignment_bar,
        help="with gated: from this alignment score on a picture passes",
    )
    group.add_argument(
        "--region-bar",
        type=float,
        default=own.region_bar,
        help="with gated: from this quality of its worst region on a picture passes; below it stage 1 runs even if "
        "both scores pass; 0: not asked",
    )
    group.add_argument("--seed", type=int, default=0, help="same seed, same inputs: the same picture")
    group.add_argument("--own-phrases", action="store_true", help="a region's own phrases in front of its prompt")
    guard = parser.add_argument_group("guard")
    guard.add_argument("--no-guard", action="store_true", help="keep changes that measure worse")
    guard.add_argument(
        "--guard-rule",
        choices=RULES,
        help="gain: a change stays if something gains by more than noise and nothing loses; scores: if no score falls; "
        "default: gain, with the modes gated and paper, or with a tolerance, scores",
    )
    guard.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        help="with scores: how much a score may fall before a change is refused",
    )
    guard.add_argument(
        "--attempts",
        type=int,
        default=1,
        metavar="N",
        help="paint again what is refused, a region in stage 1, the picture in stage 2, up to N times in all",
    )
    guard.add_argument(
        "--keep",
        default="",
        metavar="REGIONS",
        help='regions that stay whatever the guard says: "2, 3:4" is region 2, and the fourth attempt at region 3',
    )


def refine_options(arguments: argparse.Namespace) -> RefineOptions:
    """Return what the options ask for; the rest as in ``arguments.base``, if there is one."""
    base, own = _base(arguments), RefineOptions()
    plan = replace(
        base.plan,
        mode=_mode(arguments),
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
        regions=region_options(arguments),
        plan=plan,
        own_phrases=getattr(arguments, "own_phrases", False),
        guard=not arguments.no_guard,
        rule=arguments.guard_rule
        or ("gain" if plan.mode == "verdicts" and arguments.tolerance == own.tolerance else "scores"),
        tolerance=arguments.tolerance,
        attempts=arguments.attempts,
        keep=getattr(arguments, "keep", ""),
    )


def _mode(arguments: argparse.Namespace) -> str:
    """The mode that is asked for: commands that name bars of both scores go by them, as they always did."""
    own = PlanOptions()
    bars = [
        getattr(arguments, name, getattr(own, name)) != getattr(own, name) for name in ("alignment_bar", "region_bar")
    ]
    return getattr(arguments, "mode", None) or ("gated" if any(bars) else own.mode)


def _base(arguments: argparse.Namespace) -> RefineOptions:
    base: RefineOptions = getattr(arguments, "base", None) or RefineOptions()
    return base
