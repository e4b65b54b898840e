"""``grefine score``: both scores of pictures, and the phrases that they miss."""

from __future__ import annotations

import argparse
from typing import Any

from . import common, miniature


def add_command(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("score", help="score pictures, perceptually and against their prompts")
    common.add_picture_options(parser)
    common.add_model_options(parser)
    common.add_measure_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    miniature.add_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Score every picture; one without a prompt gets its perceptual scores alone."""
    from ..pictures import Picture

    miniature.settle(arguments)
    model = miniature.load_quality(arguments)

    def work(picture: Picture) -> dict[str, Any]:
        return _score(picture, model, arguments)

    return common.for_each_picture(arguments.images, "Scoring", work, _in_words, arguments.json)


def _score(picture: Any, model: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    from ..alignment import assess
    from ..alignment.results import why_not_measured
    from ..prompt.markup import strip_markup
    from ..report.words import shares_of

    prompt = common.prompt_for(picture, arguments.prompt, needed=False, node=arguments.prompt_from)
    reason: str | None = "no prompt"
    if prompt is None:
        perceptual, alignment = _perceptual_alone(model, picture, arguments), None
    else:
        both = assess(model, picture.image, prompt, **common.measure_options(arguments))
        perceptual, alignment = both.perceptual, both.alignment
        reason = why_not_measured(alignment.phrases[0])
    result: dict[str, Any] = {
        "perceptual": float(perceptual.score[0]),
        "worst_region": float(perceptual.worst_region[0]),
        "shares": shares_of(perceptual),
        "factors": {name: float(value[0]) for name, value in perceptual.factors.items()},
        "prompt": prompt,
        "alignment": None if alignment is None or reason is not None else float(alignment.score[0]),
    }
    if reason is not None:
        result["not_measured"] = reason
    rewards = getattr(model.alignment_encoder, "rewards", None)
    if rewards is not None and prompt is not None:
        result["reward"] = float(rewards(picture.image, strip_markup(prompt))[0])
    if alignment is not None:
        result["phrases"] = [
            {
                "text": found.phrase.text,
                "share": found.bounded if found.measured else None,
                "score": found.score,
                "head_score": found.head_score,
                "modifier_score": found.modifier_score,
                "defect": found.defect,
                "style": found.phrase.is_style,
            }
            for found in alignment.phrases[0]
        ]
    return result


def _perceptual_alone(model: Any, picture: Any, arguments: argparse.Namespace) -> Any:
    from ..perceptual import perceptual_quality

    ways = common.measure_options(arguments)
    return perceptual_quality(
        model, picture.image, **{name: ways[name] for name in ("formula", "importance") if name in ways}
    )


def _in_words(result: dict[str, Any]) -> str:
    from ..alignment.results import IN_WORDS
    from ..report.words import OF_ITS_BOUND, shown

    shares = ", ".join(f"{name} {shown(share)}" for name, share in result["shares"].items())
    lines = [
        str(result["image"]),
        f"  perceptual  {result['perceptual']:.3f}   (share {OF_ITS_BOUND}: {shares}; "
        f"worst region {result['worst_region']:.3f})",
    ]
    if result["alignment"] is None:
        lines.append(f"  alignment   not measured: {result['not_measured']}")
        return "\n".join(lines)
    lines.append(f"  alignment   {result['alignment']:.3f}   {result['prompt']}")
    if "reward" in result:
        lines.append(f"  reward      {result['reward']:+.3f}   (ImageReward)")
    for phrase in result["phrases"]:
        if phrase["defect"] != "none":
            figure = f"{shown(phrase['share'])} {OF_ITS_BOUND}"
            lines.append(f"      {phrase['text']}: {IN_WORDS[phrase['defect']]}  ({figure})")
    return "\n".join(lines)
