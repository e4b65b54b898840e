"""``grefine score``: both scores of pictures, and the phrases that they miss."""

from __future__ import annotations

import argparse
from typing import Any

from . import common


def add_command(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("score", help="score pictures, perceptually and against their prompts")
    common.add_picture_options(parser)
    common.add_model_options(parser)
    common.add_measure_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Score every picture; one without a prompt gets its perceptual scores alone."""
    from ..pictures import Picture

    model = common.load_model(arguments)

    def work(picture: Picture) -> dict[str, Any]:
        return _score(picture, model, arguments)

    return common.for_each_picture(arguments.images, "Scoring", work, _in_words, arguments.json)


def _score(picture: Any, model: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    from ..alignment import assess
    from ..alignment.results import why_not_measured
    from ..perceptual import perceptual_quality
    from ..prompt.markup import strip_markup

    prompt = common.prompt_for(picture, arguments.prompt, needed=False, node=arguments.prompt_from)
    reason: str | None = "no prompt"
    if prompt is None:
        perceptual, alignment = perceptual_quality(model, picture.image, arguments.formula), None
    else:
        both = assess(model, picture.image, prompt, **common.measure_options(arguments))
        perceptual, alignment = both.perceptual, both.alignment
        reason = why_not_measured(alignment.phrases[0])
    result: dict[str, Any] = {
        "perceptual": float(perceptual.score[0]),
        "worst_region": float(perceptual.worst_region[0]),
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
                "score": found.score,
                "head_score": found.head_score,
                "modifier_score": found.modifier_score,
                "defect": found.defect,
                "style": found.phrase.is_style,
            }
            for found in alignment.phrases[0]
        ]
    return result


def _in_words(result: dict[str, Any]) -> str:
    from ..alignment.results import IN_WORDS

    factors = ", ".join(f"{name} {value:.3f}" for name, value in result["factors"].items())
    lines = [
        str(result["image"]),
        f"  perceptual  {result['perceptual']:.3f}   ({factors}; worst region {result['worst_region']:.3f})",
    ]
    if result["alignment"] is None:
        lines.append(f"  alignment   not measured: {result['not_measured']}")
        return "\n".join(lines)
    lines.append(f"  alignment   {result['alignment']:.3f}   {result['prompt']}")
    if "reward" in result:
        lines.append(f"  reward      {result['reward']:+.3f}   (ImageReward)")
    for phrase in result["phrases"]:
        if phrase["defect"] != "none":
            lines.append(f"      {phrase['text']}: {IN_WORDS[phrase['defect']]}  ({phrase['score']:.3f})")
    return "\n".join(lines)
