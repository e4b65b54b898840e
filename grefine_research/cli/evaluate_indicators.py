"""``grefine evaluate indicators``: indicators against human ratings, the paper's Tables 6 and 7."""

from __future__ import annotations

import argparse
from typing import Any

from grefine_core.cli import miniature
from grefine_core.errors import InputError

from . import evaluate_options


def add_command(halves: Any) -> None:
    """Add the half and its options."""
    parser = halves.add_parser(
        "indicators",
        help="indicators against ratings (Tables 6, 7)",
        description="Scores every picture with every indicator and correlates the scores with the data set's ratings: "
        "SROCC, PLCC, PLCC after a logistic fit, each with a bootstrap interval; for all, by generator, by split.",
    )
    evaluate_options.add_shared_options(parser)
    evaluate_options.add_indicator_options(parser, "those of Tables 6 and 7")
    parser.add_argument(
        "--perceptual-score", metavar="NAME", help="rating for perceptual indicators; default: perception, else mos"
    )
    parser.add_argument(
        "--alignment-score", metavar="NAME", help="rating for alignment indicators; default: alignment, else mos"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write ``indicators.md``, ``.csv``, ``.json``, plots, every picture's scores, and what it was made with."""
    from ..evaluation import paper
    from ..evaluation.indicators import ALIGNMENT, FACTORS, OWN, PERCEPTUAL
    from ..evaluation.plots import plot_ratings
    from ..evaluation.ratings import evaluate_indicators
    from ..evaluation.ratings_report import NAME, as_json, write_ratings

    evaluate_options.settle(arguments)
    context = evaluate_options.make_context(arguments)
    usual = [*OWN, *PERCEPTUAL, *ALIGNMENT]
    dataset, folder = evaluate_options.open_everything(arguments, NAME)
    usual += [name for name in FACTORS if name.removeprefix("pq-") in dataset.scales]
    specs = evaluate_options.chosen_indicators(arguments, usual)
    database = arguments.database or dataset.name
    result = evaluate_indicators(
        dataset,
        specs,
        context,
        folder / "records" / NAME,
        chosen={"perceptual": arguments.perceptual_score, "alignment": arguments.alignment_score},
        database=paper.database_of(database, paper.PERCEPTUAL) or "",
        resamples=arguments.resamples,
        seed=arguments.bootstrap_seed,
        resume=not arguments.restart,
    )
    if not any(scored.values for scored in result.scored):
        reasons = {failure.reason for failure in result.failures}
        raise InputError(f"{dataset.name}: no picture could be scored ({'; '.join(sorted(reasons)[:3])}).")
    obstacles = {scored.spec.name: scored.obstacle for scored in result.scored}
    refinement = [name for name in miniature.UNNAMED if name not in ("formula", "scoring", "aggregate")]
    evaluate_options.manifest(
        arguments, folder / f"{NAME}_run.json", dataset, specs, obstacles, [*refinement, "seed", "no_guard"]
    )
    plots = plot_ratings(result, folder)
    page = write_ratings(result, folder)
    evaluate_options.print_result(arguments, as_json(result), page, plots)
    return evaluate_options.finish(result.failures, dataset, obstacles, {spec.name: spec.title for spec in specs})
